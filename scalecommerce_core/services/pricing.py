"""Management of pricing policies and assignments, the exclusion of products, and the stop of all pricing.

`services.repricing` runs the policies.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from attrs import asdict, evolve, field, frozen

from scalecommerce_core.domain.audit import OPERATOR, PRICING, Actor, AuditAction, AuditEntry, changed
from scalecommerce_core.domain.category import Category, checked_min_hold
from scalecommerce_core.domain.errors import (
    Forbidden,
    Invalid,
    MarketError,
    NotFound,
    QuotaReached,
    TransactionAborted,
    VersionMismatch,
)
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId
from scalecommerce_core.domain.stock_horizon import stock_until_errors
from scalecommerce_core.ports import Clock, SecurityEvent, SecurityEventKind, SecurityLog, Store, Transaction
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.runs import NO_APPROVAL, UNFINISHED, ApprovalLimits, Assignment, RunStatus
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed, apply_each, succeeded
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.staff_commands import StaffCommand, actor_on

MAX_POLICIES_PER_SELLER: Final = 100
"""A seller has at most this many policies."""


MIN_EPOCH: Final = timedelta(seconds=60)
"""Default of `PricingRules.min_epoch`."""


@frozen
class PricingRules:
    """Limits for each account; the servers set them from settings. `Repricing` schedules by the same `min_epoch`."""

    active_policies: int = 20
    """Most active policies of an account; 0: no limit but `MAX_POLICIES_PER_SELLER`."""
    min_epoch: timedelta = MIN_EPOCH
    """Shortest epoch of a policy, except of staff. Policies with a shorter one, from before, run at this interval."""
    approval: ApprovalLimits = NO_APPROVAL
    """Above these limits, a run waits for the approval of a second person."""


class TooManyPolicies(QuotaReached):
    """The seller has `MAX_POLICIES_PER_SELLER` policies, or too many active ones: delete or deactivate one first."""

    code = "too_many_policies"


@frozen
class CreatePolicy:
    """Create a policy of the seller `owner`. `document` is as `PricingPolicy.document` returns it; `name` is required,
    other fields have defaults.
    """

    owner: AccountId
    document: Mapping[str, Any]
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


@frozen
class EditPolicy(StaffCommand):
    """Set the fields of the policy's document that `changes` names. Staff may edit the policies of all sellers."""

    policy_id: PolicyId
    owner: AccountId
    changes: Mapping[str, Any]
    expected_version: int | None = None


@frozen
class DeletePolicy(StaffCommand):
    """Delete a policy. Staff may delete the policies of all sellers."""

    policy_id: PolicyId
    owner: AccountId
    expected_version: int | None = None


@frozen
class AssignProduct(StaffCommand):
    """Assign a product to a policy, which overrides the policy of its category; None removes the assignment."""

    product_id: ProductId
    owner: AccountId
    policy_id: PolicyId | None


@frozen
class ExcludeProduct(StaffCommand):
    """Exclude or include one product: no policy changes its price while it is excluded. Its assignment is kept."""

    product_id: ProductId
    owner: AccountId
    excluded: bool = True


@frozen
class SetMinHold:
    """Set the minimum hold of a category, 0 to remove it. `by` must be staff or an operator: the caller checks it."""

    category_id: CategoryId
    days: float
    by: Actor = OPERATOR


class Pricing:
    """Use cases of pricing policies."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        rules: PricingRules = PricingRules(),
        *,
        security_log: SecurityLog | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._security_log = security_log

    # --- policies

    @retry_on(TransactionAborted)
    def create(self, commands: Sequence[CreatePolicy]) -> list[PricingPolicy | Replayed | MarketError]:
        """Create policies; active ones are due at once.

        Errors: `NotFound` (no such account), `TooManyPolicies`, `Invalid`, which names fields such as
        `parameters.caution` or `guardrails.step`; `IdempotencyKeyReused`, `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            return run_idempotent(tx, commands, now, lambda fresh: self._create(tx, fresh, now))

    def _create(
        self, tx: Transaction, commands: Sequence[CreatePolicy], now: datetime
    ) -> list[PricingPolicy | MarketError]:
        # The lock keeps two concurrent transactions from both creating a seller's last allowed policy.
        owners = tx.accounts.lock({command.owner for command in commands})
        existing = tx.policies.of_sellers(owners)
        counts = Counter(policy.seller_id for policy in existing)
        active = Counter(policy.seller_id for policy in existing if policy.is_active)
        ids = iter(tx.policies.next_ids(len(commands)))

        def create(command: CreatePolicy) -> PricingPolicy:
            policy_id = next(ids)
            if command.owner not in owners:
                raise NotFound("account", command.owner)
            if counts[command.owner] >= MAX_POLICIES_PER_SELLER:
                raise TooManyPolicies(f"A seller has at most {MAX_POLICIES_PER_SELLER} policies: delete one first.")
            policy = PricingPolicy.from_document(
                command.document, id=policy_id, seller_id=command.owner, created_at=now
            )
            policy.edited_by = command.owner
            _check_category(tx, policy)
            _check_horizon(policy, None, now)
            if not owners[command.owner].is_staff:
                self._check_epoch(policy)
            if policy.is_active:
                self._check_active(active[command.owner])
                active[command.owner] += 1
            counts[command.owner] += 1
            return policy

        outcomes = apply_each(commands, create)
        tx.policies.add(succeeded(outcomes))
        return outcomes

    @retry_on(TransactionAborted)
    def edit(self, commands: Sequence[EditPolicy]) -> list[PricingPolicy | MarketError]:
        """Edit policies. A run in progress continues with the policy as it was, unless the policy is switched off.

        Another strategy, or another list parameter such as a list of prices, invalidates the policy state: the state is
        deleted, and a run in progress is cancelled. An experiment about a policy that is switched off, or that changes
        to shadow mode, is ended. Errors: `NotFound`, `VersionMismatch`, `Invalid`,
        `TooManyPolicies`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            ids = {command.policy_id for command in commands}
            active = self._count_active(tx, [c.policy_id for c in commands if c.changes.get("is_active")])
            found = dict(tx.policies.lock(ids))
            staff = tx.accounts.staff_among({policy.seller_id for policy in found.values()})
            invalidated: list[PolicyId] = []
            entries: list[AuditEntry] = []

            def edit(command: EditPolicy) -> PricingPolicy:
                # A copy: a refused edit must not leave changes for the next edit of the same policy.
                policy = evolve(_visible(found, command))
                before, epoch, was_active = _state_basis(policy), policy.epoch, policy.is_active
                horizon = policy.stock_until
                version, document = policy.version, policy.document()
                policy.edit(**command.changes)
                if policy.version != version:
                    policy.edited_by = command.owner
                _check_category(tx, policy)
                _check_horizon(policy, horizon, now)
                if policy.epoch != epoch and policy.seller_id not in staff:
                    self._check_epoch(policy)
                if policy.is_active and not was_active:
                    self._check_active(active[policy.seller_id])
                active[policy.seller_id] += policy.is_active - was_active
                found[policy.id] = policy
                actor = actor_on(policy.seller_id, command.owner, command.address)
                if actor is not None and policy.version != version:
                    action, after = AuditAction.POLICY_EDITED, policy.document()
                    entries.append(actor.entry(action, policy.id, now, before=document, after=after))
                if _state_basis(policy) != before:
                    invalidated.append(policy.id)
                return policy

            outcomes = apply_each(commands, edit)
            accepted = succeeded(outcomes)
            edited = {policy.id: policy for policy in accepted}
            tx.policies.save(list(edited.values()))
            _cancel(tx, invalidated, now, "The policy's strategy or a list of its parameters was changed.")
            # Runs before schedules: the lock order of `ports.unit_of_work`.
            schedules = tx.policies.lock_schedules(edited)
            for policy in accepted:
                shortest = timedelta(0) if policy.seller_id in staff else self._rules.min_epoch
                schedules[policy.id].reschedule(policy, now, shortest)
            tx.policies.save_schedules(list(schedules.values()))
            off = [policy.id for policy in edited.values() if not policy.is_active or policy.is_shadow]
            _end_experiments(tx, off, now, "The policy was switched off.")
            tx.runs.delete_policy_states(invalidated)
            tx.audit.record(entries)
        return outcomes

    def _count_active(self, tx: Transaction, activated: Sequence[PolicyId]) -> Counter[AccountId]:
        """Active policies of the owners of the `activated` ones, whose accounts are locked.

        The lock keeps two concurrent transactions from both activating an account's last allowed policy.
        """
        owners = {policy.seller_id for policy in tx.policies.get_many(activated).values()} if activated else set()
        if not owners:
            return Counter()
        locked = tx.accounts.lock(owners)
        return Counter(policy.seller_id for policy in tx.policies.of_sellers(locked) if policy.is_active)

    def _check_active(self, active: int) -> None:
        limit = self._rules.active_policies
        if limit and active >= limit:
            raise TooManyPolicies(f"An account has at most {limit} active policies: deactivate one first.")

    def _check_epoch(self, policy: PricingPolicy) -> None:
        if policy.epoch < self._rules.min_epoch:
            seconds = self._rules.min_epoch.total_seconds()
            raise Invalid.field("epoch_seconds", f"Must be at least {seconds:g} seconds.")

    @retry_on(TransactionAborted)
    def delete(self, commands: Sequence[DeletePolicy]) -> list[PricingPolicy | MarketError]:
        """Delete policies; runs in progress are cancelled, and experiments ended.

        The records of earlier runs, decisions and experiments are kept.

        A product of the policy follows the policy of its category afterwards, or none. Errors: `NotFound`,
        `VersionMismatch`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            found = dict(tx.policies.lock({command.policy_id for command in commands}))
            entries: list[AuditEntry] = []

            def delete(command: DeletePolicy) -> PricingPolicy:
                policy = _visible(found, command)
                del found[command.policy_id]
                if (actor := actor_on(policy.seller_id, command.owner, command.address)) is not None:
                    action, document = AuditAction.POLICY_DELETED, policy.document()
                    entries.append(actor.entry(action, policy.id, now, before=document))
                return policy

            outcomes = apply_each(commands, delete)
            deleted = [policy.id for policy in succeeded(outcomes)]
            _cancel(tx, deleted, now, "The policy was deleted.")
            _end_experiments(tx, deleted, now, "The policy was deleted.")
            tx.policies.remove(deleted)
            tx.audit.record(entries)
        return outcomes

    # --- products

    @retry_on(TransactionAborted)
    def assign(self, commands: Sequence[AssignProduct]) -> list[Assignment | MarketError]:
        """Assign products to policies; of several commands for one product the last one applies.

        Errors: `NotFound` (product or policy), `Forbidden` (neither the seller nor staff).
        """
        with self._store.begin() as tx:
            policies = tx.policies.get_many({c.policy_id for c in commands if c.policy_id is not None})

            def check(command: AssignProduct, seller_id: AccountId) -> None:
                if command.policy_id is not None:
                    policy = policies.get(command.policy_id)
                    if policy is None or policy.seller_id != seller_id:
                        raise NotFound("policy", command.policy_id)

            checked = _check_commands(tx, commands, check)
            tx.policies.assign({c.product_id: c.policy_id for c in commands if c not in checked.refused})
            return self._assignments(tx, commands, checked, AuditAction.PRODUCT_POLICY_ASSIGNED)

    @retry_on(TransactionAborted)
    def exclude(self, commands: Sequence[ExcludeProduct]) -> list[Assignment | MarketError]:
        """Exclude or include products; of several commands for one product the last one applies.

        Errors: `NotFound`, `Forbidden` (neither the seller nor staff).
        """
        with self._store.begin() as tx:
            checked = _check_commands(tx, commands)
            tx.policies.exclude({c.product_id: c.excluded for c in commands if c not in checked.refused})
            return self._assignments(tx, commands, checked, AuditAction.PRODUCT_PRICING_EXCLUDED)

    def _assignments(
        self, tx: Transaction, commands: "Sequence[_Command]", checked: "_Checked[_Command]", action: AuditAction
    ) -> list[Assignment | MarketError]:
        """The resulting assignment, or the error, of each command; those of staff are recorded in the audit log."""
        known = tx.policies.assignments({command.product_id for command in commands})
        now = self._clock.now()
        tx.audit.record(
            changed(
                actor.entry(
                    action,
                    product_id,
                    now,
                    before=asdict(checked.before.get(product_id, Assignment(product_id))),
                    after=asdict(known.get(product_id, Assignment(product_id))),
                )
                for product_id, actor in checked.actors.items()
            )
        )
        return [
            checked.refused.get(command) or known.get(command.product_id) or Assignment(command.product_id)
            for command in commands
        ]

    # --- rules of the marketplace

    def set_min_holds(self, commands: Sequence[SetMinHold]) -> list[Category | MarketError]:
        """Set the minimum hold of categories; it applies to all policies from their next run on.

        Errors: `NotFound`, and `Invalid` for the number of days.
        """
        outcomes = self._set_min_holds(commands)
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, Category) and self._security_log is not None:
                detail = f"category {outcome.id}: {outcome.min_hold_days:g} days"
                self._security_log.record(
                    SecurityEvent(
                        SecurityEventKind.MIN_HOLD_CHANGED,
                        address=command.by.address,
                        detail=detail,
                        actor_id=command.by.account_id,
                    )
                )
        return outcomes

    @retry_on(TransactionAborted)
    def _set_min_holds(self, commands: Sequence[SetMinHold]) -> list[Category | MarketError]:
        now = self._clock.now()
        with self._store.begin() as tx:
            known = {category.id: category for category in tx.categories.all()}
            entries: list[AuditEntry] = []

            def change(command: SetMinHold) -> Category:
                category = known.get(command.category_id)
                if category is None:
                    raise NotFound("category", command.category_id)
                with_hold = evolve(category, min_hold=checked_min_hold(command.days))
                action = AuditAction.CATEGORY_MIN_HOLD_SET
                before, after = ({"min_hold_days": each.min_hold_days} for each in (category, with_hold))
                entries.append(command.by.entry(action, category.id, now, before=before, after=after))
                return with_hold

            outcomes = apply_each(commands, change)
            tx.categories.set_min_holds({category.id: category.min_hold for category in succeeded(outcomes)})
            tx.audit.record(changed(entries))
        return outcomes

    # --- the stop of all pricing

    def stop(self, by: Actor = OPERATOR) -> None:
        """Stop all pricing: no policy changes a price any more; runs in progress are cancelled at their next range."""
        self._switch(AuditAction.PRICING_STOPPED, by)

    def resume(self, by: Actor = OPERATOR) -> None:
        """Undo `stop`."""
        self._switch(AuditAction.PRICING_RESUMED, by)

    @retry_on(TransactionAborted)
    def _switch(self, action: AuditAction, by: Actor) -> None:
        stopped = action is AuditAction.PRICING_STOPPED
        with self._store.begin() as tx:
            before, after = {"is_stopped": tx.policies.is_stopped()}, {"is_stopped": stopped}
            tx.policies.stop(stopped)
            tx.audit.record(changed([by.entry(action, PRICING, self._clock.now(), before=before, after=after)]))

    def is_stopped(self) -> bool:
        """Whether all pricing is stopped."""
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


def _check_horizon(policy: PricingPolicy, before: datetime | None, now: datetime) -> None:
    """A new horizon lies in the future; one that has passed since it was set stays valid."""
    if policy.stock_until != before and (errors := stock_until_errors(policy.stock_until, now)):
        raise Invalid(errors)


def _state_basis(policy: PricingPolicy) -> tuple[object, ...]:
    """The strategy and its list parameters, on which the meaning of the policy state depends: the lists index the
    state.
    """
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


def _end_experiments(tx: Transaction, policies: Sequence[PolicyId], now: datetime, note: str) -> None:
    if policies and (found := list(tx.experiments.lock_open(policies).values())):
        for experiment in found:
            experiment.end(now, note)
        tx.experiments.save(found)


_Command = TypeVar("_Command", AssignProduct, ExcludeProduct)


@frozen
class _Checked(Generic[_Command]):
    """The errors of commands, and the products of others that the rest of the commands change: who acts on each, and
    the assignments before.
    """

    refused: Mapping[_Command, MarketError]
    actors: Mapping[ProductId, Actor]
    before: Mapping[ProductId, Assignment]


def _check_commands(
    tx: Transaction,
    commands: Sequence[_Command],
    check: Callable[[_Command, AccountId], None] = lambda _command, _seller: None,
) -> _Checked[_Command]:
    """Errors: no such product, not the caller's product, or an error that `check` raises."""
    offers = tx.products.offers({command.product_id for command in commands})
    actors: dict[ProductId, Actor] = {}

    def check_one(command: _Command) -> None:
        offer = offers.get(command.product_id)
        if offer is None:
            raise NotFound("product", command.product_id)
        if offer.seller_id != command.owner and not command.as_staff:
            raise Forbidden("Only its seller may say how a product is priced.")
        check(command, offer.seller_id)
        if (actor := actor_on(offer.seller_id, command.owner, command.address)) is not None:
            actors[command.product_id] = actor

    results = zip(commands, apply_each(commands, check_one), strict=True)
    refused = {command: result for command, result in results if result is not None}
    return _Checked(refused, actors, tx.policies.assignments(actors.keys()) if actors else {})
