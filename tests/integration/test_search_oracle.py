"""Random searches on PostgreSQL compared with the naive in-memory adapter, and walks through a changing catalog.

`SEARCH_COMBINATIONS=10000 .venv/bin/pytest tests/integration/test_search_oracle.py` runs more searches;
`SEARCH_SEED` selects other ones.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve, frozen
from sqlalchemy import Engine

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.queries.search.index.product_index import ProductIndex
from adapters.db.queries.search.limits import SearchLimits
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.category import slug_of
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.queries import Facet, Page, PageRequest, ProductFilter, ProductView, Queries, SortOrder
from scalecommerce_core.services.search_index import SearchIndex
from scalecommerce_core.testing import MemoryQueries, MemoryStore
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage
from tests.integration.eager_index import EagerIndex
from tests.integration.followed_index import followed_index

COMBINATIONS: Final = int(os.environ.get("SEARCH_COMBINATIONS", "300"))
SEED: Final = int(os.environ.get("SEARCH_SEED", "5"))
PRODUCTS: Final = 250
# Words that the stemmers of both adapters distinguish, and forms that both reduce to the same stem.
WORDS: Final = (
    *("kettle", "kettles", "teapot", "teapots", "lamp", "lamps", "samovar", "garden", "wooden", "copper", "mug"),
    *("чайник", "чайники", "самовар", "стол", "столы", "зонт", "клубок", "фонарь", "Ёлка", "crème", "Zürich"),
    *("headphone", "keyboard", "monitor", "monitors", "harbour", "lantern", "blanket", "notebook", "x200", "b12"),
)
# Texts that only rules split into words: numbers, hyphens, markup, invisible characters, irregular forms.
ODD: Final = (
    *("500ml", "500 ml", "1,5", "1.5", "USB3.0", "usb 3", "x15", "1,299.00", "1299", "10x15"),
    *("Wi-Fi", "wifi", "knife", "knives", "чашка", "чашек", "tea\u200bpot", "lamp\u00ad"),
)
MARKED_UP: Final = ("<b>lamp</b>", "caf&eacute;", "mug&nbsp;kettle", "<!-- samovar --> monitor", "H<sub>2</sub>O", "<5")
STOP_WORDS: Final = {"he", "no", "not", "am", "сам", "от", "он", "то", "со", "b1", "x2", "crèm"}
"""Results of shortening or misspelling `WORDS` that are stop words, numbers, or equal to a word by its stem."""
BRANDS: Final = ("Acme", "Sonex", "Бренд", "Lamp & Co", "", "Kraft")


@frozen
class Twins:
    """The same catalog on PostgreSQL (`real`) and in memory (`naive`)."""

    real: Stage
    naive: Stage
    sellers: Sequence[AccountId]

    @classmethod
    def made(cls, engine: Engine, chance: random.Random) -> "Twins":
        real, naive = Stage(PostgresStore(engine)), Stage(MemoryStore())
        sellers = [_same(real.account(f"{number}@example.com"), naive.account(f"{number}@example.com"))
                   for number in range(3)]  # fmt: skip
        twins = cls(real, naive, sellers)
        for _ in range(PRODUCTS):
            twins.add_product(chance)
        for product in range(1, PRODUCTS + 1, 3):
            twins.both(partial(Stage.view, counts={ProductId(product): chance.randrange(6)}))
        twins.settle()
        return twins

    def add_product(self, chance: random.Random) -> ProductId:
        facts: dict[str, Any] = {
            "seller": chance.choice(self.sellers),
            "name": " ".join(chance.choices((*WORDS, *WORDS, *ODD), k=chance.randint(1, 4))).capitalize(),
            "brand": chance.choice(BRANDS),
            "description": " ".join(chance.choices((*WORDS, *ODD, *MARKED_UP), k=chance.randrange(5))),
            "price": chance.choice((500, 500, 999, 1000, 2499, 2500, 99_00, 5000_00)),
            "stock": chance.choice((0, 1, 5)),
            "category_id": CategoryId(chance.randint(1, 4)),
            "at": NOW + chance.randrange(40) * SECOND,
            "is_active": chance.random() < 0.95,
        }
        return ProductId(_same(*self.both(lambda stage: stage.product(**facts))))

    def both(self, act: Callable[[Stage], Any]) -> tuple[Any, Any]:
        return act(self.real), act(self.naive)

    def settle(self) -> None:
        self.both(Stage.update_search_index)


MakeQueries = Callable[[SearchLimits | None], PostgresQueries]


def _same(first: Any, second: Any) -> Any:
    assert first == second
    return first


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


class ForgetfulIndex(EagerIndex):
    """Answers every second time only, so that statements continue what the index began."""

    def current(self) -> ProductIndex | None:
        found = super().current()
        return found if self.answers % 2 else None


@pytest.fixture(params=["statements", "index", "index and statements"])
def make_queries(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> MakeQueries:
    """Returns the queries with these limits. The index has the products of the first call in its files."""
    kinds: dict[str, type[EagerIndex]] = {"index": EagerIndex, "index and statements": ForgetfulIndex}
    opened: list[EagerIndex] = []

    def make(limits: SearchLimits | None = None) -> PostgresQueries:
        kind = kinds.get(request.param)
        if kind is not None and not opened:
            opened.append(kind(engine, tmp_path / "index"))
        return PostgresQueries(engine, limits=limits, index=opened[0] if opened else None)

    return make


def _text(chance: random.Random) -> str | None:
    if chance.random() < 0.25:
        return None
    parts = []
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        word = chance.choice(WORDS)
        kind = chance.random()
        if chance.random() < 0.2:
            parts.append(chance.choice(("", "", "-")) + chance.choice((*ODD, "café", "H2O", "nbsp", "eacute")))
        elif kind < 0.1:
            parts.append(f'"{word} {chance.choice(WORDS)}"')
        elif kind < 0.2:
            parts.append(f"-{word}")
        elif kind < 0.25:
            parts.append(f'-"{word} {chance.choice(WORDS)}"')
        elif kind < 0.45:
            parts.append(_misspelt(chance, word))
        elif kind < 0.55:
            beginning = word[: chance.randint(2, len(word))]
            parts.append(word if beginning in STOP_WORDS else beginning)
        else:
            parts.append(chance.choice((word, word.upper())))
    return " ".join(parts)


def _misspelt(chance: random.Random, meant: str) -> str:
    word = meant
    for _ in range(chance.choice((1, 1, 1, 2))):
        place = chance.randrange(len(word) - 1)
        letter = chance.choice("qzwxжщф")
        word = chance.choice((
            word[:place] + word[place + 1 :],
            word[:place] + letter + word[place:],
            word[:place] + letter + word[place + 1 :],
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
        ))  # fmt: skip
        if len(word) < 2:
            break
    return meant if word in STOP_WORDS else word


def _filter(chance: random.Random, sellers: Sequence[AccountId]) -> ProductFilter:
    def sometimes(value: Any, otherwise: Any = None, share: float = 0.15) -> Any:
        return value if chance.random() < share else otherwise

    def ends(lower: Any, upper: Any) -> tuple[Any, Any]:
        """Return bounds of a range in ascending order."""
        return (upper, lower) if lower is not None and upper is not None and lower > upper else (lower, upper)

    categories = chance.sample([1, 2, "3", slug_of("home_appliances"), "no-such", 4], chance.randint(1, 2))
    price_min, price_max = ends(
        sometimes(chance.choice((0, 500, 501, 1000, 2500))), sometimes(chance.choice((499, 999, 2499, 2500, 10**12)))
    )
    after, before = ends(*(sometimes(NOW + timedelta(seconds=chance.randrange(40))) for _ in range(2)))
    return ProductFilter(
        search=_text(chance),
        categories=sometimes(categories, ()),
        brands=sometimes(chance.sample(BRANDS, chance.randint(1, 2)), ()),
        seller=sometimes(chance.choice(sellers)),
        price_min=price_min,
        price_max=price_max,
        in_stock=sometimes(chance.random() < 0.7),
        created_after=after,
        created_before=before,
        sort_order=chance.choice(list(SortOrder)),
    )


def test_random_searches_return_what_the_in_memory_adapter_returns(engine: Engine, make_queries: MakeQueries) -> None:
    chance = random.Random(SEED)
    twins = Twins.made(engine, chance)
    # These limits cover both ways to sort by price and views, and exact as well as estimated totals.
    both_limits = SearchLimits(sort_all=20), SearchLimits(sort_all=20, exact_count_bytes=0)
    both, naive = [make_queries(limits) for limits in both_limits], MemoryQueries(_memory(twins))
    kinds: set[str] = set()
    for number in range(COMBINATIONS):
        if number % 50 == 49:
            _change(twins, chance)
        real, wanted = chance.choice(both), _filter(chance, twins.sellers)
        size = chance.choice((1, 2, 3, 7, 20, 100))
        ours, theirs = PageRequest(size), PageRequest(size)
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            answer, expected = real.search(wanted, ours), naive.search(wanted, theirs)
            shown = [view.id for view in answer.rows], answer.did_you_mean
            assert shown == ([view.id for view in expected.rows], expected.did_you_mean), (number, wanted, ours)
            assert answer.rows == expected.rows
            assert (answer.next is None, answer.previous is None) == (expected.next is None, expected.previous is None)
            assert answer.total == expected.total or not answer.is_exact
            kinds |= _kinds(answer, expected.did_you_mean)
            if answer.next and expected.next and (answer.previous is None or chance.random() < 0.7):
                ours, theirs = PageRequest(size, after=answer.next), PageRequest(size, after=expected.next)
            elif answer.previous and expected.previous:
                ours, theirs = PageRequest(size, before=answer.previous), PageRequest(size, before=expected.previous)
            else:
                break
        if chance.random() < 0.3:
            assert real.facets(wanted, list(Facet)) == naive.facets(wanted, list(Facet)), (number, wanted)
    assert kinds >= {"rows", "nothing", "next", "previous", "corrected", "exact", "estimated"}


def _kinds(answer: Any, said: str | None) -> set[str]:
    found = {"rows" if answer.rows else "nothing", "exact" if answer.is_exact else "estimated"}
    return found | {
        kind for kind, holds in (("next", answer.next), ("previous", answer.previous), ("corrected", said)) if holds
    }


def _memory(twins: Twins) -> MemoryStore:
    assert isinstance(twins.naive.store, MemoryStore)
    return twins.naive.store


def _change(twins: Twins, chance: random.Random) -> None:
    """Add products, change prices, names and views, and withdraw a product."""
    for _ in range(3):
        twins.add_product(chance)
    products = [view.id for view in MemoryQueries(_memory(twins)).iter_products()]
    price, name, views = chance.randint(100, 6000), chance.choice(WORDS), chance.randrange(20)
    chosen = chance.sample(products, 5)
    for act in (
        partial(Stage.reprice, product=chosen[0], price=price, at=NOW + SECOND),
        partial(Stage.edit, product=chosen[1], name=name),
        partial(Stage.edit, product=chosen[2], category_id=CategoryId(3), is_active=True),
        partial(Stage.view, counts={chosen[3]: views}),
        partial(Stage.withdraw, product=chosen[4]),
    ):
        twins.both(act)
    twins.settle()


# --- walks


SMALL_LIMITS: Final = SearchLimits(
    rank_all=15, target_candidates=8, max_candidates=40, sort_all=15, facet_cap=50, exact_count_bytes=0
)
"""Limits that the matches of a frequent word exceed."""


def _walk(queries: Queries, wanted: ProductFilter, size: int) -> list[Page[ProductView]]:
    pages: list[Page[ProductView]] = [queries.search(wanted, PageRequest(size))]
    while (after := pages[-1].next) is not None:
        pages.append(queries.search(wanted, PageRequest(size, after=after)))
    return pages


def _walks() -> Iterator[tuple[ProductFilter, int]]:
    chance = random.Random(8)
    for number in range(max(30, COMBINATIONS // 100)):
        wanted = evolve(
            _filter(chance, [AccountId(1), AccountId(2)]), sort_order=list(SortOrder)[number // 2 % len(SortOrder)]
        )
        if number % 2:
            # A word of many products, so that only some candidates are ranked.
            wanted = ProductFilter(search="lamp", sort_order=wanted.sort_order, in_stock=wanted.in_stock)
        yield wanted, chance.choice((1, 3, 10))


def test_unranked_matches_follow_the_ranked_ones(engine: Engine, make_queries: MakeQueries) -> None:
    chance = random.Random(6)
    twins = Twins.made(engine, chance)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    real, naive = make_queries(SMALL_LIMITS), MemoryQueries(_memory(twins))
    was_cut = False
    for wanted, size in _walks():
        pages = _walk(real, wanted, size)
        ids = [view.id for page in pages for view in page.rows]
        assert len(set(ids)) == len(ids)
        assert set(ids) == {view.id for page in _walk(naive, wanted, 100) for view in page.rows}
        last, back = pages[-1], []
        while last.previous is not None:
            last = real.search(wanted, PageRequest(size, before=last.previous))
            back.append(last.rows)
        assert back[::-1] == [page.rows for page in pages[:-1]]
        # The second part of the key of a list by relevance is the popularity tier.
        was_cut |= pages[0].next is not None and len(pages[0].next) == 5 and pages[0].next[1] != 0
    assert was_cut


def test_the_total_of_a_single_page_is_exact(engine: Engine, make_queries: MakeQueries) -> None:
    """The planner's estimate may be wrong, for instance for two common words that rarely occur together."""
    stage = Stage(PostgresStore(engine))
    for number in range(60):
        stage.product(name=("Copper lamp", "Wooden kettle")[number % 2])
    both = stage.product(name="Lamp and kettle")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    real = make_queries(evolve(SMALL_LIMITS, rank_all=2, target_candidates=2))
    for search, expected in (("lamp kettle", [both]), ("lamp -lamp", [])):
        for sort_order in SortOrder:
            answer = real.search(ProductFilter(search=search, sort_order=sort_order), PageRequest())
            assert [view.id for view in answer.rows] == expected
            assert (answer.total, answer.is_exact) == (len(expected), True), (search, sort_order)


def test_the_total_is_zero_if_all_matches_are_deactivated_during_a_walk(
    engine: Engine, make_queries: MakeQueries
) -> None:
    stage = Stage(PostgresStore(engine))
    for _ in range(3):
        stage.product(name="Lamp")
    real = make_queries(None)
    wanted = [
        ProductFilter(search=search, sort_order=sort_order) for search in (None, "lamp") for sort_order in SortOrder
    ]
    follow = [PageRequest(1, after=real.search(each, PageRequest(1)).next) for each in wanted]
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE products SET is_active = false")
    for each, request in zip(wanted, follow, strict=True):
        assert request.after is not None
        answer = real.search(each, request)
        assert (answer.rows, answer.total, answer.is_exact) == ((), 0, True), each


@pytest.mark.parametrize("key", [("", 0, 1, 2**40, 1), ("", 1, 0, 70_000, 1), ("", 0, 0, 1, 1), ("", 0, 1, -1, 1)])
def test_a_key_that_no_page_returns_is_rejected(engine: Engine, key: tuple[str | int, ...]) -> None:
    wanted = ProductFilter(search="lamp", sort_order=SortOrder.RELEVANCE)
    for request in (PageRequest(after=key), PageRequest(before=key)):
        with pytest.raises(Invalid, match="cursor"):
            PostgresQueries(engine).search(wanted, request)


def test_approximate_facets_count_matches_of_the_lowest_tier(engine: Engine) -> None:
    stage = Stage(PostgresStore(engine))
    popular, new = stage.account("popular@example.com"), stage.account("new@example.com")
    for number in range(120):
        stage.product(popular, name="Lamp", category_id=CategoryId(1))
        stage.product(new, name="Lamp", category_id=CategoryId(1 + number % 2), at=NOW - SECOND)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    real = PostgresQueries(engine, limits=SMALL_LIMITS)

    def counts(**filters: Any) -> dict[str, int]:
        found = real.facets(ProductFilter(search="lamp", **filters), [Facet.CATEGORY])
        assert not found.is_exact
        return {value.label: value.count for value in found.values[Facet.CATEGORY]}

    assert sum(counts().values()) == pytest.approx(240, rel=0.2)
    for product in range(1, 240, 2):
        stage.view({ProductId(product): 100})
    stage.update_search_index()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    # All products above the lowest tier belong to the other seller.
    assert sum(counts(seller=new).values()) == pytest.approx(120, rel=0.2)
    assert len(counts(seller=new)) == len(counts(seller=new, in_stock=True)) == 2


@pytest.mark.parametrize("has_index", [False, True])
def test_unchanged_products_appear_once_in_a_walk_during_changes(
    engine: Engine, tmp_path: Path, *, has_index: bool
) -> None:
    chance = random.Random(7)
    twins = Twins.made(engine, chance)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    with ExitStack() as stack:
        index = stack.enter_context(followed_index(engine, tmp_path / "index")) if has_index else None
        real = PostgresQueries(engine, limits=SMALL_LIMITS, index=None if index is None else index.fresh)
        if index is not None:
            index.await_ready()
        _check_walks(real, twins)
        assert index is None or index.fresh.answers > 0


def _check_walks(real: Queries, twins: Twins) -> None:
    """Walk through lists while other products change."""
    naive = MemoryQueries(_memory(twins))
    still = {ProductId(id_) for id_ in range(1, PRODUCTS + 1) if id_ % 2}
    over, failures = threading.Event(), list[BaseException]()

    def disturb() -> None:
        moving = random.Random(9)
        try:
            while not over.is_set():
                _disturb(twins.real, moving, twins.sellers[0])
        except BaseException as error:  # noqa: BLE001 - asserted below
            failures.append(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for wanted, size in _walks():
            # Corrections depend on the words of the changing products, and are not the subject of this test.
            expected = {view.id for page in _walk(naive, wanted, 100) for view in page.rows} & still
            if naive.search(wanted, PageRequest()).did_you_mean or not expected:
                continue
            shown = [view.id for page in _walk(real, wanted, size) for view in page.rows if view.id in still]
            assert sorted(shown) == sorted(expected), wanted
    finally:
        over.set()
        thread.join()
    assert failures == []


def _disturb(stage: Stage, chance: random.Random, seller: AccountId) -> None:
    """Change products with even ids, and add new ones."""
    product = ProductId(2 * chance.randint(1, PRODUCTS // 2))
    kind = chance.randrange(5)
    if kind == 0:
        stage.product(seller, name="Lamp", price=chance.randint(100, 9000), at=NOW + chance.randrange(40) * SECOND)
    elif kind == 1:
        stage.view({product: chance.randrange(9)})
    elif kind == 2 and chance.random() < 0.2:
        stage.withdraw(product)
    else:
        with stage.store.begin() as tx:
            found = tx.products.lock([product])[product]
        if found.withdrawn_at is None:
            stage.reprice(product, chance.randint(100, 9000), NOW + SECOND)
            stage.edit(product, name=chance.choice(("Lamp", "Teapot lamp", "Kettle")))
    SearchIndex(stage.store).sync_price_index()
