"""Which changes a standby must have replayed before it may answer."""

import pytest

from adapters.db.core.standby_freshness import MAX_FEED_AGE, MAX_TRACKED, PRUNE_ABOVE, Fallback, StandbyFreshness
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange

TEA, MUG = ProductId(1), ProductId(2)
SELLER = AccountId(7)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def freshness(clock: Clock) -> StandbyFreshness:
    """The feed has started at the number 100 and is complete."""
    found = StandbyFreshness(clock)
    found.on_start(100)
    found.on_heartbeat(clock.now)
    return found


def changed(number: int, *products: ProductId) -> CatalogChange:
    return CatalogChange(number, frozenset(products))


def test_before_the_feed_starts_no_standby_answers(clock: Clock) -> None:
    freshness = StandbyFreshness(clock)
    freshness.on_change(changed(1, TEA))
    assert freshness.refuse_products(10**30, [TEA]) is Fallback.FEED
    assert freshness.refuse_lists(10**30) is Fallback.FEED
    freshness.on_heartbeat(clock.now)
    assert freshness.refuse_products(10**30, [TEA]) is Fallback.BEHIND


def test_a_standby_must_have_replayed_what_preceded_the_start_of_the_feed(freshness: StandbyFreshness) -> None:
    assert freshness.refuse_products(99, [TEA]) is Fallback.BEHIND
    assert freshness.refuse_lists(99) is Fallback.BEHIND
    assert freshness.refuse_products(100, [TEA]) is None
    assert freshness.refuse_lists(100) is None


def test_a_read_of_products_needs_the_changes_of_these_alone(freshness: StandbyFreshness) -> None:
    freshness.on_change(changed(120, TEA))
    assert freshness.refuse_products(120, [TEA]) is Fallback.BEHIND
    assert freshness.refuse_products(120, [MUG, TEA]) is Fallback.BEHIND
    assert freshness.refuse_products(120, [MUG]) is None
    assert freshness.refuse_products(121, [TEA]) is None


def test_a_late_notification_of_an_older_change_takes_nothing_back(freshness: StandbyFreshness) -> None:
    freshness.on_change(changed(120, TEA))
    freshness.on_change(changed(110, TEA))
    assert freshness.refuse_products(120, [TEA]) is Fallback.BEHIND


@pytest.mark.parametrize(
    "change", [CatalogChange(120, sellers=frozenset({SELLER})), CatalogChange(120, everything=True)]
)
def test_any_product_may_depend_on_a_seller_and_on_everything(
    freshness: StandbyFreshness, change: CatalogChange
) -> None:
    freshness.on_change(change)
    assert freshness.refuse_products(120, [TEA]) is Fallback.BEHIND
    assert freshness.refuse_products(121, [TEA]) is None


@pytest.mark.parametrize("change", [changed(120, TEA), CatalogChange(120)], ids=["product", "categories"])
def test_a_list_needs_changes_of_this_process_at_once(freshness: StandbyFreshness, change: CatalogChange) -> None:
    freshness.on_local_change(change)
    assert freshness.refuse_lists(120) is Fallback.BEHIND
    assert freshness.refuse_lists(121) is None


def test_a_list_needs_changes_of_others_that_precede_every_recent_heartbeat(
    freshness: StandbyFreshness, clock: Clock
) -> None:
    clock.now += 0.1
    freshness.on_change(changed(120, TEA))
    clock.now += 0.1
    freshness.on_heartbeat(clock.now)
    # The heartbeat before the change is recent enough.
    assert freshness.refuse_lists(120) is None
    clock.now += 0.15
    assert freshness.refuse_lists(120) is Fallback.BEHIND
    assert freshness.refuse_lists(121) is None


def test_without_a_recent_heartbeat_no_standby_answers(freshness: StandbyFreshness, clock: Clock) -> None:
    clock.now += MAX_FEED_AGE + 0.01
    assert freshness.refuse_products(10**30, [TEA]) is Fallback.FEED
    assert freshness.refuse_lists(10**30) is Fallback.FEED
    # A heartbeat that took long to return proves little.
    freshness.on_heartbeat(clock.now - MAX_FEED_AGE - 0.01)
    assert freshness.refuse_products(10**30, [TEA]) is Fallback.FEED
    freshness.on_heartbeat(clock.now)
    assert freshness.refuse_products(10**30, [TEA]) is None


def test_each_read_requests_heartbeats(freshness: StandbyFreshness) -> None:
    requested: list[None] = []
    freshness.keep_alive = lambda: requested.append(None)
    freshness.refuse_products(100, [TEA])
    freshness.refuse_lists(100)
    assert len(requested) == 2


def test_a_restart_of_the_feed_waits_for_its_first_heartbeat(freshness: StandbyFreshness, clock: Clock) -> None:
    freshness.on_change(changed(120, TEA))
    freshness.on_start(200)
    assert freshness.refuse_products(300, [TEA]) is Fallback.FEED
    freshness.on_heartbeat(clock.now)
    assert freshness.refuse_products(199, [MUG]) is Fallback.BEHIND
    assert freshness.refuse_products(200, [TEA]) is None


def test_a_list_must_not_lack_what_the_horizon_of_its_entry_covers(freshness: StandbyFreshness) -> None:
    """The horizon may have come from the primary, and the content from a standby."""
    freshness.use_list_horizon(150)
    freshness.use_list_horizon(130)
    assert freshness.refuse_lists(149) is Fallback.BEHIND
    assert freshness.refuse_lists(150) is None
    assert freshness.refuse_products(120, [TEA]) is None


def test_the_memory_for_changes_is_bounded(freshness: StandbyFreshness) -> None:
    for number in range(MAX_TRACKED + 1):
        freshness.on_change(changed(1_000 + number, ProductId(10 + number)))
    last = 1_000 + MAX_TRACKED
    assert freshness.refuse_products(last, [TEA]) is Fallback.BEHIND
    assert freshness.refuse_products(last + 1, [TEA]) is None


def test_changes_that_the_standby_has_replayed_are_forgotten_and_needed_from_another_one(
    freshness: StandbyFreshness,
) -> None:
    for number in range(PRUNE_ABOVE + 1):
        freshness.on_change(changed(1_000 + number, ProductId(10 + number)))
    freshness.on_horizon(1_500)
    assert freshness.refuse_products(1_499, [TEA]) is Fallback.BEHIND
    assert freshness.refuse_products(1_500, [TEA]) is None
    assert freshness.refuse_products(1_500, [ProductId(10 + 600)]) is Fallback.BEHIND
