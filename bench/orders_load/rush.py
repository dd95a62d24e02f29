"""A rush: ten thousand buyers for a hundred units, with checks of the stock in every sample."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from attrs import Factory, define, frozen

from adapters.db.core.connection_parameters import open_connection
from bench.orders_load.engine import MeasuredEngine
from bench.orders_load.figures import undecided
from bench.orders_load.market import existing_column
from bench.orders_load.steady import SteadyClient, Taken, order_request

PRODUCT: Final = 1
SAMPLE_SECONDS: Final = 0.02
SETTLE_SECONDS: Final = 120.0

_SET_STOCK: Final = """
WITH moved AS (
    INSERT INTO stock_movements (product_id, quantity, kind, {occurred_at})
    SELECT product_id, %(units)s - on_hand, 'adjustment', now() FROM stock WHERE product_id = %(product)s
)
UPDATE stock SET on_hand = %(units)s WHERE product_id = %(product)s
"""
# One statement, so that stock, ledger and orders are of one snapshot.
_SAMPLE: Final = """
WITH held AS MATERIALIZED (SELECT id, status FROM orders WHERE status IN ('PENDING', 'PAID')),
     units AS MATERIALIZED (
         SELECT status, quantity FROM held JOIN order_lines ON order_id = held.id WHERE product_id = %(product)s
     )
SELECT on_hand, reserved,
       (SELECT sum(quantity) FROM stock_movements WHERE product_id = %(product)s),
       (SELECT coalesce(-sum(quantity), 0) FROM stock_movements WHERE product_id = %(product)s AND kind = 'sale'),
       (SELECT coalesce(sum(quantity), 0) FROM units WHERE status = 'PENDING'),
       (SELECT coalesce(sum(quantity), 0) FROM units WHERE status = 'PAID')
FROM stock WHERE product_id = %(product)s
"""
_DEADLOCKS: Final = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@define
class Samples:
    """The number of samples, and a description of each inconsistent one."""

    taken: int = 0
    wrong: list[str] = Factory(list)

    def add(self, row: Sequence[int], units: int) -> None:
        on_hand, reserved, ledger, sold, pending, paid = row
        self.taken += 1
        if not (0 <= reserved <= on_hand and ledger == on_hand and reserved == pending and sold == paid):
            self.wrong.append(
                f"on hand {on_hand}, reserved {reserved}, ledger {ledger}, pending {pending}, paid {paid}"
            )
        elif on_hand + sold != units:
            self.wrong.append(f"{on_hand} on hand and {sold} sold are not {units}")


@frozen
class Rush:
    """The outcome: `sold` paid units, `rejected` orders, the number of `samples`, and the `wrong` ones."""

    buyers: int
    units: int
    accepted: int
    sold: int
    rejected: int
    seconds: float
    samples: int
    wrong: Sequence[str]
    deadlocks: int

    @property
    def holds(self) -> bool:
        return (
            self.accepted == self.buyers
            and self.sold == self.units
            and self.rejected == self.buyers - self.units
            and not self.wrong
            and self.deadlocks == 0
        )


def rush(engine: MeasuredEngine, url: str, tokens: Sequence[str], *, units: int, connections: int = 256) -> Rush:
    """Let each buyer order one unit at the same time, and pay the accepted orders.

    Raises TimeoutError if orders stay undecided.
    """
    with open_connection(url, autocommit=True) as connection:
        set_stock = _SET_STOCK.format(occurred_at=existing_column(url, "stock_movements", "occurred_at", "at"))
        connection.execute(set_stock.encode(), {"units": units, "product": PRODUCT})
        deadlocks = _number(connection, _DEADLOCKS)
        begun = time.perf_counter()
        with _watched(url, units) as samples:
            taken = asyncio.run(_order(engine, tokens, connections))
            _settle(url)
            seconds = time.perf_counter() - begun
            asyncio.run(_pay(engine, _served(connection, tokens)))
        states: dict[str, int] = dict(
            connection.execute("SELECT status, count(*) FROM orders GROUP BY status").fetchall()
        )
        # Sessions report their statistics after a second, or when they end.
        time.sleep(1.5)
        return Rush(
            buyers=len(tokens),
            units=units,
            accepted=len(taken.accepted),
            sold=states.get("PAID", 0),
            rejected=states.get("REJECTED", 0),
            seconds=seconds,
            samples=samples.taken,
            wrong=samples.wrong,
            deadlocks=_number(connection, _DEADLOCKS) - deadlocks,
        )


async def _order(engine: MeasuredEngine, tokens: Sequence[str], connections: int) -> Taken:
    async with SteadyClient(engine, connections) as client:
        for token in tokens:
            client.send(order_request(engine, token, [PRODUCT]), time.perf_counter())
        await client.all_answered(SETTLE_SECONDS)
        return client.taken


def _settle(url: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while undecided(url):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{undecided(url)} orders are still undecided.")
        time.sleep(0.05)


def _served(connection: "psycopg.Connection", tokens: Sequence[str]) -> list[tuple[int, str]]:
    """Return pending orders with the tokens of their buyers; buyer ids and tokens are in the same order."""
    rows = connection.execute("SELECT id, buyer_id FROM orders WHERE status = 'PENDING' ORDER BY id").fetchall()
    first = _number(connection, "SELECT min(buyer_id) FROM orders")
    return [(order, tokens[buyer - first]) for order, buyer in rows]


async def _pay(engine: MeasuredEngine, served: Sequence[tuple[int, str]]) -> None:
    async with SteadyClient(engine, 16) as client:
        for order, token in served:
            request = (
                f"POST /orders/api/v1/{order}/pay/ HTTP/1.1\r\nHost: {engine.host}:{engine.port}\r\n"
                f"Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
            )
            client.send(request.encode(), time.perf_counter())
        await client.all_answered(SETTLE_SECONDS)


@contextmanager
def _watched(url: str, units: int) -> Iterator[Samples]:
    """Sample stock, ledger and orders repeatedly from a separate session, until the block ends."""
    samples, over = Samples(), threading.Event()

    def sample() -> None:
        with open_connection(url, autocommit=True) as connection:
            while True:
                last = over.is_set()
                row = connection.execute(_SAMPLE, {"product": PRODUCT}).fetchone()
                samples.add(row or (), units)
                if last:
                    return
                over.wait(SAMPLE_SECONDS)

    thread = threading.Thread(target=sample, name="samples")
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _number(connection: "psycopg.Connection", statement: str) -> int:
    row = connection.execute(statement.encode()).fetchone()
    return int(row[0]) if row else 0
