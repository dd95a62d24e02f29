"""Running pricing policies: `planning` begins runs, `execution` works on them, `control` ends them."""

from scalecommerce_core.pricing.interface import POOLING_INTERVAL
from scalecommerce_core.services.repricing.common import (
    EVERYTHING,
    RETENTION,
    PricingStopped,
    RunInProgress,
    Selection,
    StrategyUnknown,
)
from scalecommerce_core.services.repricing.execution import WAIT_SECONDS, RunStep
from scalecommerce_core.services.repricing.planning import Preview
from scalecommerce_core.services.repricing.service import Repricing

__all__ = [
    "EVERYTHING",
    "POOLING_INTERVAL",
    "RETENTION",
    "WAIT_SECONDS",
    "Preview",
    "PricingStopped",
    "Repricing",
    "RunInProgress",
    "RunStep",
    "Selection",
    "StrategyUnknown",
]
