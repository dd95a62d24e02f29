"""Pricing policies: making and editing them, which products they are for, and the kill switches.

Running them is `services.repricing`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from attrs import evolve, field, frozen

from scalecommerce_core.domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    TransactionAborted,
    VersionMismatch,
)
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId
from scalecommerce_core.ports import Clock, Store, Transaction
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import UNFINISHED, Assignment, RunStatus
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed
from scalecommerce_core.services.retry import retry_on

MAX_POLICIES_PER_SELLER: Final = 100
"""Of one seller."""


class TooManyPolicies(Conflict):
    """The seller has as many policies as one may have."""

    code = "too_many_policies"


@frozen
class CreatePolicy:
    """`document` as `PricingPolicy.document` has it; what it does not name has its default. `name` is needed."""

    owner: AccountId
    document: Mapping[str, Any]
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class EditPolicy:
    """`changes` are any parts of the document. Staff may act on the policies of others."""

    policy_id: PolicyId
    owner: AccountId
    changes: Mapping[str, Any]
    expected_version: int | None = None
    as_staff: bool = False


@frozen
class DeletePolicy:
    policy_id: PolicyId
    owner: AccountId
    expected_version: int | None = None
    as_staff: bool = False


@frozen
class AssignProduct:
    """Let a product follow a policy, whatever is for its category; None: that of its category again."""

    product_id: ProductId
    owner: AccountId
    policy_id: PolicyId | None
    as_staff: bool = False


@frozen
class ExcludeProduct:
    """The kill switch of one product; `excluded` False takes it back. What it is assigned to is remembered."""

    product_id: ProductId
    owner: AccountId
    excluded: bool = True
    as_staff: bool = False


class Pricing:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    # --- policies

    @retry_on(TransactionAborted)
    def create(self, commands: Sequence[CreatePolicy]) -> list[PricingPolicy | Replayed | MarketError]:
        """New policies, due at once if active. `Invalid` names the fields (`parameters.caution`, `guardrails.step`)."""
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._create(tx, fresh, now))

    def _create(
        self, tx: Transaction, commands: Sequence[CreatePolicy], now: datetime
    ) -> list[PricingPolicy | MarketError]:
        # Locked, so that two at a time cannot both be a seller's last.
        owners = tx.accounts.lock({command.owner for command in commands})
        counts = dict.fromkeys(owners, 0)
        for policy in tx.policies.of_sellers(owners):
            counts[policy.seller_id] += 1
        outcomes: list[PricingPolicy | MarketError] = []
        for command, policy_id in zip(commands, tx.policies.next_ids(len(commands)), strict=True):
            try:
                if command.owner not in owners:
                    raise NotFound("account", command.owner)
                if counts[command.owner] >= MAX_POLICIES_PER_SELLER:
                    raise TooManyPolicies(f"A seller has at most {MAX_POLICIES_PER_SELLER} policies: delete one first.")
                policy = PricingPolicy.from_document(
                    command.document, id=policy_id, seller_id=command.owner, created_at=now
                )
                _check_category(tx, policy)
            except MarketError as error:
                outcomes.append(error)
            else:
                counts[command.owner] += 1
                outcomes.append(policy)
        tx.policies.add([outcome for outcome in outcomes if isinstance(outcome, PricingPolicy)])
        return outcomes

    @retry_on(TransactionAborted)
    def edit(self, commands: Sequence[EditPolicy]) -> list[PricingPolicy | MarketError]:
        """Change what is given. A run that is at work follows the policy as it was, unless it is switched off.

        Other rules, or another list of prices, make what was learned worthless: it is forgotten, and a run at work is
        cancelled.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            found = dict(tx.policies.lock({command.policy_id for command in commands}))
            outcomes: list[PricingPolicy | MarketError] = []
            forgetful: list[PricingPolicy] = []
            for command in commands:
                try:
                    # A copy: a refused edit leaves nothing to the next one of the same policy.
                    policy = evolve(_visible(found, command))
                    before = _meaning(policy)
                    policy.edit(**command.changes)
                    _check_category(tx, policy)
                except MarketError as error:
                    outcomes.append(error)
                else:
                    found[policy.id] = policy
                    if _meaning(policy) != before:
                        forgetful.append(policy)
                    outcomes.append(policy)
            accepted = [each for each in outcomes if isinstance(each, PricingPolicy)]
            edited = {policy.id: policy for policy in accepted}
            tx.policies.save(list(edited.values()))
            _cancel(tx, [each.id for each in forgetful], now, "The policy was given other rules.")
            # After the runs: a run that ends locks itself before the schedule of its policy.
            schedules = tx.policies.lock_schedules(edited)
            for policy in accepted:
                schedules[policy.id].reschedule(policy, now)
            tx.policies.save_schedules(list(schedules.values()))
            tx.runs.delete_policy_states([each.id for each in forgetful])
        return outcomes

    @retry_on(TransactionAborted)
    def delete(self, commands: Sequence[DeletePolicy]) -> list[PricingPolicy | MarketError]:
        """Its products follow other policies from now on, or none; what its runs did stays in the log."""
        now = self._clock.now()
        with self._store.begin() as tx:
            found = dict(tx.policies.lock({command.policy_id for command in commands}))
            outcomes: list[PricingPolicy | MarketError] = []
            for command in commands:
                try:
                    outcomes.append(_visible(found, command))
                    del found[command.policy_id]
                except MarketError as error:
                    outcomes.append(error)
            gone = [outcome.id for outcome in outcomes if isinstance(outcome, PricingPolicy)]
            _cancel(tx, gone, now, "The policy was deleted.")
            tx.policies.remove(gone)
        return outcomes

    # --- products

    @retry_on(TransactionAborted)
    def assign(self, commands: Sequence[AssignProduct]) -> list[Assignment | MarketError]:
        """Of several commands for one product the last one counts."""
        with self._store.begin() as tx:
            policies = tx.policies.get_many({c.policy_id for c in commands if c.policy_id is not None})

            def check(command: AssignProduct, seller_id: AccountId) -> None:
                if command.policy_id is not None:
                    policy = policies.get(command.policy_id)
                    if policy is None or policy.seller_id != seller_id:
                        raise NotFound("policy", command.policy_id)

            refused = _refused(tx, commands, check)
            chosen = {c.product_id: c.policy_id for c in commands if c not in refused}
            tx.policies.assign(chosen)
            return _said(tx, commands, refused)

    @retry_on(TransactionAborted)
    def exclude(self, commands: Sequence[ExcludeProduct]) -> list[Assignment | MarketError]:
        """Of several commands for one product the last one counts."""
        with self._store.begin() as tx:
            refused = _refused(tx, commands)
            tx.policies.exclude({c.product_id: c.excluded for c in commands if c not in refused})
            return _said(tx, commands, refused)

    # --- the switch for everything

    @retry_on(TransactionAborted)
    def stop(self) -> None:
        """No price moves by itself any more, of whichever seller; runs at work are cancelled at their next range."""
        with self._store.begin() as tx:
            tx.policies.stop(True)

    @retry_on(TransactionAborted)
    def resume(self) -> None:
        with self._store.begin() as tx:
            tx.policies.stop(False)

    def is_stopped(self) -> bool:
        with self._store.begin() as tx:
            return tx.policies.is_stopped()


def _visible(found: Mapping[PolicyId, PricingPolicy], command: EditPolicy | DeletePolicy) -> PricingPolicy:
    policy = found.get(command.policy_id)
    if policy is None or (policy.seller_id != command.owner and not command.as_staff):
        raise NotFound("policy", command.policy_id)
    if command.expected_version not in {None, policy.version}:
        raise VersionMismatch(f"Policy {policy.id} was edited: its version is {policy.version} now.")
    return policy


def _check_category(tx: Transaction, policy: PricingPolicy) -> None:
    if policy.category_id is not None and not tx.categories.existing({policy.category_id}):
        raise Invalid.field("category_id", "There is no such category.")


def _meaning(policy: PricingPolicy) -> tuple[object, ...]:
    """What gives the numbers that a policy remembers their meaning: its rules, and lists that they are counted by."""
    lists = {name: tuple(value) for name, value in policy.parameters.items() if isinstance(value, list | tuple)}
    return policy.policy, tuple(sorted(lists.items()))


def _cancel(tx: Transaction, policies: Sequence[PolicyId], now: datetime, note: str) -> None:
    for policy_id in sorted(set(policies)):
        if (run_id := tx.runs.active_run(policy_id)) is not None:
            run = tx.runs.lock(run_id)
            if run is not None and run.status in UNFINISHED - {RunStatus.ROLLING_BACK}:
                run.sum_ranges(tx.runs.ranges(run_id))
                run.end(RunStatus.CANCELLED, now, note)
                tx.runs.save(run)


_Said = TypeVar("_Said", AssignProduct, ExcludeProduct)


def _refused(
    tx: Transaction,
    commands: Sequence[_Said],
    check: Callable[[_Said, AccountId], None] = lambda _command, _seller: None,
) -> Mapping[_Said, MarketError]:
    """Commands about products that are not there or somebody else's, and those that `check` refuses."""
    offers = tx.products.offers({command.product_id for command in commands})
    refused: dict[_Said, MarketError] = {}
    for command in commands:
        try:
            offer = offers.get(command.product_id)
            if offer is None:
                raise NotFound("product", command.product_id)
            if offer.seller_id != command.owner and not command.as_staff:
                raise Forbidden("Only its seller may say how a product is priced.")
            check(command, offer.seller_id)
        except MarketError as error:
            refused[command] = error
    return refused


def _said(
    tx: Transaction, commands: Sequence[_Said], refused: Mapping[_Said, MarketError]
) -> list[Assignment | MarketError]:
    """What is said of each product in the end."""
    known = tx.policies.assignments({command.product_id for command in commands})
    return [
        refused.get(command) or known.get(command.product_id) or Assignment(command.product_id) for command in commands
    ]
