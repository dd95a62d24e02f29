"""Which server answers a query of the catalog. The servers are simulated."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from adapters.db.core.standby_freshness import Fallback, StandbyFreshness
from adapters.db.core.standby_monitor import AWAY_SECONDS, CONFLICT_SECONDS, Horizon, PolledInstance, Standby
from adapters.db.queries.standby_products import StandbyProductQueries
from scalecommerce_core.domain.errors import ConnectionLost, Invalid, TransactionAborted, Unavailable
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.queries import Facet, PageRequest, ProductFilter

TEA, MUG = ProductId(1), ProductId(2)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Server:
    """Queries whose results are the name of the server. `error` is raised by each."""

    def __init__(self, name: str, products: Collection[ProductId] = (TEA, MUG), horizon: int = 0) -> None:
        self.name = name
        self.known = products
        self.horizon = horizon
        self.error: Exception | None = None
        self.on_read: Callable[[], None] = lambda: None

    def _answer(self, *_: object) -> str:
        self.on_read()
        if self.error is not None:
            raise self.error
        return self.name

    search = facets = categories = own_products = all_products = ids_by_sku = _answer

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, str]:
        return {each: self._answer() for each in ids if each in self.known}

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, str]]:
        return self.horizon, self.products(ids)

    def price_history(self, product: ProductId, _now: datetime) -> str | None:
        return self.products([product]).get(product)

    def visibility_horizon(self) -> int:
        return self.horizon


class Monitor:
    """Chooses the standby with a horizon of 150, unless it is None."""

    def __init__(self) -> None:
        # It is never connected.
        self.standbys = [Standby("postgresql://127.0.0.1:1/shop")]
        self.instance = self.standbys[0].instance = PolledInstance("started once")
        self.horizon: int | None = 150
        self.failures: list[tuple[str, float]] = []
        self.polls = 0

    def choose(self) -> tuple[Standby, Horizon] | None:
        return None if self.horizon is None else (self.standbys[0], Horizon(self.horizon, self.instance, 0.0))

    def poll_soon(self) -> None:
        self.polls += 1

    def report_failure(self, _standby: Standby, problem: str, pause: float) -> None:
        self.failures.append((problem, pause))


class Site:
    def __init__(self) -> None:
        self.primary, self.standby = Server("primary", horizon=200), Server("standby")
        self.monitor = Monitor()
        self.freshness = StandbyFreshness(lambda: 0.0)
        self.freshness.on_start(100)
        self.freshness.on_heartbeat(0.0)
        simulated: Any = self.monitor
        self.queries = StandbyProductQueries(cast(Any, self.primary), simulated, self.freshness)
        self.queries._standbys = {self.monitor.standbys[0]: cast(Any, self.standby)}

    def search(self) -> str:
        return cast(str, self.queries.search(ProductFilter(), PageRequest(10)))

    def snapshot(self, *ids: ProductId) -> Any:
        return self.queries.snapshot(ids)

    def product(self, *ids: ProductId) -> set[str]:
        return set(cast(Any, self.queries.products(ids)).values())


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_recent_standby_answers_reads_of_the_public_catalog(site: Site) -> None:
    assert site.search() == "standby"
    assert cast(Any, site.queries.facets(ProductFilter(), [Facet.BRAND])) == "standby"
    assert cast(Any, site.queries.categories()) == "standby"
    assert cast(Any, site.queries.price_history(TEA, NOW)) == "standby"
    assert site.product(TEA, MUG) == {"standby"}
    assert site.queries.standby_reads == 5
    assert not site.queries.fallbacks


def test_the_primary_answers_what_sellers_staff_and_commands_read(site: Site) -> None:
    assert cast(Any, site.queries.own_products(AccountId(1), PageRequest(10))) == "primary"
    assert cast(Any, site.queries.all_products(PageRequest(10))) == "primary"
    assert cast(Any, site.queries.ids_by_sku(AccountId(1), ["tea"])) == "primary"
    assert site.queries.standby_reads == 0


def test_the_primary_answers_while_the_standby_lacks_a_change(site: Site) -> None:
    site.freshness.on_local_change(CatalogChange(150, frozenset({TEA})))
    assert site.product(TEA) == {"primary"}
    assert site.product(MUG) == {"standby"}
    assert site.search() == "primary"
    assert site.queries.fallbacks == {Fallback.BEHIND: 2}
    assert site.monitor.polls == 2
    site.monitor.horizon = 151
    assert site.product(TEA) == {"standby"}
    assert site.search() == "standby"


def test_without_a_usable_standby_the_primary_answers(site: Site) -> None:
    site.monitor.horizon = None
    assert site.search() == "primary"
    assert site.queries.fallbacks == {Fallback.AWAY: 1}


def test_only_the_primary_answers_that_a_product_does_not_exist(site: Site) -> None:
    site.standby.known = {MUG}
    assert site.product(TEA) == {"primary"}
    assert site.snapshot(TEA, MUG) == (200, {TEA: "primary", MUG: "primary"})
    assert cast(Any, site.queries.price_history(TEA, NOW)) == "primary"
    assert site.queries.fallbacks == {Fallback.MISSING: 3}
    site.primary.known = ()
    assert site.product(TEA) == set()


def test_a_snapshot_has_the_horizon_of_the_server_that_answered(site: Site) -> None:
    assert site.snapshot(TEA) == (150, {TEA: "standby"})
    site.monitor.horizon = None
    assert site.snapshot(TEA) == (200, {TEA: "primary"})


def test_a_list_whose_horizon_came_from_the_primary_is_not_read_from_a_standby_behind_it(site: Site) -> None:
    assert site.queries.visibility_horizon() == 150
    assert site.search() == "standby"
    site.monitor.horizon = None
    assert site.queries.visibility_horizon() == 200
    site.monitor.horizon = 199
    assert site.search() == "primary"
    assert site.product(TEA) == {"standby"}
    site.monitor.horizon = 200
    assert site.search() == "standby"


def _raised(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "failures"),
    [
        (
            _raised(ConnectionLost("broke"), psycopg.OperationalError("server closed the connection\nunexpectedly")),
            [("server closed the connection", AWAY_SECONDS)],
        ),
        (
            _raised(TransactionAborted("conflict"), psycopg.errors.SerializationFailure("conflict with recovery")),
            [("conflict with recovery", CONFLICT_SECONDS)],
        ),
        (_raised(Unavailable("in use"), PoolTimeoutError("in use")), []),
    ],
    ids=["away", "cancelled", "pool"],
)
def test_the_primary_repeats_what_the_standby_did_not_execute(
    site: Site, error: Exception, failures: list[tuple[str, float]]
) -> None:
    site.standby.error = error
    assert site.search() == "primary"
    assert site.queries.fallbacks == {Fallback.FAILED: 1}
    assert site.monitor.failures == failures


def test_the_primary_repeats_what_a_later_instance_of_the_standby_may_have_answered(site: Site) -> None:
    (standby,) = site.monitor.standbys

    def restart() -> None:
        standby.instance = PolledInstance("started twice")

    site.standby.on_read = restart
    assert site.search() == "primary"
    # The horizon that is chosen is still that of the first instance.
    assert site.product(TEA) == {"primary"}
    assert site.snapshot(TEA) == (200, {TEA: "primary"})
    assert site.queries.fallbacks == {Fallback.FAILED: 3}
    assert site.queries.standby_reads == 0
    # A restart is no failure: the next poll has found the new instance already.
    assert site.monitor.failures == []
    site.standby.on_read = lambda: None
    assert standby.instance is not None
    site.monitor.instance = standby.instance
    assert site.search() == "standby"


@pytest.mark.parametrize(
    "error",
    [
        Invalid({"cursor": ["It belongs to another list."]}),
        _raised(Unavailable("too slow"), psycopg.errors.QueryCanceled("statement timeout")),
    ],
    ids=["refused", "too slow"],
)
def test_errors_that_the_primary_would_raise_too_are_raised(site: Site, error: Exception) -> None:
    site.standby.error = error
    with pytest.raises(type(error)):
        site.search()
    assert not site.queries.fallbacks
