"""The metrics of a program: its exporter, and what each of its processes counts."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client.registry import Collector

from adapters.metrics import definitions
from adapters.metrics.definitions import LAYOUT
from adapters.metrics.exporter import ProcessesCollector, export
from adapters.metrics.recorder import HttpMeasurements, MarketMeasurements, Recorder, Sampler
from adapters.metrics.series import Program
from adapters.metrics.shared_file import SharedFile, claim_row, create_file
from entrypoints.processes.errors import CannotRun
from entrypoints.settings import Settings

logger = logging.getLogger(__name__)

FILE_VARIABLE: Final = "SCALECOMMERCE_METRICS_FILE"
"""The file in which the processes of this program count. Their parent sets it; it is not a setting for users."""


def start_exporter(
    settings: Settings, program: Program, more_figures: Callable[[Settings], Collector] | None = None
) -> None:
    """Serve `/metrics` from this process, which must not have forked yet; without a `METRICS_PORT` do nothing.

    `more_figures` builds another source of figures. Raise CannotRun if the port cannot be used.
    """
    os.environ.pop(FILE_VARIABLE, None)
    if not settings.metrics_port:
        return
    path = create_file(LAYOUT)
    collectors: list[Collector] = [ProcessesCollector(program, SharedFile(path, LAYOUT).rows)]
    if more_figures is not None:
        collectors.append(more_figures(settings))
    try:
        export(settings.metrics_port, settings.metrics_host, collectors)
    except OSError as error:
        raise CannotRun(
            f"METRICS_PORT: cannot listen on {settings.metrics_host} port {settings.metrics_port}:"
            f" {error.strerror or error}. Choose another one, or another METRICS_HOST."
        ) from error
    os.environ[FILE_VARIABLE] = str(path)
    logger.info("metrics are served at http://%s:%d/metrics", settings.metrics_host, settings.metrics_port)


class ProcessMetrics:
    """What one process counts."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.http = HttpMeasurements(recorder)
        self.market = MarketMeasurements(recorder)
        self.sampler = Sampler(recorder)

    def on_task(self, name: str, seconds: float, failed: bool) -> None:
        self.recorder.observe(definitions.TASK_SECONDS, [seconds], name)
        if failed:
            self.recorder.add(definitions.TASK_FAILURES, 1, name)

    def on_message(self, task: str) -> None:
        """Beat has sent a message."""
        self.recorder.add(definitions.BEAT_MESSAGES, 1, task)
        self.recorder.set(definitions.BEAT_SENT_AT, time.time())


def open_process_metrics() -> ProcessMetrics | None:
    """The metrics of this process, once it has forked; None if its program exports none."""
    path = os.environ.get(FILE_VARIABLE)
    if not path:
        return None
    row = claim_row(Path(path), LAYOUT)
    return None if row is None else ProcessMetrics(Recorder(row))
