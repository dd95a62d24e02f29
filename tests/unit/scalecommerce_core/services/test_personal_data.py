"""Export of everything that is stored about a person, and deletion of an account."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.api_key import Scope, api_key_digest
from scalecommerce_core.domain.audit import OPERATOR, Actor, AuditAction
from scalecommerce_core.domain.errors import (
    AccountDeleted,
    Invalid,
    LastStaffAccount,
    NotAuthenticated,
    NotFound,
    TokenNotValid,
    TooManyAttempts,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId
from scalecommerce_core.domain.order import RefundLine
from scalecommerce_core.domain.product import Product
from scalecommerce_core.ports import SecurityEventKind
from scalecommerce_core.ports.orders import UnsettledOrder
from scalecommerce_core.queries import AccountDetails, PageRequest
from scalecommerce_core.services.experiments import StartExperiment
from scalecommerce_core.services.ordering import CancelOrder
from scalecommerce_core.services.personal_data import SHOWN_ORDERS, OrdersOpen
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.promotions import CreatePromotion
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import CreateEndpoint
from scalecommerce_core.testing import (
    CountingOneTimePasswords,
    MemoryStore,
    RecordedSecurityEvents,
    RecordingEmailSender,
    SettableClock,
    in_memory_market,
)
from tests.unit.support.shop import PASSWORD, MarketActions, line, usd


class Trader(MarketActions):
    """A market with a person who sells, buys, and has a policy and a webhook, and with somebody else."""

    def __init__(self) -> None:
        self.clock, self.memory = SettableClock(), MemoryStore()
        self.mail, self.log = RecordingEmailSender(), RecordedSecurityEvents()
        super().__init__(
            in_memory_market(self.clock, memory=self.memory, email_sender=self.mail, security_log=self.log)
        )
        self.data = self.market.personal_data
        self.trader = self.person("trader", last_name="Smith", bio="Sells tea.")
        self.other = self.person("other")
        self.offered = self.list(self.trader, name="Tea pot")
        self.bought = self.buy(self.trader, line(self.list(self.other, name="Cup"), 2))
        self.sold = self.buy(self.other, line(self.offered, 3))
        policy = unwrap_single(self.market.pricing.create([CreatePolicy(self.trader.id, {"name": "Mine"})]))
        plan = {"kind": "switchback", "weeks": 52}
        unwrap_single(self.market.experiments.start([StartExperiment(policy.id, self.trader.id, plan)]))
        ends_at = self.clock.now() + timedelta(days=7)
        sale = CreatePromotion(self.trader.id, "Sale", ends_at, percent=20, all_products=True)
        unwrap_single(self.market.promotions.create([sale]))
        unwrap_single(self.market.webhooks.create([CreateEndpoint(self.trader.id, "https://example.com/hook")]))
        identity = self.market.sessions.identify(self.market.accounts.log_in(self.trader.email, PASSWORD).access)
        self.api_key = self.market.api_keys.create(identity, "Till", [Scope.ORDERS_READ]).secret
        self.market.sessions.log_out(identity)

    def export(self, account: Account | None = None, by: Actor | None = None) -> Any:
        exported = (account or self.trader).id
        return json.loads("".join(self.data.export(exported, by or Actor(exported))))

    def details(self) -> AccountDetails:
        found = self.market.queries.account_details(self.trader.id)
        assert found is not None
        return found

    def offer(self) -> Product:
        return self.product(self.offered)

    def stored(self) -> Account:
        with self.market.store.begin() as tx:
            return tx.accounts.get_many([self.trader.id])[self.trader.id]

    def books(self) -> object:
        """Orders, payments and stock, which a deletion must not change."""
        tables = self.memory.tables
        return (
            [(o.id, o.buyer_id, o.status, o.lines) for o in tables.orders.all()],
            [(p.id, p.order_id, p.amount, p.status) for p in tables.payments.all()],
            [(s.product_id, s.on_hand, s.reserved) for s in tables.stock.all()],
            list(tables.movements.all()),
        )


@pytest.fixture
def trader() -> Trader:
    return Trader()


# --- export


def test_an_export_contains_everything_about_the_account(trader: Trader) -> None:
    trader.market.accounts.log_in(trader.trader.email, PASSWORD)
    document = trader.export()
    account = document["account"]
    assert (account["email"], account["first_name"], account["last_name"]) == ("trader@example.com", "trader", "Smith")
    assert (account["bio"], account["second_factor"], len(account["sessions"])) == ("Sells tea.", None, 2)
    assert [(o["id"], o["total"], o["lines"][0]["name"]) for o in document["orders"]] == [
        (trader.bought.id, "20.00", "Cup")
    ]
    assert [(s["order"], s["price"], s["quantity"]) for s in document["sales"]] == [(trader.sold.id, "10.00", 3)]
    assert [p["name"] for p in document["products"]] == ["Tea pot"]
    assert [p["name"] for p in document["pricing_policies"]] == ["Mine"]
    assert [(p["name"], p["percent"], p["status"]) for p in document["promotions"]] == [("Sale", 20, "scheduled")]
    assert [(e["kind"], e["weeks"], e["result"]) for e in document["pricing_experiments"]] == [("switchback", 52, None)]
    assert [(key["name"], key["scopes"]) for key in document["api_keys"]] == [("Till", ["orders:read"])]
    assert [w["url"] for w in document["webhooks"]] == ["https://example.com/hook"]
    assert trader.log.kinds[-1] is SecurityEventKind.DATA_EXPORTED


def test_exported_amounts_of_a_product_have_one_form(trader: Trader) -> None:
    trader.edit(trader.offered, competitor_price=usd("9.50"), cost=usd("4.00"))
    (product,) = trader.export()["products"]
    assert (product["price"], product["cost"]) == ("10.00 USD", "4.00 USD")
    assert (product["competitor_price"], product["max_price"]) == ("9.50 USD", None)


def test_an_export_contains_no_secrets_and_nothing_of_others(trader: Trader) -> None:
    pair = trader.market.accounts.log_in(trader.trader.email, PASSWORD)
    who = trader.market.sessions.identify(pair.access)
    secret = trader.market.second_factors.begin(who.account_id, PASSWORD).secret
    codes = trader.market.second_factors.confirm(who, trader_code(trader))
    text = "".join(trader.data.export(trader.trader.id, OPERATOR))
    (*_, session) = [s for s in trader.memory.tables.sessions.all() if s.account_id == trader.trader.id]
    keys = [trader.api_key, str(api_key_digest(trader.api_key))]
    secrets = [PASSWORD, secret, *codes, *keys, session.id, session.current, "plain:", "encrypted:"]
    for hidden in [*secrets, "other@example.com"]:
        assert hidden not in text
    assert '"recovery_codes_left": 10' in text


def trader_code(trader: Trader) -> str:
    return CountingOneTimePasswords().code(trader.clock.now().timestamp())


def test_an_export_has_all_pages(trader: Trader) -> None:
    products = [trader.list(trader.trader, name=f"Tea pot {number}") for number in range(250)]
    cups = trader.list(trader.other, stock=500)
    for _ in range(205):
        trader.buy(trader.trader, line(cups))
    document = trader.export()
    assert len(document["products"]) == len(products) + 1
    assert len({order["id"] for order in document["orders"]}) == 206


def test_an_export_of_an_empty_account_is_a_document(trader: Trader) -> None:
    document = trader.export(trader.person("new"))
    assert document["orders"] == document["sales"] == document["products"] == document["webhooks"] == []


def test_exports_are_limited_and_recorded_with_the_actor(trader: Trader) -> None:
    staff = trader.person("staff", is_staff=True)
    for _ in range(5):
        trader.export()
    with pytest.raises(TooManyAttempts):
        trader.export()
    trader.export(by=OPERATOR)
    trader.export(by=Actor(staff.id))
    assert trader.log.events[-1].actor_id == staff.id
    exported = AuditAction.ACCOUNT_EXPORTED
    assert [(each.action, each.actor_id) for each in trader.details().actions] == [
        (exported, staff.id),
        (exported, None),
    ]
    with pytest.raises(NotFound):
        trader.data.export(AccountId(999), OPERATOR)


# --- deletion


def test_a_deletion_removes_personal_data_and_keeps_the_books(trader: Trader) -> None:
    pair = trader.market.accounts.log_in(trader.trader.email, PASSWORD)
    before = trader.books()
    trader.data.delete(trader.trader.id, PASSWORD)
    account = trader.stored()
    assert account.email.endswith("@deleted.invalid")
    assert (account.first_name, account.last_name, account.bio, account.display_name) == ("", "", "", "")
    assert (account.password_hash, account.is_active, account.email_verified_at) == (None, False, None)
    assert trader.books() == before
    with pytest.raises(TokenNotValid):
        trader.market.sessions.identify(pair.access)
    with pytest.raises(TokenNotValid):
        trader.market.api_keys.identify(trader.api_key)
    with pytest.raises(NotAuthenticated):
        trader.market.accounts.log_in(trader.trader.email, PASSWORD)
    assert "Smith" not in json.dumps(trader.export())
    assert SecurityEventKind.ACCOUNT_DELETED in trader.log.kinds
    details = trader.details()
    assert [entry.action for entry in details.actions] == [AuditAction.ACCOUNT_DELETED]


def test_a_deletion_ends_offers_policies_and_webhooks(trader: Trader) -> None:
    trader.data.delete(trader.trader.id, PASSWORD)
    assert trader.offer().withdrawn_at is not None
    queries = trader.market.queries
    assert not queries.policies(trader.trader.id, PageRequest()).rows
    # The promotion had begun, so it ends now.
    assert [p.ends_at for p in queries.promotions(trader.trader.id, PageRequest()).rows] == [trader.clock.now()]
    assert not queries.endpoints(trader.trader.id, PageRequest()).rows
    assert not list(queries.iter_products(trader.trader.id))


def test_the_address_is_free_afterwards_and_gets_a_notice(trader: Trader) -> None:
    trader.market.password_reset.request(trader.trader.email)
    trader.data.delete(trader.trader.id, PASSWORD)
    trader.market.emails.deliver()
    assert [(mail.recipient, mail.subject) for mail in trader.mail.sent] == [
        (trader.trader.email, "Your account was deleted")
    ]
    assert trader.person("trader").id != trader.trader.id
    assert list(trader.memory.tables.account_tokens.all()) == []


def test_a_deletion_needs_password_and_code(trader: Trader) -> None:
    with pytest.raises(Invalid) as refused:
        trader.data.delete(trader.trader.id, "wrong")
    assert set(refused.value.errors) == {"password"}
    who = trader.market.sessions.identify(trader.market.accounts.log_in(trader.trader.email, PASSWORD).access)
    trader.market.second_factors.begin(who.account_id, PASSWORD)
    codes = trader.market.second_factors.confirm(who, trader_code(trader))
    for code in ("", "000000"):
        with pytest.raises(Invalid) as refused:
            trader.data.delete(trader.trader.id, PASSWORD, code=code)
        assert set(refused.value.errors) == {"code"}
    assert trader.stored().is_active
    trader.data.delete(trader.trader.id, PASSWORD, code=codes[0])
    assert list(trader.memory.tables.second_factors.all()) == []


@pytest.mark.parametrize("role", ["buyer", "seller"])
def test_open_orders_refuse_a_deletion(trader: Trader, role: str) -> None:
    own = role == "buyer"
    product = trader.list(trader.other) if own else trader.offered
    buyer = trader.trader if own else trader.other
    order = trader.reserve(buyer, line(product))
    with pytest.raises(OrdersOpen) as refused:
        trader.data.delete(trader.trader.id, PASSWORD)
    relation = "of" if own else "with products of"
    assert str(refused.value).startswith(f"Order {order.id} {relation} this account is not paid: ")
    assert refused.value.order_ids == (order.id,)
    assert trader.stored().is_active
    assert trader.offer().withdrawn_at is None
    unwrap_single(trader.market.ordering.cancel([CancelOrder(order.id, buyer.id)]))
    trader.data.delete(trader.trader.id, PASSWORD)


def test_refunds_in_progress_refuse_a_deletion(trader: Trader) -> None:
    trader.refund(trader.sold, trader.trader.id, RefundLine(trader.offered, 1))
    with pytest.raises(OrdersOpen, match=f"^A payment or refund of order {trader.sold.id} is in progress"):
        trader.data.delete(trader.trader.id, PASSWORD)
    trader.market.payments.send_refunds()
    trader.data.delete(trader.trader.id, PASSWORD)


def test_a_refused_deletion_says_what_to_do_about_each_order() -> None:
    def open_orders(*ids: int, is_own: bool, is_unpaid: bool) -> list[UnsettledOrder]:
        return [UnsettledOrder(OrderId(id_), is_own=is_own, is_unpaid=is_unpaid) for id_ in ids]

    assert str(OrdersOpen(open_orders(7, is_own=True, is_unpaid=True))) == (
        "Order 7 of this account is not paid: pay or cancel it. Then delete the account."
    )
    mixed = [
        *open_orders(1, 2, 3, is_own=True, is_unpaid=True),
        *open_orders(4, 5, is_own=False, is_unpaid=True),
        *open_orders(6, 8, is_own=False, is_unpaid=False),
    ]
    assert str(OrdersOpen(mixed)) == (
        "Orders 1, 2 and 3 of this account are not paid: pay or cancel them. Orders 4 and 5 with products of this"
        " account are not paid: wait until they are paid, cancelled or expired. Payments or refunds of orders 6 and 8"
        " are in progress: wait until they end. Then delete the account."
    )
    many = OrdersOpen(open_orders(*range(1, SHOWN_ORDERS + 2), is_own=True, is_unpaid=True))
    assert f" and {SHOWN_ORDERS} of" in str(many)
    assert "There are more such orders." in str(many)


def test_operators_delete_with_a_reason(trader: Trader) -> None:
    with pytest.raises(Invalid):
        trader.data.delete_for(trader.trader.id, " ", OPERATOR)
    trader.data.delete_for(trader.trader.id, "Asked by letter.", OPERATOR)
    assert not trader.stored().is_active
    assert [action.reason for action in trader.details().actions] == ["Asked by letter."]
    with pytest.raises(NotFound):
        trader.data.delete_for(AccountId(999), "Asked by letter.", OPERATOR)


def test_the_last_staff_account_is_not_deleted(trader: Trader) -> None:
    staff = trader.person("staff", is_staff=True)
    with pytest.raises(LastStaffAccount):
        trader.data.delete(staff.id, PASSWORD)
    second = trader.person("second", is_staff=True)
    trader.data.delete_for(staff.id, "Left the team.", Actor(second.id))
    assert trader.log.events[-1].actor_id == second.id


def test_a_deleted_account_is_neither_changed_nor_deleted_again(trader: Trader) -> None:
    trader.data.delete(trader.trader.id, PASSWORD)
    trader.market.emails.deliver()
    gone, sent = trader.stored(), len(trader.mail.sent)
    administration, account_id = trader.market.account_administration, trader.trader.id
    acts: list[Callable[[], object]] = [
        lambda: trader.data.delete_for(account_id, "Again.", OPERATOR),
        lambda: administration.reactivate(account_id, "Again.", OPERATOR),
        lambda: administration.deactivate(account_id, "Again.", OPERATOR),
        lambda: administration.revoke_sessions(account_id, "Again.", OPERATOR),
        lambda: administration.dismiss_staff(account_id, "Again.", OPERATOR),
        lambda: trader.market.accounts.appoint_staff(gone.email, "quite another password"),
    ]
    for act in acts:
        with pytest.raises(AccountDeleted, match="open a new one"):
            act()
    trader.market.emails.deliver()
    assert (trader.stored(), len(trader.mail.sent)) == (gone, sent)
    assert [action.reason for action in trader.details().actions] == ["Deleted by its owner."]
    assert trader.offer().withdrawn_at is not None


def test_an_account_with_a_look_alike_address_is_not_deleted(trader: Trader) -> None:
    stranger = trader.person("stranger")
    assert not evolve(stranger, email=f"deleted-{stranger.id}-abc@deleted.invalid").is_deleted
    trader.data.delete_for(stranger.id, "Asked by letter.", OPERATOR)
