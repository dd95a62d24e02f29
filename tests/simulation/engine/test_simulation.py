"""The whole engine under simulated faults, in hundreds of runs that their seeds repeat.

`SIMULATION_SEED=123` runs one seed alone, `HYPOTHESIS_PROFILE=deep` thousands of new ones.
"""

import logging
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import pytest
from attrs import evolve

from scalecommerce_core.domain.errors import LedgerInconsistent
from scalecommerce_core.domain.payment import Declined, Payment
from scalecommerce_core.domain.rollups import Rollups
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.domain.webhook import WebhookAnswer
from scalecommerce_core.ports import Duplicate, NumberedEvent, Store, Transaction
from scalecommerce_core.testing import MemoryGateway, MemoryStore
from scalecommerce_core.testing.failpoints import seams
from scalecommerce_core.testing.simulation import Faults, Simulation, explore
from tests.simulation.engine.invariants import check_always, check_in_the_end
from tests.simulation.engine.world import Tamper, World
from tests.unit.support.tampering import TamperedStore, with_repository

STEPS = 60
OF_ORDERS = {
    "begin", "commit", "orders", "payments", "idempotency", "events", "gateway", "notifier", "webhook_sender",
    "stock.lock", "stock.try_lock", "stock.save", "deliveries.lock", "deliveries.save",
}  # fmt: skip
"""The ports (and single calls) at whose seams a process crashes."""
NOT_SIMULATED = {"orders.has_bought", "orders.unsettled", "idempotency.find"}
"""During a simulation no client logs in or deletes an account, and no order is refused because of the backlog."""
HARSH = Faults(crash=0.02, aborted=0.01, connection_lost=0.05, interleaved=0.1)


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """Silences the warnings about the gateway, of which there are thousands."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def run(simulation: Simulation, tamper: Tamper = lambda memory: memory) -> World:
    world = World(simulation, tamper)
    simulation.run(STEPS, after_each=lambda: check_always(world))
    world.settle()
    check_in_the_end(world)
    return world


def seeds() -> range:
    if alone := os.environ.get("SIMULATION_SEED"):
        return range(int(alone), int(alone) + 1)
    if os.environ.get("HYPOTHESIS_PROFILE") == "deep":
        first = random.randrange(10**9)
        return range(first, first + 5_000)
    return range(200)


def test_faults_lose_double_and_oversell_nothing() -> None:
    chosen = seeds()
    usual, harsh = [seed for seed in chosen if seed % 4], [seed for seed in chosen if not seed % 4]
    assert explore(usual, run) + explore(harsh, run, HARSH) == len(chosen)


def test_every_status_and_fault_occurs_in_the_runs() -> None:
    """Otherwise the runs would not test all cases."""
    missing = {"PAID", "CANCELLED", "REJECTED", "REFUNDED", "order.expired", "order.refunded", "DECLINED", "TOO_LATE"}
    faults = {"dies at", "is killed", "loses its connection", "is aborted"}
    missing |= faults

    def look(simulation: Simulation) -> None:
        world = run(simulation)
        tables = world.memory.tables
        missing.difference_update(order.status.value for order in tables.orders.all())
        missing.difference_update(payment.status.value for payment in tables.payments.all())
        missing.difference_update(event.topic for event in world.feed)
        missing.difference_update({fault for fault in faults if any(fault in line for line in simulation.trace)})

    for seed in range(200):
        explore([seed], look, HARSH)
        if not missing:
            break
    assert missing == set()


def test_a_crash_at_any_seam_of_an_order_s_life_loses_nothing() -> None:
    wanted = [
        each
        for each in seams()
        if {each.partition(":")[0], each.partition(".")[0]} & OF_ORDERS and each.partition(":")[0] not in NOT_SIMULATED
    ]
    visits: dict[str, Counter[int]] = {}
    for seed in range(300):
        for line in _trace(seed, Faults(0, 0, 0)):
            visits.setdefault(line.partition(" ")[2], Counter())[seed] += 1
        if visits.keys() >= set(wanted):
            break
    for seam in wanted:
        ((seed, _),) = visits[seam].most_common(1)
        # First crash at 40 % of the passes, so that work continues; then at the first pass, which the same run reaches.
        traces = (_trace(seed, Faults(crash, 0, 0, only_at=seam)) for crash in (0.4, 1))
        assert any(line.endswith(f"dies at {seam}") for trace in traces for line in trace), seam


def _trace(seed: int, faults: Faults) -> list[str]:
    traces: list[list[str]] = []
    explore([seed], lambda simulation: traces.append(run(simulation).simulation.trace), faults)
    return traces[0]


def plain(value: Any) -> Any:
    """The contents, because arrays and objects that contain them compare by identity."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if attrs.has(type(value)):
        return type(value), {each.name: plain(getattr(value, each.name)) for each in attrs.fields(type(value))}
    return value


def test_the_same_seed_makes_the_same_run() -> None:
    def trace(seed: int) -> tuple[list[str], Any]:
        simulation = Simulation(seed)
        world = run(simulation)
        return simulation.trace, [[plain(row) for row in part.all()] for part in world.memory.tables.parts()]

    assert trace(7) == trace(7)
    assert trace(7) != trace(8)


def test_an_error_names_its_seed_and_shows_what_went_before() -> None:
    def fail(simulation: Simulation) -> None:
        simulation.note("something happened")
        if simulation.seed == 3:
            raise AssertionError("it broke")

    with pytest.raises(AssertionError, match="it broke") as caught:
        explore(range(10), fail)
    (note,) = caught.value.__notes__
    assert "seed 3: explore([3], …)" in note
    assert note.endswith("something happened")


# --- what the simulation finds


def _stale_stock(memory: MemoryStore) -> Store:
    """Stock is read from an earlier read of this process, as without a lock."""
    seen: dict[Any, Stock] = {}

    def tamper(tx: Transaction) -> Transaction:
        def stale(found: Mapping[Any, Stock]) -> dict[Any, Stock]:
            read = {id_: evolve(seen.get(id_, stock), movements=[]) for id_, stock in found.items()}
            seen.update({id_: evolve(stock) for id_, stock in found.items()})
            return read

        return with_repository(
            tx,
            "stock",
            lock=lambda ids: stale(tx.stock.lock(ids)),
            try_lock=lambda ids: stale(tx.stock.try_lock(ids)),
        )

    return TamperedStore(memory, tamper=tamper)


def _forgotten_keys(memory: MemoryStore) -> Store:
    """Every idempotency key counts as new."""
    return TamperedStore(
        memory, tamper=lambda tx: with_repository(tx, "idempotency", claim=lambda _keys, _now: {}, store=lambda _: None)
    )


def _keys_of_their_own(memory: MemoryStore) -> Store:
    """A key is stored outside the transaction of its effect, even if the order is not."""

    def tamper(tx: Transaction) -> Transaction:
        def store(bodies: Any) -> None:
            tx.idempotency.store(bodies)
            memory.tables.keys.commit()

        return with_repository(tx, "idempotency", store=store)

    return TamperedStore(memory, tamper=tamper)


def _forgotten_commands(memory: MemoryStore) -> Store:
    """A retry after a lost COMMIT does not find its order."""
    return TamperedStore(memory, tamper=lambda tx: with_repository(tx, "orders", by_command=lambda _: {}))


def _told_before_the_commit(memory: MemoryStore) -> Store:
    """Events are published before the commit, even if the transaction fails."""

    def tamper(tx: Transaction) -> Transaction:
        def save(orders: Any) -> None:
            tx.orders.save(orders)
            memory.tables.events.commit()

        return with_repository(tx, "orders", save=save)

    return TamperedStore(memory, tamper=tamper)


def _numbered_by_time(memory: MemoryStore) -> Store:
    """Events are numbered by time: events of slow clocks appear before the position of readers."""

    def tamper(tx: Transaction) -> Transaction:
        def read_after(seq: int, limit: int) -> list[NumberedEvent]:
            events = sorted(tx.events.read_after(0, 1_000_000), key=lambda event: event.at)
            return [evolve(event, seq=place) for place, event in enumerate(events, 1)][seq : seq + limit]

        return with_repository(tx, "events", read_after=read_after)

    return TamperedStore(memory, tamper=tamper)


def _a_place_of_its_own(memory: MemoryStore) -> Store:
    """The position of the fan-out is stored even if its deliveries are not."""

    def tamper(tx: Transaction) -> Transaction:
        def advance(consumer: str, seq: int) -> None:
            tx.events.advance(consumer, seq)
            memory.tables.event_marks.commit()

        return with_repository(tx, "events", advance=advance)

    return TamperedStore(memory, tamper=tamper)


def _sold_without_a_ledger(memory: MemoryStore) -> Store:
    def tamper(tx: Transaction) -> Transaction:
        return with_repository(
            tx,
            "stock",
            save=lambda stocks, at=None: tx.stock.save([evolve(stock, movements=[]) for stock in stocks], at),
        )

    return TamperedStore(memory, tamper=tamper)


def _counted_before_the_commit(memory: MemoryStore) -> Store:
    def tamper(tx: Transaction) -> Transaction:
        def add(rollups: Rollups) -> None:
            tx.statistics.add(rollups)
            memory.tables.rollups.commit()

        return with_repository(tx, "statistics", add=add)

    return TamperedStore(memory, tamper=tamper)


@pytest.mark.parametrize(
    "broken",
    [
        _counted_before_the_commit,
        _stale_stock,
        _forgotten_keys,
        _keys_of_their_own,
        _forgotten_commands,
        _told_before_the_commit,
        _numbered_by_time,
        _a_place_of_its_own,
        _sold_without_a_ledger,
    ],
)
def test_a_broken_store_is_found(broken: Tamper) -> None:
    with pytest.raises((AssertionError, LedgerInconsistent, Duplicate)) as caught:
        explore(range(200), lambda simulation: run(simulation, broken), HARSH)
    assert "This was seed" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("kind", "rule", "broken"),
    [
        (Stock, "available", property(lambda stock: stock.on_hand)),
        (Stock, "release", lambda _stock, _quantity: None),
        (Stock, "reserve", lambda _stock, _quantity: None),
        (Payment, "record_late_charge", lambda payment, _charged, now: payment.schedule_check(now)),
        (Payment, "add_refund", lambda _payment, _minor, _now: None),
        (WebhookAnswer, "is_success", True),
        (Payment, "record_unknown", lambda payment, now: payment.decline(Declined("unknown"), now)),
    ],
)
def test_a_broken_rule_is_found(monkeypatch: pytest.MonkeyPatch, kind: type, rule: str, broken: object) -> None:
    monkeypatch.setattr(kind, rule, broken)
    with pytest.raises((AssertionError, LedgerInconsistent)):
        explore(range(200), run, HARSH)


def test_a_gateway_that_forgets_its_charges_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryGateway, "find", lambda _gateway, _key: None)
    with pytest.raises(AssertionError, match="is held"):
        explore(range(200), run, HARSH)
