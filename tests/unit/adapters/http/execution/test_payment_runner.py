"""Payments over HTTP, and the payment runner with cancelled requests and slow gateways."""

import asyncio
import threading
from typing import Any

import pytest
from attrs import evolve

from adapters.http.execution.payment_runner import PaymentRunner
from scalecommerce_core.domain.errors import (
    GatewayUnavailable,
    Overloaded,
    PaymentDeclined,
    PaymentInProgress,
    TransitionNotAllowed,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId
from scalecommerce_core.domain.order import Order, OrderStatus
from scalecommerce_core.domain.payment import ChargeRequest
from scalecommerce_core.services.ordering import CancelOrder
from scalecommerce_core.services.payments import PaymentResult, PayOrder
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.http_marketplace import Marketplace, Person, answer, problem
from tests.unit.support.shop import Shop, line

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def order(place: Marketplace, seller: Person, buyer: Person) -> Any:
    return place.reserve(buyer, (seller.list(stock=5)["id"], 2))


def by(method: str) -> dict[str, str]:
    return {"payment_method": method}


@pytest.mark.parametrize("body", [{}, {"payment_method": "sandbox-ok"}])
def test_the_body_of_a_payment_is_optional(buyer: Person, order: Any, body: dict[str, str]) -> None:
    assert answer(buyer.act(order, "pay", body))["status"] == "PAID"


def test_the_payment_method_reaches_the_gateway(place: Marketplace, buyer: Person, order: Any) -> None:
    answer(buyer.act(order, "pay", by("tok_visa")))
    charges = [charge.request for charge in place.gateway.charges.values() if charge.request.order_id == order["id"]]
    assert [(charge.method, str(charge.amount)) for charge in charges] == [("tok_visa", "20.00 USD")]


@pytest.mark.parametrize("method", ["", "x" * 256, "two words", "ключ", None, 5, "a\0b"])
def test_a_malformed_payment_method_is_a_400(buyer: Person, order: Any, method: Any) -> None:
    problem(buyer.act(order, "pay", {"payment_method": method}), 400, "payment_method")
    assert buyer.see(order)["status"] == "PENDING"


def test_a_body_must_be_json(buyer: Person, order: Any) -> None:
    path = f"/orders/api/v1/{order['id']}/pay/"
    problem(buyer.post(path, content=b"payment_method=x", headers={"Content-Type": "text/plain"}), 415)
    problem(buyer.post(path, content=b"[]", headers=JSON), 400)


def test_a_declined_payment_has_a_reason_and_leaves_the_order_payable(buyer: Person, order: Any) -> None:
    declined = problem(buyer.act(order, "pay", by("sandbox-declined")), 409)
    assert (declined["code"], declined["reason"]) == ("payment_declined", "card_declined")
    assert buyer.see(order)["status"] == "PENDING"
    assert answer(buyer.act(order, "pay"))["status"] == "PAID"


def test_a_lost_reply_is_a_503_until_reconciliation(place: Marketplace, buyer: Person, order: Any) -> None:
    response = buyer.act(order, "pay", by("sandbox-lost-reply"))
    assert problem(response, 503)["code"] == "gateway_unavailable"
    assert int(response.headers["retry-after"]) > 0
    for action in ("pay", "cancel"):
        assert problem(buyer.act(order, action), 409)["code"] == "payment_in_progress"
    place.clock.advance(seconds=2)
    place.market.payments.reconcile()
    assert buyer.see(order)["status"] == "PAID"
    assert answer(buyer.act(order, "pay"))["status"] == "PAID"


def test_a_charge_after_the_cancellation_is_a_409(place: Marketplace, buyer: Person, order: Any) -> None:
    def meanwhile(_request: ChargeRequest) -> None:
        place.gateway.before = lambda _request: None
        place.clock.advance(minutes=1)
        place.market.payments.reconcile()
        unwrap_single(place.market.ordering.cancel([CancelOrder(OrderId(order["id"]), AccountId(buyer.id))]))

    place.gateway.before = meanwhile
    assert problem(buyer.act(order, "pay"), 409)["code"] == "payment_too_late"
    assert buyer.see(order)["status"] == "CANCELLED"
    assert place.market.payments.send_refunds() == 1


# --- the payment runner


class Slow:
    """Makes the gateway block until the test sets `may_answer`."""

    def __init__(self, shop: Shop) -> None:
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        shop.gateway.after = self.wait

    def wait(self, _request: ChargeRequest) -> None:
        self.asked.set()
        assert self.may_answer.wait(20)


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def pending(shop: Shop) -> list[PayOrder]:
    seller, buyer = shop.person("sam"), shop.person("bea")
    tea = shop.list(seller)
    return [PayOrder(shop.reserve(buyer, line(tea)).id, buyer.id) for _ in range(3)]


def test_a_payment_is_recorded_after_its_request_is_cancelled(shop: Shop, pending: list[PayOrder]) -> None:
    slow = Slow(shop)

    async def cancel_request() -> None:
        runner = PaymentRunner(shop.payments)
        request = asyncio.create_task(runner.pay(pending[0]))
        await asyncio.to_thread(slow.asked.wait, 20)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert shop.order(pending[0].order_id).status is OrderStatus.PENDING
        slow.may_answer.set()
        await runner.close()

    asyncio.run(cancel_request())
    assert shop.order(pending[0].order_id).status is OrderStatus.PAID


def test_a_payment_completes_if_its_request_is_cancelled_before_the_attempt_is_stored(
    shop: Shop, pending: list[PayOrder]
) -> None:
    async def cancel_request() -> None:
        runner = PaymentRunner(shop.payments)
        request = asyncio.create_task(runner.pay(pending[0]))
        await asyncio.sleep(0)
        request.cancel()
        await runner.close()

    asyncio.run(cancel_request())
    assert shop.order(pending[0].order_id).status is OrderStatus.PAID


def test_closing_waits_for_running_charges(shop: Shop, pending: list[PayOrder]) -> None:
    slow = Slow(shop)

    async def end() -> Order:
        runner = PaymentRunner(shop.payments)
        request = asyncio.create_task(runner.pay(pending[0]))
        await asyncio.to_thread(slow.asked.wait, 20)
        closing = asyncio.create_task(runner.close())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await runner.pay(pending[1])
        slow.may_answer.set()
        await closing
        return await request

    assert asyncio.run(end()).status is OrderStatus.PAID
    assert len(list(shop.tables.payments.all())) == 1


def test_payments_above_the_limit_are_rejected_before_anything_is_written(shop: Shop, pending: list[PayOrder]) -> None:
    slow = Slow(shop)

    async def rush() -> list[Any]:
        runner = PaymentRunner(shop.payments, threads=1, max_payments=2)
        requests = [asyncio.create_task(runner.pay(command)) for command in pending]
        await asyncio.to_thread(slow.asked.wait, 20)
        slow.may_answer.set()
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        await runner.close()
        return outcomes

    first, second, third = asyncio.run(rush())
    assert isinstance(third, Overloaded)
    assert [first.status, second.status] == [OrderStatus.PAID] * 2
    assert len(list(shop.tables.payments.all())) == 2


def test_a_slow_charge_does_not_delay_other_payments(shop: Shop, pending: list[PayOrder]) -> None:
    slow = Slow(shop)
    blocked = slow.wait
    shop.gateway.after = lambda request: blocked(request) if request.order_id == pending[0].order_id else None

    async def go_on() -> None:
        runner = PaymentRunner(shop.payments)
        first = asyncio.create_task(runner.pay(pending[0]))
        await asyncio.to_thread(slow.asked.wait, 20)
        assert (await runner.pay(pending[1])).status is OrderStatus.PAID
        with pytest.raises(PaymentInProgress):
            await runner.pay(pending[0])
        slow.may_answer.set()
        assert (await first).status is OrderStatus.PAID
        await runner.close()

    asyncio.run(go_on())


def test_each_payment_gets_its_own_result(shop: Shop, pending: list[PayOrder]) -> None:
    commands = [
        evolve(pending[0], method="sandbox-declined"),
        evolve(pending[1], method="sandbox-lost-reply"),
        pending[2],
    ]

    async def all_of_them() -> list[Any]:
        runner = PaymentRunner(shop.payments)
        outcomes = await asyncio.gather(
            *(runner.pay(command) for command in (*commands, PayOrder(OrderId(999), commands[0].buyer))),
            return_exceptions=True,
        )
        await runner.close()
        return outcomes

    declined, unknown, paid, missing = asyncio.run(all_of_them())
    assert isinstance(declined, PaymentDeclined)
    assert isinstance(unknown, GatewayUnavailable)
    assert paid.status is OrderStatus.PAID
    assert missing.code == "not_found"


def test_a_failure_after_a_cancelled_request_is_logged(
    shop: Shop, pending: list[PayOrder], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(shop)

    def broken(_results: list[PaymentResult]) -> list[Order]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(shop.payments, "record", broken)

    async def cancel_request() -> None:
        runner = PaymentRunner(shop.payments)
        request = asyncio.create_task(runner.pay(pending[0]))
        await asyncio.to_thread(slow.asked.wait, 20)
        request.cancel()
        slow.may_answer.set()
        await runner.close()

    asyncio.run(cancel_request())
    assert "a payment failed" in caplog.text


def test_an_expired_order_is_not_charged(shop: Shop, pending: list[PayOrder]) -> None:
    shop.clock.advance(hours=1)
    shop.ordering.expire()

    async def pay() -> None:
        runner = PaymentRunner(shop.payments)
        with pytest.raises(TransitionNotAllowed):
            await runner.pay(pending[0])
        await runner.close()

    asyncio.run(pay())
    assert shop.gateway.charges == {}
