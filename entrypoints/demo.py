"""Making a small market to look around in: `up --demo`."""

from collections.abc import Sequence
from typing import Final

from entrypoints.announcement import Demo
from entrypoints.settings import Settings
from entrypoints.wiring import Engine, wire
from scalecommerce_core.domain.errors import NotAuthenticated, TooManyAttempts
from scalecommerce_core.queries import AccountView, PageRequest, ProductFilter, ProductView
from scalecommerce_core.services.progress import Progress
from scalecommerce_core.services.seeding import PASSWORD, AlreadySeeded, Seeding
from scalecommerce_core.services.seeding.people import is_seeded

RNG_SEED: Final = 1
USERS: Final = 10
PRODUCTS: Final = 500
ORDERS: Final = 2_000


def prepared_demo(settings: Settings, progress: Progress) -> Demo | None:
    """Seed an empty database, and finish what an interrupted start has begun; None: somebody else's data are here."""
    engine = wire(settings)
    try:
        accounts = engine.market.queries.accounts(PageRequest(100)).rows
        if not accounts or any(account.email.endswith(f"@seed-{RNG_SEED}.example") for account in accounts):
            _seed(engine, progress)
            accounts = engine.market.queries.accounts(PageRequest(100)).rows
        return _demo(engine, [account for account in accounts if is_seeded(account.email)][:USERS])
    finally:
        engine.close()


def _seed(engine: Engine, progress: Progress) -> None:
    market = engine.market
    seeding = Seeding(market.store, market.queries, market.clock, engine.passwords, currency=market.currency)
    seeding.categories()
    for step, count in ((seeding.users, USERS), (seeding.products, PRODUCTS), (seeding.orders, ORDERS)):
        try:
            step(count, rng_seed=RNG_SEED, progress=progress)
        except AlreadySeeded:
            continue


def _demo(engine: Engine, seeded: Sequence[AccountView]) -> Demo | None:
    product = _product(engine)
    if product is None or len(seeded) < USERS:
        return None
    # Sellers are the first of the seeded users, so the last ones only buy; the same ones at every start.
    *_, buyer, staff = seeded
    try:
        token = engine.market.accounts.log_in(buyer.email, PASSWORD).access
    except (NotAuthenticated, TooManyAttempts):  # somebody changed the password, or tried to guess it
        return None
    engine.market.accounts.appoint_staff(staff.email)
    return Demo(buyer.email, product.seller.email, staff.email, PASSWORD, token, product.id)


def _product(engine: Engine) -> ProductView | None:
    """One that many orders can be placed for."""
    found = engine.market.queries.search(ProductFilter(in_stock=True), PageRequest(100)).rows
    seeded = [product for product in found if is_seeded(product.seller.email)]
    return max(seeded, key=lambda product: product.stock, default=None)
