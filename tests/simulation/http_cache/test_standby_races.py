"""Simulates processes that read from standbys: the promises of the cache hold, whatever the standbys have replayed.

The rules for reading from a standby are the real ones, beside those of the cache (`test_cache_races`). Each process
reads from a standby of its own, which replays the log of the primary in its order, as late as a seed determines.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from attrs import define, field

from adapters.db.core.standby_freshness import MAX_FEED_AGE, Fallback, StandbyFreshness
from adapters.db.core.standby_monitor import MAX_SILENCE, Horizon, PolledInstance, Standby
from adapters.db.queries.standby_products import StandbyProductQueries
from adapters.http.cache.invalidation import HEARTBEAT_TIMEOUT
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.queries import PageRequest, ProductFilter, ProductQueries, ProductView
from tests.simulation.http_cache.test_cache_races import PRODUCTS, Database, Process, Reads, Simulation, _view

SEEDS = 400
SERVER = Standby("postgresql://127.0.0.1:1/shop")
"""Stands for all standbys; it is never connected."""
INSTANCE = SERVER.instance = PolledInstance("started once")


class Replica:
    """A standby that has replayed the first `replayed` records, and the monitor of its only reader."""

    standbys: Sequence[Standby] = (SERVER,)

    def __init__(self, database: Database, meanwhile: Callable[[], None]) -> None:
        self._database = database
        self._meanwhile = meanwhile
        self.replayed = 0
        self._polled: tuple[float, int] | None = None

    # The server

    def replay(self, count: int) -> None:
        self.replayed = min(len(self._database.wal), self.replayed + count)

    def versions(self) -> dict[ProductId, int]:
        found = dict.fromkeys(PRODUCTS, 0)
        for kind, _, product in self._database.wal[: self.replayed]:
            found[product] += kind == "commit"
        return found

    def horizon(self) -> int:
        records = self._database.wal[: self.replayed]
        begun = {number for kind, number, _ in records if kind == "begin"}
        ended = {number for kind, number, _ in records if kind == "commit"}
        return min(begun - ended, default=max(begun, default=9) + 1)

    def products(self, ids: Sequence[ProductId]) -> Mapping[ProductId, ProductView]:
        self._meanwhile()
        versions = self.versions()
        self._meanwhile()
        return {product: _view(product, versions[product]) for product in ids}

    def search(self, _criteria: ProductFilter, _page: PageRequest) -> dict[ProductId, int]:
        self._meanwhile()
        return self.versions()

    # The monitor

    def poll(self) -> None:
        self._polled = self._database.now, self.horizon()

    def pause(self) -> None:
        self._polled = None

    def choose(self) -> tuple[Standby, Horizon] | None:
        if self._polled is None or self._database.now - self._polled[0] > MAX_SILENCE:
            return None
        polled_at, number = self._polled
        return SERVER, Horizon(number, INSTANCE, polled_at)

    def poll_soon(self) -> None:
        self.poll()


class PrimaryReads:
    """The queries of the primary."""

    def __init__(self, database: Database, reads: Reads, meanwhile: Callable[[], None]) -> None:
        self._database = database
        self._meanwhile = meanwhile
        self.snapshot = reads.snapshot

    def visibility_horizon(self) -> int:
        self._meanwhile()
        return min(self._database.running, default=self._database.next_number)

    def search(self, _criteria: ProductFilter, _page: PageRequest) -> dict[ProductId, int]:
        self._meanwhile()
        return dict(self._database.versions)


@define
class ProcessWithStandby(Process):
    freshness: StandbyFreshness = field(init=False)
    replica: Replica = field(init=False)

    def create_queries(self, reads: Reads) -> ProductQueries:
        self.freshness = StandbyFreshness(self.clock)
        self.replica = Replica(self.database, self.meanwhile)
        primary = PrimaryReads(self.database, reads, self.meanwhile)
        found = StandbyProductQueries(cast(Any, primary), cast(Any, self.replica), self.freshness)
        found._standbys = {SERVER: cast(Any, self.replica)}
        return found

    def connect(self) -> None:
        super().connect()
        self.freshness.on_start(self.database.next_number)

    def read_log(self, chance: random.Random) -> None:
        before = len(self.inbox)
        super().read_log(chance)
        # The thread of the feed notifies the freshness at once, and the cache later, on its loop.
        for message in list(self.inbox)[before:]:
            if isinstance(message, float):
                self.freshness.on_heartbeat(message)
            else:
                self.freshness.on_change(message)

    def drop_changed(self, change: CatalogChange, *, is_local: bool) -> None:
        super().drop_changed(change, is_local=is_local)
        if is_local:
            self.freshness.on_local_change(change)


class SimulationWithStandbys(Simulation):
    process = ProcessWithStandby
    between = (*Simulation.between, "replay", "replay", "poll")
    steps = (*Simulation.steps, *["replay"] * 6, *["poll"] * 4, "pause", "read_list", "read_list")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.slowness = self.chance.choice([1, 5, 50])

    def chosen(self) -> ProcessWithStandby:
        return cast(ProcessWithStandby, self.chance.choice(self.processes))

    def replay(self) -> None:
        if self.chance.randrange(self.slowness) == 0:
            self.chosen().replica.replay(self.chance.choice([1, 2, 1_000]))

    def poll(self) -> None:
        self.chosen().replica.poll()

    def pause(self) -> None:
        self.chosen().replica.pause()

    def read_list(self) -> None:
        """Read a list as the cache does: its horizon, and then its content."""
        process = self.chosen()
        begun, made = self.database.now, dict(process.made)
        horizon = process.queries.visibility_horizon()
        if self.chance.random() < 0.3:
            process.replica.poll()
        versions = cast(Mapping[ProductId, int], process.queries.search(ProductFilter(), PageRequest(10)))
        for product, version in versions.items():
            assert version >= made.get(product, 0)
            needed = [v for at, of, v in self.database.committed if of == product and at < begun - MAX_FEED_AGE]
            assert version >= max(needed, default=0)
            numbers = [number for kind, number, of in self.database.wal if of == product and kind == "commit"]
            # The entry claims to include every change with a smaller number.
            assert all(number >= horizon for number in numbers[version:])

    @property
    def from_standbys(self) -> int:
        return sum(cast(StandbyProductQueries, process.queries).standby_reads for process in self.processes)

    @property
    def behind(self) -> int:
        queries = [cast(StandbyProductQueries, process.queries) for process in self.processes]
        return sum(each.fallbacks[Fallback.BEHIND] for each in queries)


def test_answers_of_standbys_keep_the_promises_of_the_cache() -> None:
    read = from_standbys = behind = 0
    for seed in range(SEEDS):
        simulation = SimulationWithStandbys(seed)
        asyncio.run(simulation.run())
        read += simulation.read
        from_standbys += simulation.from_standbys
        behind += simulation.behind
    # The test proves nothing if standbys answer little, or were always up to date.
    assert from_standbys > SEEDS
    assert behind > SEEDS


def test_the_ages_of_the_feed_and_of_loads_that_requests_join_add_up_to_a_second() -> None:
    assert MAX_FEED_AGE + HEARTBEAT_TIMEOUT <= 1.0


@pytest.mark.parametrize("broken", ["products", "lists", "local changes", "horizon of lists", "heartbeats"])
def test_the_simulation_fails_without_each_part_of_the_rules(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one part, some seed yields outdated data."""
    match broken:
        case "products":
            monkeypatch.setattr(StandbyFreshness, "refuse_products", lambda *_: None)
        case "lists":
            monkeypatch.setattr(StandbyFreshness, "refuse_lists", lambda *_: None)
        case "local changes":
            monkeypatch.setattr(StandbyFreshness, "on_local_change", lambda *_: None)
        case "horizon of lists":
            monkeypatch.setattr(StandbyFreshness, "use_list_horizon", lambda *_: None)
        case _:
            monkeypatch.setattr("adapters.db.core.standby_freshness.MAX_FEED_AGE", 1_000.0)
    with pytest.raises(AssertionError):
        test_answers_of_standbys_keep_the_promises_of_the_cache()
