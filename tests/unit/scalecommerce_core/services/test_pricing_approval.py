"""Runs that change more than a limit wait for the approval of a second person."""

from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import OPERATOR, Actor
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotFound
from scalecommerce_core.domain.identifiers import ProductId, RunId
from scalecommerce_core.ports import SecurityEventKind
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import (
    ApprovalLimits,
    DecisionOutcome,
    Run,
    RunNotAwaitingApproval,
    RunStatus,
    Trigger,
)
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.pricing import CreatePolicy, EditPolicy
from scalecommerce_core.services.promotions import CreatePromotion
from scalecommerce_core.services.repricing import Repricing, RunInProgress
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing.fakes import RecordedSecurityEvents
from tests.unit.support.shop import Shop, usd

RAILS = {
    "least_views": 0,
    "least_history_days": 0,
    "breaker_share": 1,
    "breaker_mean": 1,
    "dead_band": 0,
    "cooldown_days": 0,
}

DAY = timedelta(days=1)
ANY_CHANGE = ApprovalLimits(mean_basis_points=1)


class Approval:
    """Two products of a seller, their policy, and two members of staff; runs that change a price need approval."""

    def __init__(self, shop: Shop, seller: Account, limits: ApprovalLimits = ANY_CHANGE) -> None:
        self.shop = shop
        self.products = [shop.list(seller, cost=usd("9.00")) for _ in range(2)]
        self.policy: PricingPolicy = unwrap_single(
            shop.pricing.create([CreatePolicy(seller.id, {"name": "Learn", "guardrails": RAILS})])
        )
        self.first = Actor(shop.person("first", is_staff=True).id, "192.0.2.1")
        self.second = Actor(shop.person("second", is_staff=True).id)
        self.log = RecordedSecurityEvents()
        self.repricing = Repricing(shop.store, shop.clock, approval=limits, security_log=self.log)

    def run(self) -> Run:
        return self.repricing.run(self.policy.id)

    def price(self, product: ProductId) -> str:
        return self.shop.product(product).price.text

    def knows(self, run: Run) -> bool:
        """Whether the policy state has the epoch of the run."""
        with self.shop.store.begin() as tx:
            states = [tx.runs.policy_state(self.policy.id, block) for block in tx.runs.blocks(self.policy.id)]
        return any(state is not None and (state.epoch == run.epoch).all() for state in states)


@pytest.fixture
def approval(shop: Shop, seller: Account) -> Approval:
    return Approval(shop, seller)


def test_no_run_waits_by_default(shop: Shop, seller: Account) -> None:
    assert Approval(shop, seller, ApprovalLimits()).run().status is RunStatus.DONE


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        (ApprovalLimits(prices=1), RunStatus.AWAITING_APPROVAL),
        (ApprovalLimits(prices=2), RunStatus.DONE),
        (ApprovalLimits(mean_basis_points=399), RunStatus.AWAITING_APPROVAL),
        (ApprovalLimits(mean_basis_points=500), RunStatus.DONE),
        (ApprovalLimits(prices=2, mean_basis_points=399), RunStatus.AWAITING_APPROVAL),
    ],
)
def test_a_run_above_a_limit_waits(shop: Shop, seller: Account, limits: ApprovalLimits, status: RunStatus) -> None:
    assert Approval(shop, seller, limits).run().status is status


def test_an_approved_run_changes_prices(approval: Approval) -> None:
    run = approval.run()
    assert {approval.price(each) for each in approval.products} == {"10.00"}
    assert run.approval_until == approval.policy.created_at + timedelta(days=7)
    assert approval.repricing.unfinished() == []
    assert approval.repricing.due() == []
    with pytest.raises(RunInProgress):
        approval.repricing.begin(approval.policy.id)
    approved = approval.repricing.approve(run.id, approval.first)
    assert (approved.status, approved.reviewed_by) == (RunStatus.WRITING, approval.first.account_id)
    assert approved.reviewed_at == approval.shop.clock.now()
    assert approval.repricing.unfinished() == [run.id]
    done = approval.repricing.finish(run.id)
    assert (done.status, done.written) == (RunStatus.DONE, 2)
    assert done.note.startswith(f"Approved by account {approval.first.account_id}. Circuit breaker not tripped")
    assert "10.00" not in {approval.price(each) for each in approval.products}
    assert approval.knows(done)
    (event,) = approval.log.events
    assert (event.kind, event.account_id, event.actor_id, event.address, event.detail) == (
        SecurityEventKind.PRICES_APPROVED, approval.policy.seller_id, approval.first.account_id, "192.0.2.1",
        f"run {run.id}",
    )  # fmt: skip


def test_a_declined_run_changes_no_price_and_the_policy_learns(approval: Approval) -> None:
    run = approval.run()
    with pytest.raises(Invalid):
        approval.repricing.decline(run.id, " ", approval.first)
    approval.repricing.decline(run.id, "Wrong costs.", approval.first)
    done = approval.repricing.finish(run.id)
    assert (done.status, done.written) == (RunStatus.DECLINED, 0)
    assert done.note.startswith(f"Declined by account {approval.first.account_id}: Wrong costs. No price was changed.")
    assert {approval.price(each) for each in approval.products} == {"10.00"}
    assert approval.knows(done)
    outcomes = {each.outcome for each in approval.shop.queries.decisions(run.id, PageRequest()).rows}
    assert outcomes == {DecisionOutcome.STAGED}
    assert approval.log.kinds == [SecurityEventKind.PRICES_DECLINED]
    assert approval.repricing.due() == []


def test_a_run_that_nobody_approves_expires_with_its_epoch(approval: Approval) -> None:
    run = approval.run()
    assert approval.run().status is RunStatus.AWAITING_APPROVAL
    approval.shop.clock.advance(days=7)
    with pytest.raises(RunNotAwaitingApproval, match="has ended"):
        approval.repricing.approve(run.id, approval.first)
    assert approval.repricing.due() == []
    assert approval.repricing.unfinished() == [run.id]
    done = approval.repricing.finish(run.id)
    assert (done.status, done.written, done.reviewed_by) == (RunStatus.EXPIRED, 0, None)
    assert {approval.price(each) for each in approval.products} == {"10.00"}
    assert approval.knows(done)
    assert list(approval.repricing.due()) == [approval.policy.id]
    following = approval.repricing.begin(approval.policy.id, trigger=Trigger.SCHEDULE)
    assert following.epoch == run.epoch + 1


def test_the_last_editor_of_the_policy_may_not_approve(approval: Approval) -> None:
    assert approval.first.account_id is not None
    edit = EditPolicy(approval.policy.id, approval.first.account_id, {"name": "Mine"}, as_staff=True)
    assert unwrap_single(approval.shop.pricing.edit([edit])).edited_by == approval.first.account_id
    run = approval.run()
    for review in (approval.repricing.approve, lambda id_, by: approval.repricing.decline(id_, "No", by)):
        with pytest.raises(Forbidden, match="another member of staff"):
            review(run.id, approval.first)
    # A later edit by somebody else does not change who edited the policy that this run has.
    assert approval.second.account_id is not None
    later = EditPolicy(approval.policy.id, approval.second.account_id, {"name": "Ours"}, as_staff=True)
    unwrap_single(approval.shop.pricing.edit([later]))
    with pytest.raises(Forbidden):
        approval.repricing.approve(run.id, approval.first)
    assert approval.repricing.approve(run.id, approval.second).status is RunStatus.WRITING


def test_an_edit_that_changes_nothing_does_not_make_an_editor(approval: Approval) -> None:
    assert approval.first.account_id is not None
    edit = EditPolicy(approval.policy.id, approval.first.account_id, {"name": "Learn"}, as_staff=True)
    assert unwrap_single(approval.shop.pricing.edit([edit])).edited_by == approval.policy.seller_id


def test_only_staff_may_approve(approval: Approval, seller: Account, buyer: Account) -> None:
    run = approval.run()
    for by in (Actor(seller.id), Actor(buyer.id), OPERATOR):
        with pytest.raises(Forbidden, match="Only staff"):
            approval.repricing.approve(run.id, by)
    with pytest.raises(NotFound):
        approval.repricing.approve(RunId(10**6), approval.first)


def test_a_finished_run_cannot_be_approved(approval: Approval) -> None:
    run = approval.run()
    approval.repricing.approve(run.id, approval.first)
    approval.repricing.finish(run.id)
    with pytest.raises(RunNotAwaitingApproval, match="DONE"):
        approval.repricing.decline(run.id, "Late", approval.second)


def test_a_waiting_run_can_be_cancelled_and_ends_with_its_policy(approval: Approval) -> None:
    run = approval.run()
    assert approval.repricing.cancel(run.id).status is RunStatus.CANCELLED
    again = approval.run()
    edit = EditPolicy(approval.policy.id, approval.policy.seller_id, {"is_active": False})
    unwrap_single(approval.shop.pricing.edit([edit]))
    approval.repricing.step(again.id)
    assert approval.repricing.get_run(again.id).status is RunStatus.CANCELLED
    assert {approval.price(each) for each in approval.products} == {"10.00"}


def test_waiting_runs_are_listed(approval: Approval) -> None:
    run = approval.run()
    waiting = approval.shop.queries.runs(None, PageRequest(), status=RunStatus.AWAITING_APPROVAL).rows
    assert [each.id for each in waiting] == [run.id]
    assert approval.shop.queries.runs(None, PageRequest(), status=RunStatus.DONE).rows == ()


def test_products_of_a_promotion_that_began_while_the_run_waited_keep_their_prices(
    approval: Approval, seller: Account
) -> None:
    run, now = approval.run(), approval.shop.clock.now()
    unwrap_single(
        approval.shop.market.promotions.create(
            [
                # Without a price of its own: it marks the time only.
                CreatePromotion(seller.id, "Fair", now + DAY, products={approval.products[0]: None})
            ]
        )
    )
    approval.repricing.approve(run.id, approval.first)
    done = approval.repricing.finish(run.id)
    assert (done.status, done.written, done.superseded) == (RunStatus.DONE, 1, 1)
    assert [approval.price(each) == "10.00" for each in approval.products] == [True, False]
