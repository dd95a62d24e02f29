"""Figures of each fault, counts of what must not happen, and whether the test is passed."""

import bisect
import itertools
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg
from attrs import define, field, frozen

from bench.failover import PROMISED_FRESHNESS
from tests.cluster.cluster_run import Round
from tests.cluster.load import AcknowledgedOrder, ClientLog, PriceChange, PriceRead, ReadinessAnswer

MARGIN: Final = 3.0
"""Seconds by which the outage of intake may exceed the election of a leader."""
COMMAND_DEADLINE: Final = 10.0
"""The default of `COMMAND_DEADLINE_SECONDS`. Intake hangs if no order was acknowledged for longer than a command may
take, and `/readyz` must say so from then on."""
SAMPLING: Final = 1.0
"""Seconds between an answer of `/readyz` or an order and the next, at most, when both work."""
DECIDED_SECONDS: Final = 120.0
SAMPLE: Final = 200
"""Acknowledged orders that are sent again at the end."""


@frozen
class Gap:
    """Times without an acknowledged order, in seconds of `time.monotonic`."""

    begun: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


def gaps(times: Sequence[float], begun: float, ended: float) -> list[Gap]:
    """The gaps between sorted times within an interval, with those at its edges."""
    inside = times[bisect.bisect_left(times, begun) : bisect.bisect_right(times, ended)]
    return [Gap(*pair) for pair in itertools.pairwise([begun, *inside, ended])]


def percentile_95(values: Iterable[float]) -> float:
    """The nearest-rank 95th percentile."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]


@frozen
class RoundFigures:
    """Seconds. `outage`: the longest time without an acknowledged order of one API process, in the whole round;
    `intake_outage`: the same of both together. `ready_in_outage`: from the last acknowledged order to the latest
    `/readyz` that was 200 although no order was acknowledged then or in the next second. `recovery`: from the end of
    the fault until the cluster was healthy.
    """

    number: int
    fault: str
    election: float
    outage: float
    intake_outage: float
    ready_in_outage: float
    recovery: float
    orders: int

    @property
    def excess(self) -> float:
        """Seconds by which the outage was longer than the election."""
        return self.outage - self.election

    @property
    def is_ready_while_intake_hangs(self) -> bool:
        return self.ready_in_outage > COMMAND_DEADLINE + SAMPLING


def measure(of: Round, log: ClientLog) -> RoundFigures:
    begun, ended = of.begun - SAMPLING, of.over_at
    apis = sorted({order.api for order in log.orders})
    longest, ready, everything = 0.0, 0.0, []
    for api in apis:
        times = sorted(order.ended for order in log.orders if order.api == api)
        everything += times
        found = gaps(times, begun, ended)
        longest = max(longest, *(gap.seconds for gap in found))
        ready = max(ready, ready_in_gaps(found, [answer for answer in log.readiness if answer.api == api]))
    everything.sort()
    return RoundFigures(
        number=of.number,
        fault=of.fault,
        election=of.election,
        outage=longest,
        intake_outage=max(gap.seconds for gap in gaps(everything, begun, ended)),
        ready_in_outage=ready,
        recovery=of.healthy_at - of.ended_at,
        orders=bisect.bisect_right(everything, ended) - bisect.bisect_left(everything, begun),
    )


def ready_in_gaps(found: Sequence[Gap], answers: Sequence[ReadinessAnswer]) -> float:
    """Seconds from the beginning of a gap to the latest answer in it that said ready although the gap continued."""
    ready = [answer.ended for answer in answers if answer.is_ready]
    return max(
        (moment - gap.begun for gap in found for moment in ready if gap.begun < moment < gap.ended - SAMPLING),
        default=0.0,
    )


def count_stale_reads(changes: Sequence[PriceChange], reads: Sequence[PriceRead]) -> int:
    """Reads of a price below one that was acknowledged `PROMISED_FRESHNESS` before the read began."""
    acknowledged = sorted((change.ended, change.price) for change in changes if change.status == 200)
    moments = [moment for moment, _ in acknowledged]
    highest = list(itertools.accumulate((price for _, price in acknowledged), max))
    stale = 0
    for read in reads:
        before = bisect.bisect_left(moments, read.begun - PROMISED_FRESHNESS)
        stale += before > 0 and read.price < highest[before - 1]
    return stale


def count_late_writes(history: Sequence[int]) -> int:
    """Prices after a higher one: the seller only raises the price, so these were written late."""
    return sum(later < earlier for earlier, later in itertools.pairwise(history))


@define
class Totals:
    """Counts of the whole test; all but `acknowledged`, `sold_out`, `price_changes` and `reads` must be 0."""

    acknowledged: int = 0
    sold_out: int = 0
    """Products with few units of which all were sold."""
    price_changes: int = 0
    reads: int = 0
    lost: int = 0
    altered: int = 0
    """Acknowledged orders that are stored with another product."""
    duplicated: int = 0
    answered_otherwise: int = 0
    """Repeated requests that were answered with another order."""
    never_acknowledged: int = 0
    refused: int = 0
    undecided: int = 0
    oversold: int = 0
    """Units that were sold beyond the stock, over all products."""
    stale_reads: int = 0
    late_writes: int = 0
    audits: list[str] = field(factory=list)
    """Audits of the engine that found differences."""

    def violations(self) -> Mapping[str, int]:
        return {
            "orders lost": self.lost,
            "orders stored otherwise": self.altered,
            "orders duplicated": self.duplicated,
            "repeated requests answered otherwise": self.answered_otherwise,
            "orders never acknowledged": self.never_acknowledged,
            "orders refused": self.refused,
            "orders undecided": self.undecided,
            "units oversold": self.oversold,
            "stale reads": self.stale_reads,
            "late writes": self.late_writes,
            "audits with differences": len(self.audits),
        }


def compare_orders(
    acknowledged: Sequence[AcknowledgedOrder], unacknowledged: int, stored: Mapping[int, int], totals: Totals
) -> None:
    """Count what differs between the orders that were acknowledged and those that are stored, as product by order."""
    ids = [order.id for order in acknowledged]
    totals.acknowledged = len(ids)
    totals.lost = len(set(ids) - stored.keys())
    totals.altered = sum(order.id in stored and stored[order.id] != order.product for order in acknowledged)
    # Each order without an acknowledgement may exist once.
    unexplained = len(stored.keys() - set(ids))
    totals.duplicated = max(0, unexplained - unacknowledged) + len(ids) - len(set(ids))


class StoredMarket:
    """What the database has at the end, by SQL that is independent of the engine."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection

    def await_decisions(self) -> int:
        """Wait until every order is decided; return how many are not."""
        until = time.monotonic() + DECIDED_SECONDS
        while (undecided := self._number("SELECT count(*) FROM orders WHERE status = 'CREATED'")) > 0:
            if time.monotonic() > until:
                break
            time.sleep(0.5)
        return undecided

    def orders(self) -> dict[int, int]:
        """The product of each order; each has one line."""
        return dict(self._connection.execute("SELECT order_id, product_id FROM order_lines").fetchall())

    def price_history(self, product: int) -> list[int]:
        statement = "SELECT price FROM price_history WHERE product_id = %s ORDER BY valid_from"
        return [price for (price,) in self._connection.execute(statement, [product]).fetchall()]

    def units_sold(self) -> dict[int, int]:
        """Units of each product that accepted orders have."""
        statement = """
            SELECT l.product_id, sum(l.quantity)::bigint FROM orders o JOIN order_lines l ON l.order_id = o.id
            WHERE o.status NOT IN ('CREATED', 'REJECTED', 'CANCELLED') GROUP BY l.product_id
        """
        return dict(self._connection.execute(statement).fetchall())

    def _number(self, statement: str) -> int:
        ((number,),) = self._connection.execute(statement.encode()).fetchall()
        return int(number)


def count_oversold(opening: Mapping[int, int], sold: Mapping[int, int], totals: Totals) -> None:
    totals.oversold = sum(max(0, sold.get(product, 0) - units) for product, units in opening.items())
    totals.sold_out = sum(sold.get(product, 0) == units for product, units in opening.items())
