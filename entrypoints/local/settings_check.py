"""Checks settings in a process of its own: the check loads the clients of the servers, which `up` itself never uses."""

import os
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import Final

from entrypoints import settings
from entrypoints.processes.errors import CannotRun
from entrypoints.settings import SettingsError

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def check_settings(environment: Mapping[str, str]) -> None:
    """Check the settings in a forked process; call this before this process starts threads.

    Raises `SettingsError` as `settings.load` does, and `CannotRun` if the check itself fails.
    """
    read_end, write_end = os.pipe()
    # Python ignores exceptions of signal handlers in the hooks that run at a fork, so a stop signal would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
            status = _check(environment, write_end)
        finally:
            # The fork must not go on with the code of its parent.
            os._exit(status)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as pipe:
        problems = pipe.read()
    _, status = os.waitpid(pid, 0)
    if problems:
        raise SettingsError(problems)
    if status:
        raise CannotRun("The settings could not be checked; the error is above.")


def _check(environment: Mapping[str, str], write_end: int) -> int:
    """Write the problems of the settings to the pipe; return an exit status."""
    try:
        settings.load(environment)
    except SettingsError as error:
        os.write(write_end, str(error).encode())
    except Exception:  # noqa: BLE001 - the parent process reports the failure
        traceback.print_exc()
        return 1
    finally:
        sys.stderr.flush()
    return 0
