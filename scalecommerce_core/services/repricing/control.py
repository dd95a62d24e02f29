"""Control of pricing runs: approve, decline, cancel, roll back, purge."""

from collections.abc import Mapping

from scalecommerce_core.domain.audit import OPERATOR, Actor, AuditAction
from scalecommerce_core.domain.errors import ConnectionLost, Forbidden, NotFound, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, RunId
from scalecommerce_core.domain.text import normal_reason
from scalecommerce_core.ports import SecurityEvent, SecurityEventKind, Transaction
from scalecommerce_core.pricing.runs import IN_PROGRESS, Run, RunStatus
from scalecommerce_core.services.repricing.common import RepricingBase, finish_epoch
from scalecommerce_core.services.retry import retry_on


class Control(RepricingBase):
    """Use cases that end runs and delete old ones. `owner` is the seller who acts; None for staff and operators.

    What `by` does with the run of another account is recorded in the audit log.
    """

    @retry_on(TransactionAborted, ConnectionLost)
    def begin_rollback(self, run_id: RunId, owner: AccountId | None = None, by: Actor = OPERATOR) -> Run:
        """Mark a run for rollback, which workers or `Repricing.rollback` carry out; repeating it changes nothing.

        A run in progress is cancelled by it. Raise `NotFound` and `RunNotReversible`.
        """
        with self._store.begin() as tx:
            run = tx.runs.lock(run_id)
            if run is None or owner not in {None, run.seller_id}:
                raise NotFound("run", run_id)
            before = {"status": run.status}
            was_in_progress = run.status in IN_PROGRESS
            if run.begin_rollback():
                tx.runs.save(run)
                self._audit(tx, AuditAction.RUN_ROLLED_BACK, run, by, before=before)
                if was_in_progress and run.is_whole:
                    finish_epoch(tx, run)
        return run

    @retry_on(TransactionAborted, ConnectionLost)
    def cancel(self, run_id: RunId, owner: AccountId | None = None, by: Actor = OPERATOR) -> Run:
        """End a run in progress; prices that it has written stay. A finished run is unchanged. Raise `NotFound`."""
        with self._store.begin() as tx:
            run = tx.runs.lock(run_id)
            if run is None or owner not in {None, run.seller_id}:
                raise NotFound("run", run_id)
            is_ended = run.status in IN_PROGRESS
            if is_ended:
                before = {"status": run.status}
                run.sum_ranges(tx.runs.ranges(run_id))
                run.end(RunStatus.CANCELLED, self._clock.now(), "The run was cancelled.")
                tx.runs.save(run)
                self._audit(tx, AuditAction.RUN_CANCELLED, run, by, before=before)
        if is_ended:
            self._measurements.run_ended(run.status)
        return run

    def approve(self, run_id: RunId, by: Actor) -> Run:
        """Let a run that awaits approval change prices, which workers or `finish` carry out.

        `by` must be a member of staff, and not the one who edited or activated the policy last. Raise `NotFound`,
        `RunNotAwaitingApproval` and `Forbidden`.
        """
        return self._review(run_id, by, None)

    def decline(self, run_id: RunId, reason: str, by: Actor) -> Run:
        """Keep the prices of a run that awaits approval; its policy state is updated. Raise what `approve` raises, and
        `Invalid` for the reason.
        """
        return self._review(run_id, by, normal_reason(reason))

    def _review(self, run_id: RunId, by: Actor, declined_for: str | None) -> Run:
        run = self._record_review(run_id, by, declined_for)
        if self._security_log is not None:
            kind = SecurityEventKind.PRICES_APPROVED if declined_for is None else SecurityEventKind.PRICES_DECLINED
            self._security_log.record(
                SecurityEvent(kind, run.seller_id, by.address, f"run {run.id}", actor_id=by.account_id)
            )
        return run

    @retry_on(TransactionAborted, ConnectionLost)
    def _record_review(self, run_id: RunId, by: Actor, declined_for: str | None) -> Run:
        with self._store.begin() as tx:
            if by.account_id is None or by.account_id not in tx.accounts.staff_among([by.account_id]):
                raise Forbidden("Only staff may approve or decline a run.")
            run = tx.runs.lock(run_id)
            if run is None:
                raise NotFound("run", run_id)
            before = {"status": run.status}
            run.review(by.account_id, self._clock.now(), declined_for)
            tx.runs.save(run)
            action = AuditAction.RUN_APPROVED if declined_for is None else AuditAction.RUN_DECLINED
            self._audit(tx, action, run, by, before=before, reason=declined_for or "")
        return run

    def _audit(
        self,
        tx: Transaction,
        action: AuditAction,
        run: Run,
        by: Actor,
        *,
        before: Mapping[str, object],
        reason: str = "",
    ) -> None:
        # The approval of a run by staff is recorded whoever owns the policy.
        if by.account_id != run.seller_id or action in {AuditAction.RUN_APPROVED, AuditAction.RUN_DECLINED}:
            after = {"status": run.status, "policy_id": run.policy_id}
            tx.audit.record([by.entry(action, run.id, self._clock.now(), before=before, after=after, reason=reason)])

    @retry_on(TransactionAborted, ConnectionLost)
    def purge(self, limit: int = 20) -> int:
        """Delete up to `limit` ranges, with their decisions, of runs that ended before the retention; return how many.

        A run without ranges is deleted too, and counted.
        """
        with self._store.begin() as tx:
            return tx.runs.purge(self._clock.now() - self._retention, limit)
