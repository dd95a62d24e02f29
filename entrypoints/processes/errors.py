"""What keeps a process from running, as a sentence for the person who started it."""


class CannotRun(Exception):
    """The message says why, and what to do about it."""


class NotReachable(CannotRun):
    """A server that the environment names does not answer."""
