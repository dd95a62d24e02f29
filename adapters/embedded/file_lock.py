"""Advisory file locks (flock) that show which process owns a directory or runs in it."""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

_POLL_SECONDS: Final = 0.01


class FileLock:
    """An exclusive lock on a file, not yet acquired.

    Processes that inherit the descriptor share the lock: it is free once all of them have ended or closed it. The file
    may contain the process id of the holder.
    """

    def __init__(self, path: Path) -> None:
        """Open the file and create it if it is missing; raises OSError."""
        self.descriptor: Final = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_acquire(self, timeout: float = 0.0) -> bool:
        """Return whether the lock was acquired within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL_SECONDS)
            else:
                return True

    def acquire_from_leftover(self, signals: Sequence[tuple[int, float]], send: Callable[[int, int], None]) -> bool:
        """Acquire the lock; stop a holder that a killed engine has left running. Return whether that succeeded.

        `signals` are pairs of a signal number (0: only wait) and the seconds to wait for the lock after it.
        `send(pid, number)` sends a signal to the process whose id is in the file.
        """
        if self.try_acquire():
            return True
        for number, timeout in signals:
            pid = self.holder
            if pid and number:  # 0 would signal the process group of the caller
                send(pid, number)
            if self.try_acquire(timeout):
                return True
        return False

    @property
    def holder(self) -> int | None:
        """The process id in the file; None if there is none."""
        try:
            return int(os.pread(self.descriptor, 32, 0))
        except ValueError:
            return None

    def write_holder(self, pid: int) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, str(pid).encode(), 0)

    def close(self) -> None:
        """Release the lock, unless another process has inherited it."""
        os.close(self.descriptor)


def is_locked(path: Path) -> bool:
    """Return whether another process holds the lock on this file; False if there is no file. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
