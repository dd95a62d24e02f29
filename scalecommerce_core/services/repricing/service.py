"""All use cases of pricing runs in one class."""

from scalecommerce_core.domain.audit import OPERATOR, Actor
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, RunId
from scalecommerce_core.pricing.runs import Run, RunStatus
from scalecommerce_core.services.progress import Progress, no_progress
from scalecommerce_core.services.repricing.common import EVERYTHING, RunInProgress, Selection
from scalecommerce_core.services.repricing.control import Control
from scalecommerce_core.services.repricing.execution import Execution
from scalecommerce_core.services.repricing.planning import Planning


class Repricing(Planning, Execution, Control):
    """Run pricing policies: begin, preview, work on, cancel and roll back runs."""

    def run(
        self,
        policy_id: PolicyId,
        *,
        shadow: bool = False,
        only: Selection = EVERYTHING,
        progress: Progress = no_progress,
        by: Actor | None = None,
    ) -> Run:
        """Begin a run, or continue the policy's run in progress, and finish it.

        Raise what `begin` raises; `RunInProgress` if the run in progress was begun with other arguments, for example
        one that writes prices when `shadow` is set.
        """
        with self._store.begin() as tx:
            active = tx.runs.active_run(policy_id)
            run = None if active is None else tx.runs.lock_shared(active)
        if run is None:
            try:
                run = self.begin(policy_id, shadow=shadow, only=only, by=by)
            except RunInProgress:
                return self.run(policy_id, shadow=shadow, only=only, progress=progress, by=by)
        elif (run.updates_state, run.within, run.is_whole) != (not shadow, only.category_id, only.is_all):
            raise RunInProgress(f"Run {run.id} of policy {policy_id} is in progress with other arguments.")
        return self.finish(run.id, progress)

    def rollback(
        self,
        run_id: RunId,
        progress: Progress = no_progress,
        owner: AccountId | None = None,
        by: Actor = OPERATOR,
    ) -> Run:
        """Restore the old prices of a run where its new prices are still in force; later changes stay.

        The prices that are rolled back are not promised to buyers, and policies skip these products for one epoch.
        """
        run = self.begin_rollback(run_id, owner, by)
        return run if run.status is RunStatus.ROLLED_BACK else self.finish(run_id, progress)
