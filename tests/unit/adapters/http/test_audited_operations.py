"""Each operation by which staff act on things of others leaves one entry in the audit log; on one's own, none."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest
from attrs import frozen
from httpx2 import Response

from adapters.http.app import RESOURCES
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import OperationSpec
from scalecommerce_core.domain.audit import AuditAction, AuditEntry
from scalecommerce_core.domain.identifiers import AccountId, OrderId, PolicyId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS
from scalecommerce_core.domain.outgoing_email import EmailKind, OutgoingEmail
from scalecommerce_core.pricing.runs import ApprovalLimits
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.repricing import Repricing
from tests.unit.support.http_marketplace import ORDERS, PASSWORD, PRODUCTS, USERS, Marketplace, Person, answer
from tests.unit.support.http_marketplace import marketplace as open_marketplace
from tests.unit.support.http_operations import EXAMPLES, endpoints

PRICING: Final = "/pricing/api/v1/"
OPERATIONS: Final = "/operations/api/v1/"
ALL_ORDERS: Final = OPERATIONS + "orders/"
WEBHOOKS: Final = "/webhooks/api/v1/"
CATEGORIES: Final = PRODUCTS + "categories/"
SALE: Final = {"name": "Sale", "percent": 20, "ends_at": "2030-12-02T00:00:00Z", "starts_at": "2030-11-25T00:00:00Z"}
EAGER: Final = {
    "name": "Mine",
    "parameters": {"vary": False, "caution": 0},
    "guardrails": {
        "least_views": 0, "least_history_days": 0, "cooldown_days": 0, "breaker_share": 1, "breaker_mean": 1,
    },
}  # fmt: skip
"""A policy that changes the price of a new product in its first epoch."""

OWN: Final = {
    # No account, or the caller's own.
    "logIn", "refreshToken", "verifyToken", "signUp", "editProfile", "changePassword", "logOut", "revokeSession",
    "revokeOtherSessions", "createApiKey", "rotateApiKey", "revokeApiKey", "requestPasswordReset",
    "confirmPasswordReset", "changeEmail", "requestEmailVerification", "confirmEmail", "beginSecondFactor",
    "confirmSecondFactor", "renewRecoveryCodes", "disableSecondFactor", "deleteProfile",
    # For the caller; an order is paid and cancelled by its buyer alone, and a secret is shown to its owner alone.
    "listProduct", "importProducts", "placeOrder", "quotePrices", "payOrder", "cancelOrder", "createPricingPolicy",
    "createWebhook", "rotateWebhookSecret",
}  # fmt: skip
"""Operations that change only what belongs to the caller."""


class Others:
    """Things of a seller and a buyer, and staff who have none of them."""

    def __init__(self, place: Marketplace) -> None:
        self.place = place
        self.staff, self.seller, self.buyer = place.person(is_staff=True), place.person(), place.person()
        self.product = self.seller.list(stock=20, cost="9.00")["id"]

    def sold(self) -> int:
        return int(self.place.sell(self.buyer, (self.product, 2))["id"])

    def reserved(self) -> int:
        return int(self.place.reserve(self.buyer, (self.product, 2))["id"])

    def policy(self) -> int:
        made = answer(self.seller.post(f"{PRICING}policies/", EAGER), 201)
        self.place.clock.advance(minutes=1)
        return int(made["id"])

    def experiment(self) -> int:
        plan = {"policy": self.policy(), "kind": "switchback", "weeks": 52}
        return int(answer(self.seller.post(f"{PRICING}experiments/", plan), 201)["id"])

    def promotion(self) -> int:
        return int(answer(self.seller.post(f"{PRICING}promotions/", {**SALE, "all_products": True}), 201)["id"])

    def webhook(self) -> int:
        return int(answer(self.seller.post(WEBHOOKS, {"url": "https://example.com/hooks"}), 201)["id"])

    def ended_run(self) -> int:
        return int(self.place.market.repricing.run(PolicyId(self.policy())).id)

    def begun_run(self) -> int:
        return int(self.place.market.repricing.begin(PolicyId(self.policy())).id)

    def waiting_run(self) -> int:
        limits = ApprovalLimits(mean_basis_points=1)
        repricing = Repricing(self.place.market.store, self.place.clock, approval=limits)
        return int(repricing.run(PolicyId(self.policy())).id)

    def delivery(self) -> tuple[int, int]:
        """An endpoint, and a delivery of it that was tried."""
        endpoint = self.webhook()
        self.place.market.webhooks.deliver()
        (sent,) = answer(self.seller.get(f"{WEBHOOKS}{endpoint}/deliveries/"))["results"]
        return endpoint, int(sent["id"])

    def parked_order(self) -> int:
        order = OrderId(self.buyer.place((self.product, 1))["id"])
        now = self.place.clock.now()
        with self.place.market.store.begin() as tx:
            found = tx.orders.lock([order])[order]
            for _ in range(DECIDE_ATTEMPTS):
                found.record_decision_failure(now, now, "bad data")
            tx.orders.save([found])
        return order

    def open_payment(self) -> str:
        """A payment whose outcome is unknown, because the gateway is down."""
        order = self.place.reserve(self.buyer, (self.product, 1))
        self.place.gateway.is_down = True
        assert self.buyer.act(order, "pay").status_code == 503
        self.place.clock.advance(minutes=2)
        (payment,) = answer(self.staff.get(f"{ALL_ORDERS}{order['id']}/"))["payments"]
        return str(payment["id"])

    def open_refund(self) -> str:
        """A refund that the gateway has not confirmed."""
        order = self.sold()
        answer(
            self.seller.post(f"{ORDERS}{order}/refunds/", {"lines": [{"product": self.product, "quantity": 1}]}), 201
        )
        (payment,) = answer(self.staff.get(f"{ALL_ORDERS}{order}/"))["payments"]
        return str(payment["refunds"][0]["id"])

    def delayed_email(self) -> int:
        now = self.place.clock.now()
        with self.place.market.store.begin() as tx:
            (id_,) = tx.emails.next_ids(1)
            email = OutgoingEmail(id_, EmailKind.PASSWORD_CHANGED, self.buyer.email, AccountId(self.buyer.id), now, now)
            email.lease(now)
            email.retry(now, "The mail server is away.")
            tx.emails.add([email])
        return id_

    def entries(self) -> list[AuditEntry]:
        """The entries of the audit log, the newest first."""
        return [record.entry for record in self.place.market.queries.audit_entries(PageRequest(100)).rows]


@frozen
class Act:
    """A request about a thing, and the entry that it leaves: `make` returns the path and the id of its target."""

    action: AuditAction
    method: str
    make: Callable[[Others], tuple[str, object]]
    body: Any = None
    by_owner: bool = True
    """Whether the owner of the thing may do the same; else it is for staff only."""

    def send(self, who: Person, path: str) -> Response:
        return who.send(self.method, path, json=self.body)


def user(tail: str) -> Callable[[Others], tuple[str, object]]:
    return lambda others: (f"{USERS}{others.buyer.id}/{tail}", others.buyer.id)


def product(tail: str = "", root: str = PRODUCTS) -> Callable[[Others], tuple[str, object]]:
    return lambda others: (f"{root}{others.product}/{tail}", others.product)


def thing(root: str, make: Callable[[Others], object], tail: str = "") -> Callable[[Others], tuple[str, object]]:
    def found(others: Others) -> tuple[str, object]:
        id_ = make(others)
        return f"{root}{id_}/{tail}", id_

    return found


def refund(others: Others) -> tuple[str, object]:
    order = others.sold()
    return f"{ORDERS}{order}/refunds/", order


def stopped_pricing(others: Others) -> tuple[str, object]:
    answer(others.staff.post(f"{PRICING}stop/"))
    return f"{PRICING}resume/", "all"


def redelivery(others: Others) -> tuple[str, object]:
    endpoint, delivery = others.delivery()
    return f"{WEBHOOKS}{endpoint}/deliveries/{delivery}/redeliver/", delivery


def inactive_user(others: Others) -> tuple[str, object]:
    answer(others.staff.post(f"{USERS}{others.buyer.id}/deactivate/", {"reason": "Asked for it."}))
    return user("reactivate/")(others)


def open_session(others: Others) -> tuple[str, object]:
    (session, *_) = answer(others.staff.get(f"{USERS}{others.buyer.id}/sessions/"))["results"]
    return f"{USERS}{others.buyer.id}/sessions/{session['id']}/revoke/", others.buyer.id


def other_staff(others: Others) -> tuple[str, object]:
    others.buyer = others.place.person(is_staff=True)
    return user("dismiss-staff/")(others)


REASON: Final = {"reason": "Asked for it."}
RUNS: Final = PRICING + "runs/"
_DO: Final = AuditAction
AUDITED: Final[Mapping[str, Act]] = {
    "deactivateUser": Act(_DO.ACCOUNT_DEACTIVATED, "POST", user("deactivate/"), REASON, by_owner=False),
    "reactivateUser": Act(_DO.ACCOUNT_REACTIVATED, "POST", inactive_user, REASON, by_owner=False),
    "revokeSessionsOfUser": Act(
        _DO.ACCOUNT_SESSIONS_REVOKED, "POST", user("revoke-sessions/"), REASON, by_owner=False
    ),
    "revokeSessionOfUser": Act(
        _DO.ACCOUNT_SESSION_REVOKED, "POST", open_session, REASON, by_owner=False
    ),
    "appointStaff": Act(
        _DO.ACCOUNT_STAFF_APPOINTED, "POST", user("appoint-staff/"), {**REASON, "password": PASSWORD + "!"},
        by_owner=False,
    ),
    "dismissStaff": Act(_DO.ACCOUNT_STAFF_DISMISSED, "POST", other_staff, REASON, by_owner=False),
    "exportUser": Act(_DO.ACCOUNT_EXPORTED, "GET", user("export/"), by_owner=False),
    "deleteUser": Act(_DO.ACCOUNT_DELETED, "POST", user("deletion/"), REASON, by_owner=False),
    "putProduct": Act(_DO.PRODUCT_EDITED, "PUT", product(), EXAMPLES["putProduct"]),
    "patchProduct": Act(_DO.PRODUCT_EDITED, "PATCH", product(), {"price": "8.00", "stock": 3}),
    "withdrawProduct": Act(_DO.PRODUCT_WITHDRAWN, "DELETE", product()),
    "withdrawPrice": Act(
        _DO.PRODUCT_PRICE_WITHDRAWN, "POST", product("price-withdrawals/"),
        {"price": "10.00", "reason": "A typing error", "new_price": "12.00"},
    ),
    "adjustStock": Act(_DO.PRODUCT_STOCK_ADJUSTED, "POST", product("stock/"), {"delta": -2}),
    "addCategory": Act(_DO.CATEGORY_CREATED, "POST", lambda _: (CATEGORIES, None), {"name": "Teas"}, by_owner=False),
    "renameCategory": Act(
        _DO.CATEGORY_RENAMED, "POST", lambda _: (f"{CATEGORIES}1/rename/", 1), {"name": "Devices"}, by_owner=False
    ),
    "patchCategory": Act(
        _DO.CATEGORY_MIN_HOLD_SET, "PATCH", lambda _: (f"{CATEGORIES}1/", 1), {"min_hold_days": 2}, by_owner=False
    ),
    "refundOrder": Act(_DO.ORDER_REFUNDED, "POST", refund, {"lines": [{"product": 1, "quantity": 1}]}),
    "patchPricingPolicy": Act(
        _DO.POLICY_EDITED, "PATCH", thing(f"{PRICING}policies/", Others.policy), {"is_active": False}
    ),
    "deletePricingPolicy": Act(_DO.POLICY_DELETED, "DELETE", thing(f"{PRICING}policies/", Others.policy)),
    "patchPricingOfProduct": Act(
        _DO.PRODUCT_PRICING_EXCLUDED, "PATCH", product(root=f"{PRICING}products/"), {"is_excluded": True}
    ),
    "approvePricingRun": Act(
        _DO.RUN_APPROVED, "POST", thing(RUNS, Others.waiting_run, "approve/"), by_owner=False
    ),
    "declinePricingRun": Act(
        _DO.RUN_DECLINED, "POST", thing(RUNS, Others.waiting_run, "decline/"), REASON, by_owner=False
    ),
    "rollBackPricingRun": Act(_DO.RUN_ROLLED_BACK, "POST", thing(RUNS, Others.ended_run, "rollback/")),
    "cancelPricingRun": Act(_DO.RUN_CANCELLED, "POST", thing(RUNS, Others.begun_run, "cancel/")),
    "createPromotion": Act(
        _DO.PROMOTION_CREATED, "POST", lambda _: (f"{PRICING}promotions/", 1),
        {**SALE, "all_products": True, "seller": 2},
    ),
    "patchPromotion": Act(
        _DO.PROMOTION_EDITED, "PATCH", thing(f"{PRICING}promotions/", Others.promotion), {"name": "Sales"}
    ),
    "cancelPromotion": Act(_DO.PROMOTION_CANCELLED, "DELETE", thing(f"{PRICING}promotions/", Others.promotion)),
    "startPricingExperiment": Act(
        _DO.EXPERIMENT_STARTED, "POST", lambda others: (f"{PRICING}experiments/", others.policy()),
        {"policy": 1, "kind": "switchback", "weeks": 52},
    ),
    "endPricingExperiment": Act(
        _DO.EXPERIMENT_ENDED, "POST", thing(f"{PRICING}experiments/", Others.experiment, "end/")
    ),
    "patchWebhook": Act(_DO.WEBHOOK_EDITED, "PATCH", thing(WEBHOOKS, Others.webhook), {"is_active": False}),
    "deleteWebhook": Act(_DO.WEBHOOK_DELETED, "DELETE", thing(WEBHOOKS, Others.webhook)),
    "testWebhook": Act(_DO.WEBHOOK_PINGED, "POST", thing(WEBHOOKS, Others.webhook, "test/")),
    "stopPricing": Act(_DO.PRICING_STOPPED, "POST", lambda _: (f"{PRICING}stop/", "all"), by_owner=False),
    "resumePricing": Act(_DO.PRICING_RESUMED, "POST", stopped_pricing, by_owner=False),
    "requeueOrder": Act(
        _DO.ORDER_REQUEUED, "POST", thing(ALL_ORDERS, Others.parked_order, "requeue/"), by_owner=False
    ),
    "cancelOrderOfAnybody": Act(
        _DO.ORDER_CANCELLED, "POST", thing(ALL_ORDERS, Others.reserved, "cancel/"), REASON, by_owner=False
    ),
    "checkPayment": Act(
        _DO.PAYMENT_CHECKED, "POST", thing(f"{OPERATIONS}payments/", Others.open_payment, "check/"), by_owner=False
    ),
    "sendRefund": Act(
        _DO.REFUND_SENT, "POST", thing(f"{OPERATIONS}refunds/", Others.open_refund, "send/"), by_owner=False
    ),
    "sendEmail": Act(
        _DO.EMAIL_SENT, "POST", thing(f"{OPERATIONS}emails/", Others.delayed_email, "send/"), by_owner=False
    ),
    "redeliverWebhook": Act(_DO.DELIVERY_REDELIVERED, "POST", redelivery),
}  # fmt: skip
"""Operations by which staff change, or take away, things of others."""


@pytest.fixture
def others() -> Iterator[Others]:
    with open_marketplace() as place:
        yield Others(place)


def test_every_operation_that_changes_something_is_in_one_of_the_lists() -> None:
    changing = {each.name for each in endpoints() if each.method != "GET"} | {"exportUser"}
    assert changing == OWN | AUDITED.keys()
    assert not OWN & AUDITED.keys()
    specs = [
        spec
        for resource in RESOURCES
        for handler in vars(resource).values()
        if isinstance(spec := getattr(handler, "__operation_spec__", None), OperationSpec)
    ]
    assert {spec.name for spec in specs} >= changing
    assert not OWN & {spec.name for spec in specs if spec.access is Access.STAFF}


@pytest.mark.parametrize("name", sorted(AUDITED))
def test_staff_leave_one_entry(others: Others, name: str) -> None:
    act = AUDITED[name]
    path, target = act.make(others)
    before = others.entries()
    response = act.send(others.staff, path)
    assert response.is_success, response.text
    entry, *earlier = others.entries()
    assert earlier == before
    assert (entry.action, entry.actor_id, entry.occurred_at) == (act.action, others.staff.id, others.place.clock.now())
    assert entry.target_id == str(response.json()["id"] if target is None else target)
    assert entry.reason == (act.body or {}).get("reason", "")
    assert PASSWORD not in repr(entry)


@pytest.mark.parametrize("name", sorted(name for name, act in AUDITED.items() if act.by_owner))
def test_owners_leave_none(others: Others, name: str) -> None:
    act = AUDITED[name]
    path, _ = act.make(others)
    before = others.entries()
    response = act.send(others.seller, path)
    assert response.is_success, response.text
    assert others.entries() == before


@pytest.mark.parametrize("name", sorted(AUDITED))
def test_a_refused_request_leaves_none(others: Others, name: str) -> None:
    act = AUDITED[name]
    path, _ = act.make(others)
    stranger, before = others.place.person(), others.entries()
    assert act.send(stranger, path).status_code in {400, 403, 404}
    assert others.entries() == before


def test_an_entry_has_what_changed_and_the_shortened_network(others: Others) -> None:
    answer(others.staff.patch(f"{PRODUCTS}{others.product}/", {"price": "8.00", "stock": 3, "name": "Tea pot"}))
    (entry, *_) = others.entries()
    assert (entry.before, entry.after) == ({"price": "10.00 USD", "stock": 20}, {"price": "8.00 USD", "stock": 3})
    answer(others.staff.patch(f"{PRODUCTS}{others.product}/", {"price": "8.00"}))
    assert others.entries()[0] == entry, "an edit that changes nothing leaves no entry"
