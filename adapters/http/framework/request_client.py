"""The client for whom a request is handled, for queues that divide their time fairly among clients."""

from contextvars import ContextVar
from typing import Final

from starlette.types import Scope

from adapters.http.framework.client_address import client_address


class RequestClient:
    """One object per request, which the tasks of the request share. `key` is the client's account or network.

    `waiting` counts what the request waits for in a queue that is divided by `key`. `deadline` is that of its commands,
    as a time of the event loop, from the first command on. `is_write` is whether its method may change something,
    `may_have_effect` whether one of its commands may have done so.
    """

    __slots__ = ("deadline", "is_write", "key", "may_have_effect", "waiting")

    def __init__(self, key: str, *, is_write: bool = False) -> None:
        self.key = key
        self.is_write = is_write
        self.waiting = 0
        self.deadline: float | None = None
        self.may_have_effect = False


SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
NOBODY: Final = ""
"""The key of clients whose address is unknown, and of work that many clients share, such as reading a snapshot."""

_current: ContextVar[RequestClient] = ContextVar("request_client")


def enter_request(scope: Scope, account_id: int | None) -> None:
    """Make the client of a request the current one of its task, and of the tasks that it starts."""
    key = f"account {account_id}" if account_id is not None else client_address(scope)
    _current.set(RequestClient(key, is_write=scope["method"] not in SAFE_METHODS))


def current_client() -> RequestClient:
    """The client of the current task; one with the key `NOBODY` outside of requests."""
    return _current.get(None) or RequestClient(NOBODY)


class shared_work:  # noqa: N801 - used as a function
    """Context manager: tasks that are started in it work for nobody in particular."""

    def __enter__(self) -> None:
        self._token = _current.set(RequestClient(NOBODY))

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
