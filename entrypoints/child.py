"""The program that `up` runs for each of its processes: `python -P -m entrypoints.child OWNER NAME [HOST PORT]`."""

import contextlib
import ctypes
import json
import os
import signal
import sys
from importlib import import_module

_PR_SET_PDEATHSIG = 1
_CHANNEL = 0
"""Standard input: settings come in, a word goes back."""

_MODULES = {
    "api": ("entrypoints.serve", "entrypoints.asgi"),
    "worker": ("entrypoints.worker",),
    "beat": ("entrypoints.beat",),
}


def main(owner: int, name: str, *address: str) -> None:
    _end_with(owner)
    # What takes longest comes first: the servers that the settings name may still be starting.
    for module in _MODULES[name]:
        import_module(module)
    _receive_settings()
    from entrypoints import settings

    chosen = settings.load()
    match name:
        case "api":
            from entrypoints.serve import serve_on

            host, port = address
            serve_on(chosen, host, int(port), workers=1)
        case "worker":
            from entrypoints.worker import run_worker

            run_worker(chosen, on_ready=_tell_ready)
        case "beat":
            from entrypoints.beat import run_beat

            run_beat(chosen)


def _end_with(owner: int) -> None:
    """Drain and end when the owner dies, be it by `kill -9`, which it cannot pass on."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != owner:  # it died before it could be watched
        sys.exit(1)


def _receive_settings() -> None:
    text = b""
    while not text.endswith(b"\n"):
        received = os.read(_CHANNEL, 65536)
        if not received:  # the owner has died
            sys.exit(1)
        text += received
    os.environ.update(json.loads(text))


def _tell_ready() -> None:
    with contextlib.suppress(OSError):
        os.write(_CHANNEL, b"ready\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
