"""`attention`, `backlogs`, `orders`, `payments` and `emails`: what operators see and do."""

import json
import logging
import re
from collections.abc import Collection

import pytest

from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, Order, OrderStatus, RefundLine
from scalecommerce_core.ports import EmailFailure, Transaction
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.emails import EmailRules
from scalecommerce_core.services.ordering import Ordering
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.testing import MemoryGateway, RecordingEmailSender, in_memory_market
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions, line
from tests.unit.support.tampering import TamperedStore, with_repository

DOWN = "The gateway is down."


class Troubled:
    """A market in which every background process fails until it is told to work."""

    def __init__(self, runtime: MemoryRuntime) -> None:
        self.clock, self.gateway = runtime.clock, MemoryGateway()
        self.mail = RecordingEmailSender(lambda _email: EmailFailure("451 try again later"))
        self.market = runtime.market = in_memory_market(
            runtime.clock, gateway=self.gateway, email_sender=self.mail, email_rules=EmailRules(enabled=True)
        )
        self.actions = MarketActions(self.market)
        self.seller, self.buyer = self.actions.person("seller"), self.actions.person("buyer")
        self.tea = self.actions.list(self.seller, stock=50, name="Green tea")

    def parked(self) -> OrderId:
        order = self.actions.place(self.buyer, line(self.tea))

        def tamper(tx: Transaction) -> Transaction:
            def save(orders: Collection[Order]) -> None:
                if any(each.status is not OrderStatus.CREATED for each in orders):
                    raise ArithmeticError("bad data")
                tx.orders.save(orders)

            return with_repository(tx, "orders", save=save)

        failing = Ordering(TamperedStore(self.market.store, tamper=tamper), self.clock)
        for attempt in range(DECIDE_ATTEMPTS):
            failing.decide()
            self.clock.advance(seconds=2**attempt)
        return order.id

    def audited(self) -> list[tuple[str, int | None]]:
        records = self.market.queries.audit_entries(PageRequest(20)).rows
        return [(record.entry.action.value, record.entry.actor_id) for record in records]


@pytest.fixture
def troubled(runtime: MemoryRuntime, caplog: pytest.LogCaptureFixture) -> Troubled:
    caplog.set_level(logging.CRITICAL)
    return Troubled(runtime)


def test_a_market_in_order_needs_nobody(cli: Cli) -> None:
    ended = cli("attention")
    assert (ended.code, ended.out) == (0, "Nothing needs a person.\n")
    assert json.loads(cli("attention", "--json").out) == []
    assert re.search("orders without a decision +0", cli("backlogs").out)
    assert cli("orders", "list").out == "There are no such orders.\n"


def test_a_parked_order_is_shown_and_requeued(cli: Cli, troubled: Troubled) -> None:
    order = troubled.parked()
    ended = cli("attention")
    assert ended.code == 1
    assert "parked order: 1" in ended.out
    assert "ArithmeticError: bad data" in ended.out
    assert "Command: scalecommerce orders requeue ORDER" in ended.out
    (trouble, *_) = json.loads(cli("attention", "--json").out)
    assert (trouble["kind"], trouble["count"], trouble["command"]) == ("parked_order", 1, "orders requeue ORDER")
    listed = cli("orders", "list", "green", "--parked")
    assert "1 x Green tea - ArithmeticError: bad data" in listed.out
    assert [each["order"]["id"] for each in json.loads(cli("orders", "list", "--json").out)] == [order]
    assert "decision failed" in cli("orders", "show", str(order)).out
    ended = cli("orders", "requeue", str(order), "999")
    assert ended.code == 1
    assert f"Requeued: {order}." in ended.out
    assert "999" in ended.out
    assert troubled.market.ordering.decide().reserved == 1
    refused = cli("orders", "requeue", str(order), "--json")
    assert refused.code == 1
    assert json.loads(refused.out) == {"requeued": [], "refused": [f"Order {order} is not parked: it is PENDING."]}
    assert troubled.audited() == [("order.requeued", None)]


def test_a_payment_and_a_refund_are_retried(cli: Cli, troubled: Troubled) -> None:
    market, clock = troubled.market, troubled.clock
    order = troubled.actions.reserve(troubled.buyer, line(troubled.tea, 2))
    troubled.gateway.is_down = True
    market.payments.pay([PayOrder(order.id, troubled.buyer.id)])
    for _ in range(12):
        clock.advance(minutes=2)
        market.payments.reconcile()
    (payment,) = next(each for each in market.queries.troubles(clock.now(), 9) if each.kind == "stuck_payment").items
    assert payment.cause == DOWN
    assert cli("payments", "check", payment.id).out == (
        f"Payment {payment.id} is looked up at the gateway within seconds.\n"
    )
    troubled.gateway.is_down = False
    assert market.payments.reconcile() == 1
    clock.advance(seconds=1)
    market.payments.pay([PayOrder(order.id, troubled.buyer.id)])
    troubled.actions.refund(order, troubled.seller.id, RefundLine(troubled.tea, 1))
    troubled.gateway.is_down = True
    for _ in range(8):
        market.payments.send_refunds()
        clock.advance(minutes=10)
    (refund,) = next(each for each in market.queries.troubles(clock.now(), 9) if each.kind == "stuck_refund").items
    shown = cli("orders", "show", str(order.id)).out
    assert all(text in shown for text in ("Payments", "Money that goes back", DOWN, "Stock movements", "refunded"))
    details = json.loads(cli("orders", "show", str(order.id), "--json").out)
    assert [entry["moment"] for entry in details["timeline"]][:2] == ["placed", "reserved"]
    assert json.loads(cli("payments", "send-refund", refund.id, "--json").out) == {"refund": refund.id}
    troubled.gateway.is_down = False
    assert market.payments.send_refunds() == 1
    assert cli("payments", "send-refund", refund.id).code == 1
    assert [action for action, _ in troubled.audited()] == ["refund.sent", "payment.checked"]


def test_a_delayed_email_is_sent(cli: Cli, troubled: Troubled) -> None:
    market = troubled.market
    market.password_reset.request(troubled.buyer.email)
    market.emails.deliver()
    troubled.clock.advance(seconds=1)
    ended = cli("attention")
    assert "451 try again later" in ended.out
    (item,) = next(
        each for each in market.queries.troubles(troubled.clock.now(), 9) if each.kind == "delayed_email"
    ).items
    assert json.loads(cli("backlogs", "--json").out)["waiting_emails"] == 1
    troubled.mail.answer = lambda _email: None
    assert cli("emails", "send", item.id).out == f"E-mail {item.id} is sent within seconds.\n"
    assert market.emails.deliver().sent == 1
    assert cli("emails", "send", item.id).code == 1
    assert json.loads(cli("backlogs", "--json").out)["waiting_emails"] == 0


def test_orders_are_filtered(cli: Cli, troubled: Troubled) -> None:
    order = troubled.actions.place(troubled.buyer, line(troubled.tea))
    for found in (
        ("--buyer", troubled.buyer.email),
        ("--seller", str(troubled.seller.id), "--product", str(troubled.tea)),
        ("--status", "CREATED", "--since", "2020-01-01"),
        (str(order.id),),
        ("tea", "--until", "2100-01-01"),
    ):
        assert [each["order"]["id"] for each in json.loads(cli("orders", "list", *found, "--json").out)] == [order.id]
    for nothing in (("--buyer", troubled.seller.email), ("--status", "PAID"), ("coffee",), ("--until", "2020-01-01")):
        assert json.loads(cli("orders", "list", *nothing, "--json").out) == []
    assert cli("orders", "list", "--since", "2021-01-01", "--until", "2020-01-01").code == 2
    assert cli("orders", "list", "--buyer", "nobody@example.com").code == 1
    assert cli("orders", "show", "999").code == 1
