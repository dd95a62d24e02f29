"""The program that `up` runs for each of its processes: `python -P -m entrypoints.child OWNER NAME [HOST PORT]`."""

import ctypes
import os
import signal
import sys

from entrypoints import settings
from entrypoints.serve import serve_on
from entrypoints.worker import run_beat, run_worker

_PR_SET_PDEATHSIG = 1


def main(owner: int, name: str, *address: str) -> None:
    _end_with(owner)
    chosen = settings.load()
    match name:
        case "api":
            host, port = address
            serve_on(chosen, host, int(port), workers=1)
        case "worker":
            run_worker(chosen)
        case "beat":
            run_beat(chosen)


def _end_with(owner: int) -> None:
    """Drain and end when the owner dies, be it by `kill -9`, which it cannot pass on."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != owner:  # it died before it could be watched
        sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
