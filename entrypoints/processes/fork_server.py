"""A process that has loaded the code of all children and forks them, so that they share its memory.

Its client is `fork_client.ForkServerClient`, which describes the messages.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import frozen

from adapters.embedded.launch import die_with_parent, name_process

DESCRIPTORS: Final = 3
"""Of each request: the channel that becomes standard input, the log that becomes standard output, the lock file."""
_MAX_MESSAGE: Final = 65_536


@frozen
class ForkRequest:
    """The process that the client requests: its name and arguments."""

    name: str
    arguments: Sequence[str]


def serve_forks(client: socket.socket, preload: Callable[[], None]) -> ForkRequest | None:
    """Fork a process for each request of the client; return None when the client has closed the connection.

    In each forked process the function returns its `ForkRequest` instead. The caller then runs it with an unwound
    stack, default handling of SIGCHLD and a normal exit of the interpreter. The forked process leads its own session,
    has written its PID into the lock file, whose lock it inherits, and gets SIGTERM when the fork server exits (Linux
    only).
    """
    preload()
    # Without this, garbage collections in the children would copy the pages that they share.
    gc.collect()
    gc.freeze()
    return _Server(client).run()


class _Server:
    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._text = b""
        self._descriptors: list[int] = []
        self._running: set[int] = set()
        """Children whose exit has not been reported. They stay zombies until the client sends `reap`, so that their
        PIDs are not reused while the client may still signal them."""
        self._wakeup_read, self._wakeup_write = socket.socketpair()
        for end in (self._wakeup_read, self._wakeup_write):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)

    def run(self) -> ForkRequest | None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._client, selectors.EVENT_READ)
            selector.register(self._wakeup_read, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wakeup_read in ready:
                    self._wakeup_read.recv(_MAX_MESSAGE)
                    self._report_exits()
                if self._client in ready:
                    if not self._receive():
                        return None
                    while (line := self._next_line()) is not None:
                        if (request := self._handle(json.loads(line))) is not None:
                            return request

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

    def _handle(self, message: Any) -> ForkRequest | None:
        if "reap" in message:
            with suppress(ChildProcessError):
                os.waitpid(message["reap"], 0)
            return None
        descriptors, self._descriptors = self._descriptors[:DESCRIPTORS], self._descriptors[DESCRIPTORS:]
        owner = os.getpid()
        if len(descriptors) < DESCRIPTORS:
            self._refuse(message, descriptors, "too many files are open.")
            return None
        try:
            pid = os.fork()
        except OSError as error:
            self._refuse(message, descriptors, str(error))
            return None
        if not pid:
            self._set_up_child(owner, message["name"], descriptors)
            return ForkRequest(message["name"], message["arguments"])
        for descriptor in descriptors:
            os.close(descriptor)
        self._running.add(pid)
        self._send({"request": message["request"], "pid": pid})
        return None

    def _refuse(self, message: Any, descriptors: Sequence[int], reason: str) -> None:
        """Report that the process cannot be forked; its log, or that of the fork server, says why."""
        log = descriptors[1] if len(descriptors) > 1 else sys.stderr.fileno()
        os.write(log, f"The process {message['name']} cannot be forked: {reason}\n".encode())
        for descriptor in descriptors:
            os.close(descriptor)
        self._send({"request": message["request"], "pid": 0})

    def _set_up_child(self, owner: int, name: str, descriptors: Sequence[int]) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._client, self._wakeup_read, self._wakeup_write):
            each.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        channel, log, lock = descriptors
        os.dup2(channel, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(channel)
        os.close(log)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        name_process(name)
        # The child must drain when the fork server dies, as it does on SIGTERM.
        die_with_parent(owner, signal.SIGTERM)

    def _report_exits(self) -> None:
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
