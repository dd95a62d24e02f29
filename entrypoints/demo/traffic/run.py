"""The demo's traffic as a process: a few buyers and a modest rate of visits, until a signal."""

import logging
import random
import signal
import threading
from types import FrameType
from typing import Final

from entrypoints import logs
from entrypoints.demo.traffic.pacing import Pacer
from entrypoints.demo.traffic.plan import TrafficPlan
from entrypoints.demo.traffic.visitors import BuyerClient, Visitor
from entrypoints.settings import Settings

logger = logging.getLogger(__name__)

VISITS_PER_SECOND: Final = 25.0
"""All visitors together. Their orders and payments are further requests: about 35 per second in all."""


def run_traffic(settings: Settings, host: str, port: int, plan: TrafficPlan) -> None:
    """Visit the API at `host` and `port` until SIGTERM or SIGINT."""
    logs.configure(settings, "traffic")
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    rng = random.Random()  # noqa: S311 - not used for secrets
    pacer = Pacer(VISITS_PER_SECOND, random.Random(rng.random()))  # noqa: S311
    visitors = [
        Visitor(BuyerClient(host, port, email, plan.password), plan.demands, pacer, stop, random.Random(rng.random()))  # noqa: S311
        for email in plan.buyers
    ]
    logger.info("visitors have started", extra={"visits_per_second": VISITS_PER_SECOND, "buyers": len(visitors)})
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    counts = [visitor.counts for visitor in visitors]
    logger.info(
        "visitors have stopped",
        extra={
            "views": sum(each.views for each in counts),
            "orders": sum(each.orders for each in counts),
            "paid": sum(each.paid for each in counts),
        },
    )
