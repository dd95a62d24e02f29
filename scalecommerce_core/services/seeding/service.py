"""The use cases of seeding: users, categories, products and orders, separately or all together."""

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
from scalecommerce_core.services.seeding.orders import (
    DAYS,
    Buyers,
    Offering,
    OrderHead,
    PriceLookup,
    SeededProduct,
    make_orders,
    order_times,
)
from scalecommerce_core.services.seeding.parallel import map_in_threads
from scalecommerce_core.services.seeding.products import SellersAndCategories, make_products, sku_of
from scalecommerce_core.services.seeding.randomness import Source, Stream, command_ids, generator, reference_time
from scalecommerce_core.services.seeding.seed_state import AlreadySeeded, NothingToSeedOn, Seeded
from scalecommerce_core.services.seeding.users import is_seeded, make_users
from scalecommerce_core.services.seeding.vocabulary import PLAIN, Vocabulary

PASSWORD: Final = "admin"  # noqa: S105 - published: seeded accounts are for looking around
BATCH: Final = 2_000
"""Users or products per transaction."""
GROUP_ORDERS: Final = 2_500
"""Planned orders of a group of products."""
MIN_GROUP_PRODUCTS: Final = 100
"""Least products of a group."""
MAX_GROUP_PRODUCTS: Final = 4_000
"""Most products of a group. Orders are made by groups, so that a transaction locks and writes few stocks, each once."""
GROUPS_PER_TRANSACTION: Final = 4
"""Groups per transaction: one group is written while the next is made."""
SELLER_SHARE: Final = 0.3
"""Share of the users who sell."""
CONVERSION: Final = (0.02, 0.07)
"""Range of orders per view."""

T = TypeVar("T")
Groups = Sequence[tuple[Sequence[SeededProduct], Sequence[OrderHead]]]
"""The orders of one transaction, by the group of products that they are for."""


class Seeding:
    """Deterministic: the same seed, vocabulary, day and contents of the store give the same data.

    Times are relative to the last midnight (UTC) of `clock`. All seeded accounts share `PASSWORD` and one hash of it.
    Seeding changes only seeded accounts and their products. It commits whole batches, so an interruption leaves a
    smaller consistent marketplace. Each step accepts a seed once (`AlreadySeeded`); another seed adds more data.
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
        """Run all steps; a count of 0 skips one. Raise `AlreadySeeded` from the first step that was run before."""
        made = self.categories()
        if users:
            made += self.users(users, rng_seed=rng_seed, progress=progress)
        if products:
            made += self.products(products, rng_seed=rng_seed, progress=progress)
        try:
            if orders:
                made += self.orders(orders, rng_seed=rng_seed, progress=progress)
        finally:
            # Also after an interruption, since the products cannot be seeded again.
            if products:
                made += self.policies()
        return made

    def categories(self) -> Seeded:
        """Add the default categories that do not exist."""
        with self._store.begin() as tx:
            existing = {category.slug for category in tx.categories.lock_all()}
            missing = [(name, slug_of(name)) for name in DEFAULT_CATEGORIES if slug_of(name) not in existing]
            tx.categories.add(missing)
        return Seeded(categories=len(missing))

    def users(self, count: int, *, rng_seed: int, progress: Progress = no_progress) -> Seeded:
        """Add `count` users who can log in with `PASSWORD`; raise `AlreadySeeded`."""
        source = self._source(rng_seed)
        hashed = self._passwords.hash(PASSWORD)
        made = Seeded()
        for start in range(0, count, BATCH):
            with self._store.bulk() as tx:
                batch = make_users(tx.accounts.next_ids(min(BATCH, count - start)), start, source, hashed)
                if start == 0 and tx.accounts.by_email([account.email for account in batch]):
                    raise AlreadySeeded("users", rng_seed)
                tx.accounts.add(batch)
            made += Seeded(users=len(batch))
            progress("users", made.users, count)
        return made

    @gc_paused()
    def products(self, count: int, *, rng_seed: int, progress: Progress = no_progress) -> Seeded:
        """Add `count` products of seeded users, with stock and price histories.

        Raise `AlreadySeeded`, or `NothingToSeedOn` if there are no seeded users or categories.
        """
        source = self._source(rng_seed)
        users = self._users()
        categories = [(category.id, category.name) for category in self._queries.categories()]
        if not users or not categories:
            raise NothingToSeedOn("Products need sellers and categories: seed users and categories first.")
        market = SellersAndCategories(categories, _sellers(users), self._currency)
        if any(self._queries.ids_by_sku(seller, [sku_of(rng_seed, 1)]) for seller in market.sellers):
            raise AlreadySeeded("products", rng_seed)
        with self._store.begin() as tx:
            ids = tx.products.next_ids(count)
        batches = [(ids[start : start + BATCH], start) for start in range(0, count, BATCH)]

        def write(batch: tuple[Sequence[ProductId], int]) -> Seeded:
            products, stocks = make_products(*batch, source, market)
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
        with closing(map_in_threads(write, batches)) as results:
            for written in results:
                made += written
                progress("products", made.products, count)
        return made

    @gc_paused()
    def orders(self, count: int, *, rng_seed: int, progress: Progress = no_progress) -> Seeded:
        """Add `count` orders of seeded users for seeded products over the last `DAYS` days, in all statuses.

        Raise `AlreadySeeded`, or `NothingToSeedOn` if no seeded user can buy a seeded product.
        """
        source = self._source(rng_seed)
        users, products = self._users(), self._products(source)
        sellers = {product.seller_id for product in products}
        buyers = Buyers(users, [user for user in users if user not in sellers])
        if not products or not buyers.outsiders:
            raise NothingToSeedOn("Orders need products, and buyers who do not sell: seed users and products first.")
        with self._store.begin() as tx:
            if tx.orders.by_command(command_ids(rng_seed, 0, 1)):
                raise AlreadySeeded("orders", rng_seed)
            ids = tx.orders.next_ids(count)
        heads = list(map(OrderHead, ids, command_ids(rng_seed, 0, count), order_times(count, rng_seed, source.base)))
        made = Seeded()
        for round_number, transactions in enumerate(_rounds(heads, products, source)):
            numbered = [(groups, [round_number, number]) for number, groups in enumerate(transactions)]
            with closing(map_in_threads(lambda job: self._write_orders(*job, buyers, source), numbered)) as results:
                for written in results:
                    made += written
                    progress("orders", made.orders, count)
        return made

    def _write_orders(self, groups: Groups, numbers: Sequence[int], buyers: Buyers, source: Source) -> Seeded:
        ids = {product.product_id for products, _ in groups for product in products}
        rng = generator(source.rng_seed, Stream.ORDERS, 2, *numbers)
        with self._store.bulk() as tx:
            stock = tx.stock.lock(ids)
            history = tx.products.prices_since(ids, source.base - timedelta(days=DAYS))
            sold: Counter[ProductId] = Counter()
            made = Seeded()
            for products, heads in groups:
                prices = PriceLookup(products, history, source.base)
                offering = Offering(products, prices, buyers, self._currency, source.base)
                orders = make_orders(heads, offering, stock, rng)
                touched = [stock[product.product_id] for product in products]
                paid = [PendingOrderFacts.of(order) for order in orders if order.paid_at is not None]
                tx.statistics.add_pending_facts(PendingFacts(orders=paid))
                tx.orders.add(orders)
                tx.stock.save(touched)
                sold.update(line.product_id for order in orders for line in order.lines)
                made += _count(orders) + Seeded(stock_movements=sum(len(each.movements) for each in touched))
            rates = rng.uniform(*CONVERSION, len(sold)).tolist()
            views = {product: round(orders / rate) for (product, orders), rate in zip(sold.items(), rates, strict=True)}
            tx.products.add_views({(product, source.base): count for product, count in views.items()}, past=True)
        return made

    def policies(self) -> Seeded:
        """Add a policy for each seeded seller who has none.

        This is the last step: the first run of a policy learns from the sales that are known by then.
        """
        sellers = _sellers(self._users())
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
        return Source(rng_seed, self._words, reference_time(self._clock.now()))

    def _users(self) -> list[AccountId]:
        """Ids of the seeded users, in order."""
        found = []
        page = self._queries.accounts(PageRequest(1_000))
        while True:
            found += [account.id for account in page.rows if is_seeded(account.email)]
            if page.next is None:
                return found
            page = self._queries.accounts(PageRequest(1_000, after=page.next))

    def _products(self, source: Source) -> list[SeededProduct]:
        """Active products of seeded sellers that were created before the first seeded order."""
        opened = source.base - timedelta(days=DAYS)
        return [
            SeededProduct(product.id, product.seller.id)
            for product in self._queries.iter_products()
            if product.is_active
            and product.created_at < opened
            and product.price.currency == self._currency
            and is_seeded(product.seller.email)
        ]


def _sellers(users: Sequence[AccountId]) -> Sequence[AccountId]:
    return users[: max(1, round(len(users) * SELLER_SHARE))]


def _rounds(heads: Sequence[OrderHead], products: Sequence[SeededProduct], source: Source) -> Iterator[list[Groups]]:
    """The transactions of each round, as groups of products with their orders in the order of their times.

    The transactions of one round share no product, so that they can run in parallel; later orders of a product belong
    to a later round.
    """
    rng = generator(source.rng_seed, Stream.ORDERS, 1)
    by_orders = min(-(-len(heads) // GROUP_ORDERS), max(1, len(products) // MIN_GROUP_PRODUCTS))
    groups = max(-(-len(products) // MAX_GROUP_PRODUCTS), by_orders)
    # Groups of neighbouring ids: they share pages on disk, so that a transaction writes few pages.
    bounds = [len(products) * group // groups for group in range(groups + 1)]
    parts = [products[begin:end] for begin, end in itertools.pairwise(bounds)]
    queues: list[list[OrderHead]] = [[] for _ in range(groups)]
    for group, order in zip(rng.integers(0, groups, len(heads)).tolist(), heads, strict=True):
        queues[group].append(order)
    # Queues differ in length by chance: only one that is more than twice as long as planned takes several rounds.
    most = 2 * GROUP_ORDERS
    for start in itertools.count(step=most):
        busy = [group for group in range(groups) if len(queues[group]) > start]
        if not busy:
            return
        yield [
            [(parts[group], queues[group][start : start + most]) for group in several]
            for several in _batches(busy, GROUPS_PER_TRANSACTION)
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
