"""`python -m entrypoints.worker_check`: exits with 0 if the worker of this host answers, for health checks.

It connects to Redis as the engine does: `celery inspect ping` would not verify the certificate of a `rediss://` URL.
"""

import socket
import sys
from typing import Final

from adapters.tasks.broker import is_worker_alive, worker_name
from entrypoints import settings
from entrypoints.wiring import broker_of

TIMEOUT_SECONDS: Final = 5.0


def main() -> None:
    """Exit with 0 or 1."""
    broker = broker_of(settings.load())
    sys.exit(0 if is_worker_alive(broker, worker_name(socket.gethostname()), TIMEOUT_SECONDS) else 1)


if __name__ == "__main__":
    main()
