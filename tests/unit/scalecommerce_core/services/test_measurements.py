"""What the services report to `Measurements`."""

from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.order import RejectionReason
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.ports import Transaction
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.runs import RunStatus
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.ordering import Ordering, OrderRules, PlaceOrder
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import RecordedMeasurements
from tests.unit.support.shop import Shop, line, usd
from tests.unit.support.tampering import TamperedStore, failing, with_repository
from tests.unit.support.user_policies import Markup, temporarily_registered


@pytest.fixture
def figures() -> RecordedMeasurements:
    return RecordedMeasurements()


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    return shop.list(seller, "10.00", 10)


def ordering(shop: Shop, figures: RecordedMeasurements, quotas: OrderQuotas | None = None) -> Ordering:
    rules = OrderRules() if quotas is None else OrderRules(quotas=quotas)
    return Ordering(shop.store, shop.clock, rules, measurements=figures)


def test_intake_reports_each_answer(shop: Shop, buyer: Account, tea: ProductId, figures: RecordedMeasurements) -> None:
    key = IdempotencyKey("k", b"f", lambda order: str(order.id).encode())
    once, again = (PlaceOrder(shop.ids.command(), buyer.id, [line(tea)], key) for _ in range(2))
    intake = ordering(shop, figures, OrderQuotas(open_orders=2))
    intake.place([once, shop.command(buyer, line(tea, 0)), shop.command(buyer, line(tea))])
    intake.place([again, shop.command(buyer, line(tea))])
    assert figures.answers == {"accepted": 2, "invalid": 1, "replayed": 1, "too_many_open_orders": 1}
    assert figures.intake_batches == [(3, timedelta()), (2, timedelta())]


def test_intake_without_a_database_reports_unavailable(
    shop: Shop, buyer: Account, tea: ProductId, figures: RecordedMeasurements
) -> None:
    store = TamperedStore(shop.store, before=failing(Unavailable("away")))
    intake = Ordering(store, shop.clock, measurements=figures)
    with pytest.raises(Unavailable):
        intake.place([shop.command(buyer, line(tea)), shop.command(buyer, line(tea))])
    assert figures.answers == {"unavailable": 2}


def test_decisions_report_time_to_the_verdict_and_reasons(
    shop: Shop, buyer: Account, tea: ProductId, figures: RecordedMeasurements
) -> None:
    shop.place(buyer, line(tea, 6))
    shop.clock.advance(seconds=2)
    shop.place(buyer, line(tea, 6))
    shop.clock.advance(seconds=1)
    ordering(shop, figures).decide()
    assert (figures.reserved, figures.rejected) == ([timedelta(seconds=3)], [timedelta(seconds=1)])
    assert figures.reasons == {RejectionReason.STOCK: 1}
    assert figures.deferred == 0


def test_a_failed_decision_is_reported_as_deferred(
    shop: Shop, buyer: Account, tea: ProductId, figures: RecordedMeasurements
) -> None:
    def refuse(*_arguments: object) -> None:
        raise ArithmeticError("bad data")

    def without_stock(tx: Transaction) -> Transaction:
        return with_repository(tx, "stock", save=refuse)

    shop.place(buyer, line(tea))
    store = TamperedStore(shop.store, tamper=without_stock)
    Ordering(store, shop.clock, measurements=figures).decide()
    assert (figures.deferred, figures.reserved, figures.rejected) == (1, [], [])


def test_runs_report_guardrails_and_outcome(shop: Shop, seller: Account, figures: RecordedMeasurements) -> None:
    for _ in range(3):
        shop.list(seller, cost=usd("8.00"))
    shop.clock.advance(days=10)
    rails = {"least_views": 0, "least_history_days": 0, "step": 0.02, "breaker_least": 0, "breaker_mean": 0.01}
    repricing = Repricing(shop.store, shop.clock, measurements=figures)
    with temporarily_registered(Markup):
        facts = {"name": "Markup", "policy": "markup", "guardrails": {**rails, "dead_band": 0}}
        policy = unwrap_single(shop.pricing.create([CreatePolicy(seller.id, facts)]))
        repricing.run(policy.id)
    assert figures.decisions == 3
    assert figures.guardrails[Guardrail.STEP] == 3
    assert figures.guardrails[Guardrail.BREAKER] > 0
    assert figures.runs == {RunStatus.DONE: 1}


def test_a_cancelled_run_is_reported_once(shop: Shop, seller: Account, figures: RecordedMeasurements) -> None:
    shop.list(seller)
    repricing = Repricing(shop.store, shop.clock, measurements=figures)
    policy = unwrap_single(shop.pricing.create([CreatePolicy(seller.id, {"name": "one", "policy": "hill_climb"})]))
    run = repricing.begin(policy.id)
    repricing.cancel(run.id)
    repricing.cancel(run.id)
    assert figures.runs == {RunStatus.CANCELLED: 1}
