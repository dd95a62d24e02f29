"""A market with more than a page of rows of each kind, for tests of statements and sizes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.domain.webhook import MAX_ENDPOINTS
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import AdjustStock, CreateProduct
from scalecommerce_core.services.experiments import EndExperiment, StartExperiment
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import OrderRules, PlaceOrder
from scalecommerce_core.services.pricing import MAX_POLICIES_PER_SELLER, AssignProduct
from scalecommerce_core.services.promotions import MAX_OPEN_PROMOTIONS, CreatePromotion
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import ActOnEndpoint, CreateEndpoint
from scalecommerce_core.testing import CountingIds

ROWS = 110
PASSWORD = "a long password"
NO_QUOTAS = OrderRules(quotas=OrderQuotas(open_orders=0))


def fill_market(market: Market) -> Account:
    """Fill an empty market; return the member of staff who sells everything."""
    people = [unwrap_single([made]) for made in market.accounts.sign_up([_person(number) for number in range(ROWS)])]
    staff, buyer = people[:2]
    price = Money(9_00, "USD")
    # Two products are bought; the stock of the others has run out.
    listed = [
        CreateProduct(staff.id, CategoryId(8), f"Tea pot {number}", price, brand="A", stock=0 if number > 1 else 10**6)
        for number in range(ROWS)
    ]
    products = [unwrap_single([made]).product.id for made in market.catalog.create_products(listed)]
    market.catalog.adjust_stock([AdjustStock(products[0], staff.id, delta=1) for _ in range(ROWS)])
    ids = CountingIds()
    lines = [OrderLineRequest(product, 1) for product in products[:2]]
    market.ordering.place([PlaceOrder(ids.command(), who.id, lines) for who in (staff, buyer) for _ in range(ROWS)])
    wanted = [CreateEndpoint(staff.id, "https://example.com/hooks")] * MAX_ENDPOINTS
    hooks = [unwrap_single([made]).endpoint.id for made in market.webhooks.create(wanted)]
    market.webhooks.mark_verified(hooks)
    market.webhooks.ping([ActOnEndpoint(hooks[0], staff.id) for _ in range(ROWS)])
    _reprice(market, staff.id, products)
    _promote(market, staff.id, products)
    for _ in range(ROWS):
        market.account_administration.revoke_sessions(buyer.id, "Asked for it.", Actor(staff.id))
    return staff


def _promote(market: Market, seller: AccountId, products: Sequence[ProductId]) -> None:
    """Announce a promotion of all products, and as many of the first product as are allowed."""
    start = datetime.now(UTC) + timedelta(days=1)
    for number in range(MAX_OPEN_PROMOTIONS):
        hour = start + timedelta(hours=number)
        chosen = dict.fromkeys(products[: 1 if number else None])
        sale = CreatePromotion(seller, "Sale", hour + timedelta(hours=1), hour, products=chosen)
        unwrap_single(market.promotions.create([sale]))


def _reprice(market: Market, seller: AccountId, products: Sequence[ProductId]) -> None:
    """Make one run over all products, and so many runs over the first product that the list of runs is as long as the
    others."""
    now = datetime.now(UTC)
    with market.store.begin() as tx:
        first, *_, last = ids = tx.policies.next_ids(MAX_POLICIES_PER_SELLER)
        tx.policies.add([PricingPolicy(policy_id, seller, "Mine", now) for policy_id in ids])
    whole = market.repricing.run(last)
    assert (whole.id, whole.products) == (1, len(products))
    unwrap_single(market.pricing.assign([AssignProduct(products[0], seller, first)]))
    for _ in range(ROWS):
        market.repricing.run(first, shadow=True)
    for _ in range(ROWS):
        plan = {"kind": "switchback", "weeks": 52}
        started = unwrap_single(market.experiments.start([StartExperiment(last, seller, plan)]))
        unwrap_single(market.experiments.end([EndExperiment(started.id, seller)]))


def _person(number: int) -> SignUp:
    return SignUp(f"person-{number}@example.com", PASSWORD, is_staff=number == 0)
