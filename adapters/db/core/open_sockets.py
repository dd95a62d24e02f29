"""The sockets of open connections, which other threads can shut down to end the waits on them."""

import os
import socket
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import psycopg
from attrs import define

C = TypeVar("C", bound="psycopg.Connection[Any]")


@define(eq=False)
class _OpenSocket:
    """`release` closes `descriptor`, a duplicate of the connection's: the original may be closed, and its number given
    to another file, at any time.
    """

    descriptor: int
    release: "weakref.finalize[Any, Any]"


class OpenSockets(Generic[C]):
    """Not thread-safe: its owner has a lock."""

    def __init__(self) -> None:
        self._open: weakref.WeakKeyDictionary[C, _OpenSocket] = weakref.WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: C) -> None:
        descriptor = os.dup(connection.fileno())
        release = weakref.finalize(connection, os.close, descriptor)
        release.atexit = False
        self._open[connection] = _OpenSocket(descriptor, release)

    def shut_down(self, is_chosen: Callable[[C], bool] = lambda _: True) -> int:
        """Shut down and forget the sockets of the connections for which `is_chosen` is true; return their number."""
        chosen = [each for each in list(self._open.items()) if is_chosen(each[0])]
        for connection, opened in chosen:
            duplicate = socket.socket(fileno=opened.descriptor)
            try:
                duplicate.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # The socket is closed already.
            finally:
                duplicate.detach()
            self._forget(connection, opened)
        return len(chosen)

    def forget_closed(self) -> None:
        for connection, opened in list(self._open.items()):
            if connection.closed:
                self._forget(connection, opened)

    def _forget(self, connection: C, opened: _OpenSocket) -> None:
        del self._open[connection]
        opened.release()
