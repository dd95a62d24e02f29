"""The event feed with writers that commit late or roll back and relays that fail: readers miss no event."""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, text

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.errors import ConnectionLost, Invalid
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.product import Product
from scalecommerce_core.ports import Transaction
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.contracts.stage import CATEGORY, NOW, Stage, usd
from scalecommerce_core.testing.contracts.transactions import IntentionalRollback
from tests.integration.recorded_statements import recorded_statements
from tests.integration.test_db_statements import nodes


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database, pool_size=20)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> PostgresStore:
    return PostgresStore(engine)


def add_products(tx: Transaction, seller: AccountId, count: int) -> list[ProductId]:
    """Add products, each with its event; return their ids."""
    ids = list(tx.products.next_ids(count))
    tx.products.add(
        [
            Product.listed(id=id_, seller_id=seller, category_id=CATEGORY, name="Cup", price=usd(5), now=NOW)
            for id_ in ids
        ]
    )
    return ids


# --- everything at once


class Follower:
    """Reads the feed page by page, as a client does, and never reads an earlier position again."""

    def __init__(self, engine: Engine, account: AccountId | None) -> None:
        self._queries = PostgresQueries(engine)
        self._account = account
        self._after = 0
        self.numbers: list[int] = []
        self.products: list[ProductId] = []

    def read(self) -> bool:
        page = self._queries.feed(self._after, 5, self._account)
        for event in page.events:
            assert event.seq > self._after
            self.numbers.append(event.seq)
            self.products.append(event.data["product"])
        self._after = page.next_after
        return bool(page.events)


class Consumer:
    """Reads events in transactions, some of which fail after the position was advanced."""

    def __init__(self, store: PostgresStore, choice: random.Random) -> None:
        self._store = store
        self._choice = choice
        self.numbers: list[int] = []

    def read(self) -> bool:
        seen: list[int] = []
        with suppress(IntentionalRollback), self._store.begin() as tx:
            place = tx.events.claim("test")
            assert place is not None
            seen = [event.seq for event in tx.events.read_after(place, 4)]
            if seen:
                tx.events.advance("test", seen[-1])
            fail(self._choice, 0.2)
            # From here on, only the commit can fail.
            self.numbers += seen
        return bool(seen)


def fail(choice: random.Random, probability: float) -> None:
    if choice.random() < probability:
        raise IntentionalRollback


class RandomSellers:
    """Sellers who list products in slow transactions, some of which are rolled back."""

    def __init__(self, store: PostgresStore, seed: int) -> None:
        stage = Stage(store)
        self._store = store
        self._seed = seed
        self.committed: dict[AccountId, list[ProductId]] = {stage.account(): [] for _ in range(4)}
        self.closed = threading.Event()

    def write(self, seller: AccountId) -> None:
        choice = random.Random(f"{self._seed} {seller}")
        for _ in range(25):
            with suppress(IntentionalRollback):
                with self._store.begin() as tx:
                    ids = add_products(tx, seller, choice.randint(1, 4))
                    # During this pause, transactions that began later commit first.
                    time.sleep(choice.random() * 0.02)
                    fail(choice, 0.3)
                self.committed[seller] += ids

    def number(self, name: str) -> None:
        """Run a relay whose transactions sometimes fail."""
        choice = random.Random(f"{self._seed} {name}")
        while not self.closed.is_set():
            with suppress(IntentionalRollback), self._store.begin() as tx:
                tx.events.assign_sequence(choice.randint(1, 9))
                fail(choice, 0.3)

    def follow(self, reader: Follower | Consumer) -> None:
        while not self.closed.is_set():
            reader.read()


@pytest.mark.parametrize("seed", range(3))
def test_readers_miss_no_event_of_late_commits(engine: Engine, store: PostgresStore, seed: int) -> None:
    market = RandomSellers(store, seed)
    sellers = list(market.committed)
    everything, own = Follower(engine, None), Follower(engine, sellers[0])
    consumer = Consumer(store, random.Random(seed))
    with store.begin() as tx:
        assert tx.events.claim("test") == 0
    with ThreadPoolExecutor(12) as threads:
        writers = [threads.submit(market.write, seller) for seller in sellers]
        others = [threads.submit(market.number, name) for name in ("one", "two")]
        others += [threads.submit(market.follow, reader) for reader in (everything, own, consumer)]
        try:
            for writer in writers:
                writer.result(timeout=60)
        finally:
            market.closed.set()
        for other in others:
            other.result(timeout=60)
    while OutboxRelay(store, SettableClock(NOW)).assign_sequence(10):
        pass
    for reader in (everything, own, consumer):
        while reader.read():
            pass
    wanted = sorted(product for products in market.committed.values() for product in products)
    assert len(wanted) > 100
    assert everything.numbers == consumer.numbers == list(range(1, len(wanted) + 1))
    assert sorted(everything.products) == wanted
    assert own.products == market.committed[sellers[0]], "a writer's events come in the order of its commits"


def test_a_relay_that_loses_its_connection_loses_no_event(engine: Engine, store: PostgresStore) -> None:
    stage = Stage(store)
    for _ in range(5):
        stage.product()

    def killed() -> None:
        with store.begin() as tx:
            assert tx.events.assign_sequence(3) == 3
            with engine.begin() as other:
                other.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks"
                        " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                    )
                )
            tx.events.last_seq()

    with pytest.raises(ConnectionLost):
        killed()
    relay = OutboxRelay(store, SettableClock(NOW))
    assert [relay.assign_sequence(4) for _ in range(3)] == [4, 1, 0]
    assert [event.seq for event in PostgresQueries(engine).feed(0, 10, None).events] == [1, 2, 3, 4, 5]


def test_a_second_relay_returns_at_once(store: PostgresStore) -> None:
    Stage(store).product()
    relay = OutboxRelay(store, SettableClock(NOW))
    with store.begin() as tx:
        assert tx.events.assign_sequence(10) == 1
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(relay.assign_sequence).result(timeout=20) == 0
    assert relay.assign_sequence() == 0


def test_a_consumer_is_locked_by_one_transaction_at_a_time(store: PostgresStore) -> None:
    def claim() -> int | None:
        with store.begin() as other:
            return other.events.claim("mail")

    with store.begin() as tx:
        tx.events.claim("mail")
    with store.begin() as tx, ThreadPoolExecutor(1) as thread:
        assert tx.events.claim("mail") == 0
        assert thread.submit(claim).result(timeout=20) is None
    assert claim() == 0


FAR = 2**34
"""From this number of an event on, the ranges of neighbouring accounts in an index of readers overlap."""


@pytest.mark.parametrize("position", [1, 2, 3])
@pytest.mark.parametrize("account", [7, 2**28 - 1, 2**29 - 1, 2**30 - 2, 2**62])
def test_pages_are_right_where_the_ranges_of_accounts_overlap(engine: Engine, position: int, account: int) -> None:
    others = ", ".join(str(2**40 + n) for n in range(1, position))
    with engine.begin() as connection:
        connection.execute(
            text(
                f"""
                INSERT INTO events (seq, occurred_at, {", ".join(f"reader_{n}" for n in range(1, position + 1))},
                    topic, payload)
                SELECT seq, now(), {others + ", " if others else ""} reader, 'product.edited',
                    '{{"product_id": 1, "seller_id": 1}}'
                FROM unnest(CAST(:numbers AS bigint[]), CAST(:readers AS bigint[])) AS event(seq, reader)
                """  # noqa: S608 - numbers
            ),
            {
                "numbers": [1, 2, 3, FAR + 1, FAR + 2, FAR + 3, FAR + 4],
                "readers": [account, account + 1, account, account, account + 1, account - 1, account],
            },
        )
        connection.execute(text("INSERT INTO event_counter (singleton, last) VALUES (true, :last)"), {"last": FAR + 4})
    queries = PostgresQueries(engine)

    def numbers(reader: int, after: int = 0, limit: int = 10) -> list[int]:
        return [event.seq for event in queries.feed(after, limit, AccountId(reader)).events]

    assert numbers(account) == [1, 3, FAR + 1, FAR + 4]
    assert numbers(account, limit=3) == [1, 3, FAR + 1]
    assert numbers(account, after=3) == [FAR + 1, FAR + 4]
    assert numbers(account, after=FAR + 1) == [FAR + 4]
    assert numbers(account + 1) == [2, FAR + 2]
    assert numbers(account + 1, after=2) == [FAR + 2]
    assert numbers(account - 1) == [FAR + 3]
    with pytest.raises(Invalid, match="so far"):
        numbers(account, after=2**63 - 1)


# --- what a page costs

EVENTS = 100_000
BUSY, OLD, NEW, NOBODY = (AccountId(number) for number in (1, 2, 3, 4))


@pytest.fixture(scope="module", params=[1, 3, 4])
def crowded(make_database: Callable[[], str], request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One account has two fifths of all events, a second the first three events, a third the last event.

    They have the same position in the audience of each event: one with an index, or the first of `event_audience`.
    """
    engine = database_engine(make_database())
    with engine.begin() as connection:
        connection.execute(
            text(
                """
                WITH numbered AS (
                    SELECT n AS seq,
                        array_fill(10, ARRAY[CAST(:others AS int)])
                        || CASE WHEN n <= 3 THEN 2 WHEN n = :events THEN 3 WHEN n % 5 < 2 THEN 1 ELSE 100 + n % 500 END
                        || ARRAY[10, 10, 10, 10] AS readers
                    FROM generate_series(1, CAST(:events AS bigint)) AS n
                ), stored AS (
                    INSERT INTO events (seq, occurred_at, reader_1, reader_2, reader_3, topic, payload)
                    SELECT seq, now(), readers[1], readers[2], readers[3], 'product.edited',
                        '{"product_id": 1, "seller_id": 1}'
                    FROM numbered
                )
                INSERT INTO event_audience SELECT DISTINCT account, seq FROM numbered, unnest(readers[4:]) AS account
                """
            ),
            {"events": EVENTS, "others": request.param - 1},
        )
        connection.execute(text("INSERT INTO event_counter (singleton, last) VALUES (true, :last)"), {"last": EVENTS})
    yield engine
    engine.dispose()


REGIMES: dict[str, tuple[int | None, AccountId | None, int]] = {
    "staff, caught up": (EVENTS, None, 0),
    "staff, far behind": (0, None, 100),
    "caught up, many events": (EVENTS - 1, BUSY, 0),
    "far behind, many events": (None, BUSY, 100),
    "far behind, few events long ago": (0, OLD, 3),
    "behind the few events there are": (3, OLD, 0),
    "far behind, few events lately": (0, NEW, 1),
    "no events": (0, NOBODY, 0),
}


@pytest.mark.parametrize("known", ["no statistics", "statistics"])
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
def test_a_page_reads_only_the_rows_that_it_returns_for_any_reader(
    crowded: Engine, subtests: pytest.Subtests, known: str, plan: str
) -> None:
    """The generic plan must be as good as the plan for these parameters, because the statement stays prepared."""
    if known == "statistics":
        with crowded.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    for regime, (after, account, expected) in REGIMES.items():
        with subtests.test(regime):
            with recorded_statements() as statements:
                page = PostgresQueries(crowded).feed(after, 100, account)
            assert len(page.events) == expected
            ((statement, parameters),) = statements
            scans = list(_scans(crowded, statement, parameters, plan))
            assert "Seq Scan" not in {kind for kind, _, _ in scans}, scans
            assert sum(rows for _, _, rows in scans) <= 2 * expected + 1, scans


def _scans(engine: Engine, statement: str, parameters: dict[str, Any], plan: str) -> Iterator[tuple[str, str, int]]:
    """(kind, table, number of rows read) of each scan in a plan of the kind `plan`."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    prepared = re.sub(r"%\((\w+)\)s(?:::\w+)?", number, statement)
    values: Sequence[int | None] = [parameters[name] for name in names]
    given = ", ".join("NULL" if value is None else str(value) for value in values)
    kinds = ", ".join("bigint" for _ in names)
    with engine.connect() as connection:
        run = connection.exec_driver_sql
        run(f"SET LOCAL plan_cache_mode = {plan}")
        run(f"PREPARE page ({kinds}) AS {prepared}")
        (found,) = run(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page ({given})").one()
        run("DEALLOCATE page")
    for node in nodes(found[0]["Plan"]):
        table = node.get("Relation Name", "")
        if table and table != "event_counter":
            looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            yield node["Node Type"], table, round(looked_at * node["Actual Loops"])
