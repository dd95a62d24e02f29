"""The fork server of `up` and `torture`: `python -P -m entrypoints.local.fork_server_main SUPERVISOR_PID`.

It loads the code of API, worker and beat, and forks a process for each request of the supervisor (`fork_server`).
"""

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from importlib import import_module

from adapters.embedded.launch import die_with_parent
from entrypoints.processes.fork_server import ForkRequest, serve_forks

_CHANNEL = 0
"""Standard input, a socket to the supervisor. The fork server receives requests on it; a forked process receives its
settings and sends `ready`."""

_SHARED_MODULES = (
    "entrypoints.asgi",
    "entrypoints.serve",
    "entrypoints.worker",
    "entrypoints.beat",
    "adapters.tasks.grow_only_autoscaler",
    # Celery and kombu import these when they are first used.
    "celery.app.amqp",
    "celery.app.events",
    "celery.app.log",
    "celery.app.routes",
    "celery.apps.beat",
    "celery.backends.base",
    "celery.concurrency.prefork",
    "celery.fixups.django",
    "celery.worker.consumer.agent",
    "celery.worker.consumer.connection",
    "celery.worker.loops",
    "encodings.idna",
)


def main(supervisor: int) -> None:
    # When the fork server ends, its children get SIGTERM and drain. SIGKILL also ends it while it is stopped.
    die_with_parent(supervisor, signal.SIGKILL)
    request = serve_forks(socket.socket(fileno=os.dup(_CHANNEL)), _load_shared_code)
    if request is not None:
        _run(request)


def _load_shared_code() -> None:
    for module in _SHARED_MODULES:
        try:
            import_module(module)
        except Exception:  # noqa: BLE001 - the process that needs the module fails with the same error, in its own log
            traceback.print_exc()
    try:
        from entrypoints import settings

        # Imports what the first conversion of a setting imports; then it fails, because required settings are missing.
        with contextlib.suppress(settings.SettingsError):
            settings.load({"SHOP": "true"})
    except Exception:  # noqa: BLE001 - as above
        traceback.print_exc()


def _run(request: ForkRequest) -> None:
    from entrypoints import logs

    logs.configure_early(request.name)
    _receive_settings()
    from entrypoints import settings

    chosen = settings.load()
    match request.name:
        case "api":
            from entrypoints.serve import serve_on

            host, port = request.arguments
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

            host, port, plan = request.arguments
            run_traffic(chosen, host, int(port), TrafficPlan.from_text(plan))
        case name:
            raise ValueError(f"There is no process {name!r}.")


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
    main(int(sys.argv[1]))
