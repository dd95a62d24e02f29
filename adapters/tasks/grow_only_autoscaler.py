"""Starts processes of a worker's pool when tasks wait for one, so that an idle worker has few."""

from time import monotonic
from typing import Any, Final

from celery.worker.autoscale import Autoscaler

WAIT_SECONDS: Final = 2.0
"""Processes are added if tasks wait for one at all checks of this time. Tasks that beat starts together and that have
nothing to do end sooner, so they add none."""
CHECK_SECONDS: Final = 0.5
MIN_PROCESSES: Final = 2
"""Processes of a worker at its start: one may wait for receivers of webhooks while the other decides orders."""


class GrowOnlyAutoscaler(Autoscaler):  # type: ignore[misc]  # Celery has no types
    """Adds processes up to the maximum, and removes none: a worker that was busy once will be again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, keepalive=CHECK_SECONDS)
        self._waiting_since: float | None = None

    def _maybe_scale(self, req: Any = None) -> bool:
        """Celery calls this every `keepalive` seconds, and when a message arrives."""
        del req
        wanted = min(self.qty, self.max_concurrency)
        if wanted <= self.processes:
            self._waiting_since = None
            return False
        if self._waiting_since is None:
            self._waiting_since = monotonic()
        if monotonic() - self._waiting_since < WAIT_SECONDS:
            return False
        self._waiting_since = None
        self.scale_up(wanted - self.processes)
        return True
