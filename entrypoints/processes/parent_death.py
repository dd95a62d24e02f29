"""No process outlives the one that started it, be that killed by `kill -9`, which it cannot pass on.

The kernel of Linux sees to it; elsewhere whoever supervises the processes has to.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Loaded beforehand: between fork and exec, or in a fork of a process with threads, little may be done safely.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(owner: int, number: int) -> None:
    """Get this signal when the parent, which is `owner`, dies; end if it has died already.

    For Linux the parent is the thread that started the process: let that be a main thread.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != owner:
        os._exit(1)


def bind_forks_to_parent(number: int) -> None:
    """Send this signal to whatever this process forks from now on when it dies.

    Until a fork has handlers of its own, SIGTERM ends it: those that it inherits would only talk to its parent's copy.
    """
    owner = os.getpid()

    def tie() -> None:
        if os.getppid() == owner:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            die_with_parent(owner, number)

    os.register_at_fork(after_in_child=tie)
