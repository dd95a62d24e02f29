"""The program that `up` and `torture` run for each of their processes.

`python -P -m entrypoints.local.child_main OWNER NAME [HOST PORT [PLAN]]`
"""

import contextlib
import json
import os
import signal
import sys
from importlib import import_module

from adapters.embedded.launch import die_with_parent

_CHANNEL = 0
"""Standard input, a socket: it delivers the settings, and `ready` is sent back over it."""

_MODULES = {
    "api": ("entrypoints.serve", "entrypoints.asgi"),
    "worker": ("entrypoints.worker",),
    "beat": ("entrypoints.beat",),
    "traffic": ("entrypoints.demo.traffic.run",),
}


def main(owner: int, name: str, *arguments: str) -> None:
    from entrypoints import logs

    logs.configure_early(name)
    # On SIGTERM the process drains; it must do so when its owner dies, too.
    die_with_parent(owner, signal.SIGTERM)
    # The imports take longest, and the servers may still be starting, so the settings are awaited afterwards.
    for module in _MODULES[name]:
        import_module(module)
    _receive_settings()
    from entrypoints import settings

    chosen = settings.load()
    match name:
        case "api":
            from entrypoints.serve import serve_on

            host, port = arguments
            serve_on(chosen, host, int(port), workers=1)
        case "worker":
            from entrypoints.worker import run_worker

            run_worker(chosen, on_ready=_report_ready)
        case "beat":
            from entrypoints.beat import run_beat

            run_beat(chosen)
        case "traffic":
            from entrypoints.demo.traffic.plan import TrafficPlan
            from entrypoints.demo.traffic.run import run_traffic

            host, port, plan = arguments
            run_traffic(chosen, host, int(port), TrafficPlan.from_text(plan))


def _receive_settings() -> None:
    text = b""
    while not text.endswith(b"\n"):
        received = os.read(_CHANNEL, 65536)
        if not received:  # the owner has ended
            sys.exit(1)
        text += received
    os.environ.update(json.loads(text))


def _report_ready() -> None:
    with contextlib.suppress(OSError):
        os.write(_CHANNEL, b"ready\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
