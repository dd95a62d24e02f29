"""Errors that prevent a process from running; their messages are shown to the user."""


class CannotRun(Exception):
    """A process cannot run; the message gives the cause and the remedy."""


class NotReachable(CannotRun):
    """A server or engine that a command needs does not answer."""
