"""The program that becomes a server: `python -I -S launch.py OWNER SIGNAL UID GID LOCK COMMAND...`.

It prepares its own process (user, umask, lock file, parent-death signal) and replaces itself by the command, which
keeps the process id. A separate program does this because Python code between fork and exec (`preexec_fn`) may deadlock
in an owner with threads. It imports nothing from this project, since `-I` excludes the project from the module path.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_UNCHANGED = -1
# Loaded at import: between fork and exec, or in a fork of a process with threads, loading a library is not safe.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int, number: int) -> None:
    """Have the kernel send signal `number` to this process when its parent dies; exit if the parent has died already.

    `parent` is the process id of the parent. Linux sends the signal when the *thread* that started this process ends,
    so a thread that lives as long as the parent must start it. On other systems the process survives a killed parent.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def name_process(name: str) -> None:
    """Set the name that `ps -o comm` and `top` show for this process, of at most 15 bytes (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def main(numbers: list[int], command: list[str]) -> None:
    owner, death_signal, uid, gid, lock = numbers
    if uid != _UNCHANGED:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)

    # The descriptor of the lock file was inherited with the lock held, and the server inherits it in turn. While the
    # lock is held, a process of this server lives, and the process id in the file cannot belong to another process.
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)

    # After the change of user, which would clear the setting.
    if death_signal:
        die_with_parent(owner, death_signal)

    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:6]], sys.argv[6:])
