"""Creates the small market of `up --demo`."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from entrypoints.demo.banner import Demo
from entrypoints.demo.traffic.demo_products import (
    DEMO_PRODUCTS,
    EPOCH_SECONDS,
    GUARDRAILS,
    PARAMETERS,
    POLICY_NAME,
    DemoProduct,
)
from entrypoints.demo.traffic.plan import TrafficPlan
from entrypoints.settings import Settings
from entrypoints.wiring import Engine, wire
from scalecommerce_core.domain.category import slug_of
from scalecommerce_core.domain.errors import NotAuthenticated, TooManyAttempts
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.queries import AccountView, PageRequest, ProductFilter, ProductView
from scalecommerce_core.services.catalog import CreateProduct
from scalecommerce_core.services.pricing import AssignProduct, CreatePolicy
from scalecommerce_core.services.progress import Progress
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.seeding import PASSWORD, AlreadySeeded, Seeded, Seeding
from scalecommerce_core.services.seeding.users import is_seeded

RNG_SEED: Final = 1
USERS: Final = 10
PRODUCTS: Final = 500
ORDERS: Final = 2_000
DEMO_PRODUCT_STOCK: Final = 1_000_000
"""More than the simulated visitors buy in days."""
_EMAIL_SUFFIX: Final = f"@seed-{RNG_SEED}.example"


def prepare_demo(settings: Settings, progress: Progress) -> Demo | None:
    """Seed an empty database, or complete an interrupted seed; return None if the database contains other data."""
    engine = wire(settings)
    try:
        accounts = engine.market.queries.accounts(PageRequest(100)).rows
        if not accounts or any(account.email.endswith(_EMAIL_SUFFIX) for account in accounts):
            _seed(engine, progress)
            accounts = engine.market.queries.accounts(PageRequest(100)).rows
        return _describe_demo(engine, accounts)
    finally:
        engine.close()


def _seed(engine: Engine, progress: Progress) -> None:
    market = engine.market
    seeding = Seeding(market.store, market.queries, market.clock, engine.passwords, currency=market.currency)
    seeding.categories()
    made = Seeded()
    for step, count in ((seeding.users, USERS), (seeding.products, PRODUCTS), (seeding.orders, ORDERS)):
        try:
            made += step(count, rng_seed=RNG_SEED, progress=progress)
        except AlreadySeeded:
            continue
    # Later starts must not restore policies that were deleted. The demo's own policy is created after this.
    owners = {account.id for account in _demo_accounts(market.queries.accounts(PageRequest(100)).rows)}
    if made.rows or _find_policy(engine, owners) is None:
        seeding.policies()


def _make_staff(engine: Engine, account_id: AccountId) -> None:
    """Unlike `appoint_staff`, this keeps password and profile: nobody else opened this account."""
    with engine.market.store.begin() as tx:
        account = tx.accounts.lock([account_id])[account_id]
        if not account.is_staff:
            account.is_staff = True
            tx.accounts.save([account])


def _describe_demo(engine: Engine, accounts: Sequence[AccountView]) -> Demo | None:
    seeded = _demo_accounts(accounts)
    product = _find_orderable_product(engine)
    if product is None or len(seeded) < USERS:
        return None
    # Seeding makes the first users sellers, so the last ones only buy. The choice is the same at every start.
    owner, *_, buyer, staff = seeded
    _make_staff(engine, staff.id)
    changed = _changed_passwords(engine, {buyer.email, product.seller.email, staff.email})
    token = ""
    if buyer.email not in changed:
        # Log-ins may be limited, or need a second factor.
        with suppress(NotAuthenticated, TooManyAttempts):
            token = engine.market.accounts.log_in(buyer.email, PASSWORD).access
    plan = _prepare_traffic(engine, accounts, owner, seeded[-5:-2])
    return Demo(
        buyer.email,
        product.seller.email,
        staff.email,
        PASSWORD,
        token,
        product.id,
        engine.market.currency,
        plan,
        changed,
    )


def _changed_passwords(engine: Engine, emails: Collection[str]) -> frozenset[str]:
    """The addresses of accounts whose password is not the demo's any more."""
    with engine.market.store.begin() as tx:
        found = tx.accounts.by_email(emails)
    return frozenset(
        email
        for email in emails
        if email not in found or not engine.passwords.verify(found[email].password_hash, PASSWORD)
    )


def _prepare_traffic(
    engine: Engine, accounts: Sequence[AccountView], owner: AccountView, buyers: Sequence[AccountView]
) -> TrafficPlan | None:
    """Create the demo products and their pricing policy; return the visitors' plan.

    Returns None if the products are missing and the database contains accounts besides the demo's. Accounts that sign
    up later are no obstacle.
    """
    known = _find_demo_products(engine, owner.id)
    if len(known) < len(DEMO_PRODUCTS):
        if len(accounts) > USERS or not all(account.email.endswith(_EMAIL_SUFFIX) for account in accounts):
            return None
        _create_demo_products(engine, owner.id, [product for product in DEMO_PRODUCTS if product.sku not in known])
        known = _find_demo_products(engine, owner.id)
    policy = _find_or_create_policy(engine, owner.id)
    for outcome in engine.market.pricing.assign(
        [AssignProduct(product, owner.id, policy) for product in known.values()]
    ):
        unwrap_single([outcome])
    return TrafficPlan(
        {product.key: known[product.sku] for product in DEMO_PRODUCTS}, [buyer.email for buyer in buyers], PASSWORD
    )  # fmt: skip


def _find_demo_products(engine: Engine, owner: AccountId) -> Mapping[str, ProductId]:
    return engine.market.queries.ids_by_sku(owner, [product.sku for product in DEMO_PRODUCTS])


def _create_demo_products(engine: Engine, owner: AccountId, products: Sequence[DemoProduct]) -> None:
    market = engine.market
    categories = {category.slug: category.id for category in market.queries.categories()}

    def offer(product: DemoProduct, category: CategoryId) -> CreateProduct:
        return CreateProduct(
            owner=owner,
            category_id=category,
            name=product.name,
            price=Money(product.start_price, market.currency),
            stock=DEMO_PRODUCT_STOCK,
            brand="Demo",
            description=f"Listed {product.mispricing}; a pricing policy corrects the price.",
            sku=product.sku,
            cost=Money(product.demand.cost, market.currency),
        )

    for outcome in market.catalog.create_products(
        [offer(product, categories[slug_of(product.category)]) for product in products]
    ):
        unwrap_single([outcome])


def _demo_accounts(accounts: Sequence[AccountView]) -> Sequence[AccountView]:
    """The accounts of the demo; the first one owns its products and its policy."""
    return [account for account in accounts if is_seeded(account.email)][:USERS]


def _find_policy(engine: Engine, owners: Collection[AccountId]) -> PolicyId | None:
    with engine.market.store.begin() as tx:
        return next((each.id for each in tx.policies.of_sellers(owners) if each.name == POLICY_NAME), None)


def _find_or_create_policy(engine: Engine, owner: AccountId) -> PolicyId:
    if (found := _find_policy(engine, {owner})) is not None:
        return found
    document = {
        "name": POLICY_NAME,
        "assigned_only": True,
        "parameters": PARAMETERS,
        "guardrails": GUARDRAILS,
        "epoch_seconds": EPOCH_SECONDS,
    }
    (made,) = engine.market.pricing.create([CreatePolicy(owner, document)])
    if not isinstance(made, PricingPolicy):
        raise TypeError(f"The demo's policy was not created: {made!r}")
    return made.id


def _find_orderable_product(engine: Engine) -> ProductView | None:
    """Return the seeded product with the most stock; None if there is no product."""
    found = engine.market.queries.search(ProductFilter(in_stock=True), PageRequest(100)).rows
    seeded = [product for product in found if is_seeded(product.seller.email)]
    return max(seeded, key=lambda product: product.stock, default=None)
