"""The use cases of seeding: users, categories, products, orders, each on its own or all together."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Final, TypeVar

from scalecommerce_core.domain.category import DEFAULT_CATEGORIES, slug_of
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.ports import Clock, Passwords, PendingFacts, PendingOrderFacts, Store
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.queries import PageRequest, Queries
from scalecommerce_core.services.gc_pause import gc_paused
from scalecommerce_core.services.progress import Progress, no_progress
from scalecommerce_core.services.seeding.goods import Shelf, goods, sku_of
from scalecommerce_core.services.seeding.parallel import side_by_side
from scalecommerce_core.services.seeding.people import is_seeded, people
from scalecommerce_core.services.seeding.purchases import DAYS, Crowd, Prices, Shop, Wanted, Ware, moments, purchases
from scalecommerce_core.services.seeding.randomness import Source, StreamName, base_of, command_ids, generator
from scalecommerce_core.services.seeding.seeded import AlreadySeeded, NothingToSeedOn, Seeded
from scalecommerce_core.services.seeding.vocabulary import PLAIN, Vocabulary

PASSWORD: Final = "admin"  # noqa: S105 - published: seeded accounts are for looking around
BATCH: Final = 2_000
"""Users or products of a transaction."""
GROUP_ORDERS: Final = 2_500
LEAST_GROUP: Final = 100
MOST_GROUP: Final = 4_000
"""Products are bought in groups, so that each transaction locks and writes the stock of few products, once."""
GROUPS_AT_ONCE: Final = 4
"""Groups of a transaction: while one is written, the next is made."""
SELLER_SHARE: Final = 0.3
CONVERSION: Final = (0.02, 0.07)
"""Orders per view."""

T = TypeVar("T")
Portion = Sequence[tuple[Sequence[Ware], Sequence[Wanted]]]
"""Orders of one transaction, by the wares that they are for."""


class Seeding:
    """Deterministic: the same seed, vocabulary and day, on a store with the same contents, give the same data.

    Times are relative to the last midnight (UTC) of `clock`. All seeded accounts share `PASSWORD`, and one hash of
    it. Seeding touches seeded accounts and their products only. It writes whole batches: interrupted, it leaves a
    smaller market that is as consistent. A seed works once for each step (`AlreadySeeded`); another adds more.
    """

    def __init__(
        self,
        store: Store,
        queries: Queries,
        clock: Clock,
        passwords: Passwords,
        *,
        vocabulary: Vocabulary = PLAIN,
        currency: str = "USD",
    ) -> None:
        self._store = store
        self._queries = queries
        self._clock = clock
        self._passwords = passwords
        self._words = vocabulary
        self._currency = currency

    def everything(
        self, *, users: int, products: int, orders: int, rng_seed: int, progress: Progress = no_progress
    ) -> Seeded:
        """All steps; a count of 0 leaves one out. Raise `AlreadySeeded` from the first that was made before."""
        made = self.categories()
        if users:
            made += self.users(users, rng_seed=rng_seed, progress=progress)
        if products:
            made += self.products(products, rng_seed=rng_seed, progress=progress)
        if orders:
            made += self.orders(orders, rng_seed=rng_seed, progress=progress)
        return made

    def categories(self) -> Seeded:
        """Those of the default categories that are not there."""
        with self._store.begin() as tx:
            there = {category.slug for category in tx.categories.all()}
            missing = [(name, slug_of(name)) for name in DEFAULT_CATEGORIES if slug_of(name) not in there]
            tx.categories.add(missing)
        return Seeded(categories=len(missing))

    def users(self, count: int, *, rng_seed: int, progress: Progress = no_progress) -> Seeded:
        """`count` users, who can log in with `PASSWORD`. Raise `AlreadySeeded`."""
        source = self._source(rng_seed)
        hashed = self._passwords.hash(PASSWORD)
        made = Seeded()
        for start in range(0, count, BATCH):
            with self._store.bulk() as tx:
                batch = people(tx.accounts.next_ids(min(BATCH, count - start)), start, source, hashed)
                if start == 0 and tx.accounts.by_email([account.email for account in batch]):
                    raise AlreadySeeded("users", rng_seed)
                tx.accounts.add(batch)
            made += Seeded(users=len(batch))
            progress("users", made.users, count)
        return made

    @gc_paused()
    def products(self, count: int, *, rng_seed: int, progress: Progress = no_progress) -> Seeded:
        """`count` products of the first of the seeded users, with stock, price histories and a policy per seller.

        Raise `AlreadySeeded`, or `NothingToSeedOn` without seeded users or categories.
        """
        source = self._source(rng_seed)
        users = self._users()
        categories = [(category.id, category.name) for category in self._queries.categories()]
        if not users or not categories:
            raise NothingToSeedOn("Products need sellers and categories: seed users and categories first.")
        shelf = Shelf(categories, _sellers(users), self._currency)
        if any(self._queries.ids_by_sku(seller, [sku_of(rng_seed, 1)]) for seller in shelf.sellers):
            raise AlreadySeeded("products", rng_seed)
        with self._store.begin() as tx:
            ids = tx.products.next_ids(count)
        batches = [(ids[start : start + BATCH], start) for start in range(0, count, BATCH)]

        def write(batch: tuple[Sequence[ProductId], int]) -> Seeded:
            products, stocks = goods(*batch, source, shelf)
            made = Seeded(
                products=len(products),
                price_changes=sum(len(product.price_changes) for product in products),
                stock_movements=sum(len(stock.movements) for stock in stocks),
            )
            with self._store.bulk() as tx:
                tx.products.add(products)
                tx.stock.add(stocks)
                tx.statistics.add_pending_facts(PendingFacts(products=[product.id for product in products]))
            return made

        made = Seeded()
        with closing(side_by_side(write, batches)) as results:
            for written in results:
                made += written
                progress("products", made.products, count)
        return made + self._policies(shelf.sellers)

    @gc_paused()
    def orders(self, count: int, *, rng_seed: int, progress: Progress = no_progress) -> Seeded:
        """`count` orders of seeded users for seeded products, over the last days, in states of all kinds.

        Raise `AlreadySeeded`, or `NothingToSeedOn` without a product that somebody else can buy.
        """
        source = self._source(rng_seed)
        users, wares = self._users(), self._wares(source)
        sellers = {ware.seller_id for ware in wares}
        crowd = Crowd(users, [user for user in users if user not in sellers])
        if not wares or not crowd.outsiders:
            raise NothingToSeedOn("Orders need products, and buyers who do not sell: seed users and products first.")
        with self._store.begin() as tx:
            if tx.orders.by_command(command_ids(rng_seed, 0, 1)):
                raise AlreadySeeded("orders", rng_seed)
            ids = tx.orders.next_ids(count)
        wanted = list(map(Wanted, ids, command_ids(rng_seed, 0, count), moments(count, rng_seed, source.base)))
        made = Seeded()
        for turn, portions in enumerate(_turns(wanted, wares, source)):
            numbered = [(portion, [turn, number]) for number, portion in enumerate(portions)]
            with closing(side_by_side(lambda job: self._write_orders(*job, crowd, source), numbered)) as results:
                for written in results:
                    made += written
                    progress("orders", made.orders, count)
        return made

    def _write_orders(self, portion: Portion, numbers: Sequence[int], crowd: Crowd, source: Source) -> Seeded:
        ids = {ware.product_id for wares, _ in portion for ware in wares}
        rng = generator(source.rng_seed, StreamName.ORDERS, 2, *numbers)
        with self._store.bulk() as tx:
            stock = tx.stock.lock(ids)
            history = tx.products.prices_since(ids, source.base - timedelta(days=DAYS))
            sold: Counter[ProductId] = Counter()
            made = Seeded()
            for wares, wanted in portion:
                shop = Shop(wares, Prices(wares, history, source.base), crowd, self._currency, source.base)
                orders = purchases(wanted, shop, stock, rng)
                touched = [stock[ware.product_id] for ware in wares]
                paid = [PendingOrderFacts.of(order) for order in orders if order.paid_at is not None]
                tx.statistics.add_pending_facts(PendingFacts(orders=paid))
                tx.orders.add(orders)
                tx.stock.save(touched)
                sold.update(line.product_id for order in orders for line in order.lines)
                made += _count(orders) + Seeded(stock_movements=sum(len(shelf.movements) for shelf in touched))
            rates = rng.uniform(*CONVERSION, len(sold)).tolist()
            views = {product: round(orders / rate) for (product, orders), rate in zip(sold.items(), rates, strict=True)}
            tx.products.add_views({(product, source.base): count for product, count in views.items()}, past=True)
        return made

    def _policies(self, sellers: Sequence[AccountId]) -> Seeded:
        """One for each seller who has none."""
        with self._store.begin() as tx:
            served = {policy.seller_id for policy in tx.policies.of_sellers(sellers)}
            unserved = [seller for seller in sellers if seller not in served]
            ids = tx.policies.next_ids(len(unserved))
            now = self._clock.now()
            tx.policies.add(
                [
                    PricingPolicy(policy_id, seller, "What sells best", now)
                    for policy_id, seller in zip(ids, unserved, strict=True)
                ]
            )
        return Seeded(policies=len(unserved))

    def _source(self, rng_seed: int) -> Source:
        return Source(rng_seed, self._words, base_of(self._clock.now()))

    def _users(self) -> list[AccountId]:
        """The seeded ones, by id."""
        found = []
        page = self._queries.accounts(PageRequest(1_000))
        while True:
            found += [account.id for account in page.rows if is_seeded(account.email)]
            if page.next is None:
                return found
            page = self._queries.accounts(PageRequest(1_000, after=page.next))

    def _wares(self, source: Source) -> list[Ware]:
        """Active products of seeded sellers that were there before the first seeded order."""
        opened = source.base - timedelta(days=DAYS)
        return [
            Ware(product.id, product.seller.id)
            for product in self._queries.iter_products()
            if product.is_active
            and product.created_at < opened
            and product.price.currency == self._currency
            and is_seeded(product.seller.email)
        ]


def _sellers(users: Sequence[AccountId]) -> Sequence[AccountId]:
    return users[: max(1, round(len(users) * SELLER_SHARE))]


def _turns(wanted: Sequence[Wanted], wares: Sequence[Ware], source: Source) -> Iterator[list[Portion]]:
    """What each transaction makes: orders, in the order of their times, for groups of wares.

    Portions of one turn share no ware; a ware's later orders come in a later turn.
    """
    rng = generator(source.rng_seed, StreamName.ORDERS, 1)
    groups = max(
        -(-len(wares) // MOST_GROUP), min(-(-len(wanted) // GROUP_ORDERS), max(1, len(wares) // LEAST_GROUP))
    )  # fmt: skip
    # Neighbours together: they share pages on disk, so that a transaction touches few.
    bounds = [len(wares) * group // groups for group in range(groups + 1)]
    shelves = [wares[begin:end] for begin, end in itertools.pairwise(bounds)]
    queues: list[list[Wanted]] = [[] for _ in range(groups)]
    for group, order in zip(rng.integers(0, groups, len(wanted)).tolist(), wanted, strict=True):
        queues[group].append(order)
    # Groups differ in size by chance: only a queue that is far too long takes several turns.
    most = 2 * GROUP_ORDERS
    for start in itertools.count(step=most):
        busy = [group for group in range(groups) if len(queues[group]) > start]
        if not busy:
            return
        yield [
            [(shelves[group], queues[group][start : start + most]) for group in several]
            for several in _batches(busy, GROUPS_AT_ONCE)
        ]


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _count(orders: Sequence[Order]) -> Seeded:
    return Seeded(
        orders=len(orders),
        order_lines=sum(len(order.lines) for order in orders),
        refunds=sum(len(order.refunds) for order in orders),
        orders_by_status=Counter(order.status for order in orders),
    )
