"""The program that becomes a server: `python -I -S launch.py OWNER SIGNAL UID GID LOCK COMMAND...`.

What has to happen in the server's own process happens here, in a program of its own, because Python code between
fork and exec (`preexec_fn`) may deadlock in an owner that has threads. It never returns: it becomes the command, so
its process id is the server's.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_SAME = -1


def main(numbers: list[int], command: list[str]) -> None:
    owner, death_signal, uid, gid, lock = numbers
    if uid != _SAME:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)

    # The lock came to us open and held, and the server inherits it: as long as it is held, some process of this
    # server lives, and the number in the file cannot have gone to another process.
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)

    # After the change of user, which would clear it. Elsewhere than on Linux a server outlives an owner that was
    # killed hard; the next start stops it.
    if sys.platform == "linux" and death_signal:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != owner:  # it died before it could be watched
            sys.exit(1)

    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:6]], sys.argv[6:])
