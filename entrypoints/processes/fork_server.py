"""A process that has loaded the code of all children and forks them, so that they share its memory.

Its client is `forked_processes.ForkServer`, which describes the messages.
"""

import gc
import json
import os
import selectors
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import frozen

from adapters.embedded.launch import die_with_parent, name_process

DESCRIPTORS: Final = 3
"""Of each request: the channel that becomes standard input, the log that becomes standard output, the lock file."""
_MAX_MESSAGE: Final = 65_536


@frozen
class Fork:
    """What a forked process is to run."""

    name: str
    arguments: Sequence[str]


def serve_forks(client: socket.socket, preload: Callable[[], None]) -> Fork | None:
    """Fork a process for each request of the client; return None when the client has closed the connection.

    In each forked process the function returns the `Fork` that it is to run, so that its code runs as in a process of
    its own: with empty handlers, and a regular end of the interpreter. The process leads its own session, holds the
    lock, in whose file it has written its number, and gets SIGTERM when this process ends (Linux only).
    """
    preload()
    # Collections would write to the pages that the forks share.
    gc.collect()
    gc.freeze()
    return _Server(client).run()


class _Server:
    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._text = b""
        self._descriptors: list[int] = []
        self._running: set[int] = set()
        """Processes whose end has not been reported. They are waited for when the client asks for it, so that their
        numbers are not used again before."""
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def run(self) -> Fork | None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._client, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    self._woken.recv(_MAX_MESSAGE)
                    self._report_ends()
                if self._client in ready:
                    if not self._receive():
                        return None
                    while (line := self._next_line()) is not None:
                        if (fork := self._handle(json.loads(line))) is not None:
                            return fork

    def _receive(self) -> bool:
        try:
            text, descriptors, _, _ = socket.recv_fds(self._client, _MAX_MESSAGE, 16 * DESCRIPTORS)
        except ConnectionResetError:
            return False
        self._text += text
        self._descriptors += descriptors
        return bool(text)

    def _next_line(self) -> bytes | None:
        line, newline, rest = self._text.partition(b"\n")
        if not newline:
            return None
        self._text = rest
        return line

    def _handle(self, message: Any) -> Fork | None:
        if "forget" in message:
            os.waitpid(message["forget"], 0)
            return None
        given, self._descriptors = self._descriptors[:DESCRIPTORS], self._descriptors[DESCRIPTORS:]
        owner = os.getpid()
        pid = os.fork()
        if not pid:
            self._become_process(owner, message["name"], given)
            return Fork(message["name"], message["arguments"])
        for descriptor in given:
            os.close(descriptor)
        self._running.add(pid)
        self._send({"request": message["request"], "pid": pid})
        return None

    def _become_process(self, owner: int, name: str, given: Sequence[int]) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._client, self._woken, self._wake):
            each.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        channel, log, lock = given
        os.dup2(channel, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(channel)
        os.close(log)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        name_process(name)
        # On SIGTERM the process drains; it must do so when its owner dies, too.
        die_with_parent(owner, signal.SIGTERM)

    def _report_ends(self) -> None:
        for pid in list(self._running):
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                self._running.remove(pid)
                is_exit = ended.si_code == os.CLD_EXITED
                self._send({"ended": pid, "status": ended.si_status if is_exit else -ended.si_status})

    def _send(self, message: dict[str, int]) -> None:
        # If the client has ended, the next read finds it.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._client.sendall(json.dumps(message).encode() + b"\n")
