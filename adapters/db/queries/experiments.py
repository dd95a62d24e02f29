"""Queries of pricing experiments."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam
from sqlalchemy.dialects.postgresql import distinct_on

from adapters.db.core.bulk_statements import equals_any, id_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page, page_direction, page_statements
from adapters.db.repositories.experiments import EXPERIMENT, experiment_of
from adapters.db.schema import pricing_experiments
from scalecommerce_core.domain.identifiers import AccountId, ExperimentId, PolicyId
from scalecommerce_core.pricing.experiments.experiment import PricingExperiment
from scalecommerce_core.queries import Page, PageRequest

_c = pricing_experiments.c


def _experiments(*, owned: bool, of_policy: bool) -> Any:
    statement = EXPERIMENT
    if owned:
        statement = statement.where(_c.seller_id == bindparam("owner", type_=BigInteger))
    if of_policy:
        statement = statement.where(_c.policy_id == bindparam("policy", type_=BigInteger))
    return statement


_NEWEST: Final = Keyset((_c.id,), descending=True)
_EXPERIMENTS: Final = {
    (owned, of_policy): page_statements(
        lambda request, owned=owned, of_policy=of_policy: _NEWEST.page_statement(  # type: ignore[misc]  # the defaults bind the loop variables
            _experiments(owned=owned, of_policy=of_policy), request
        )
    )
    for owned in (False, True)
    for of_policy in (False, True)
}
_ONE: Final = EXPERIMENT.where(_c.id == bindparam("id", type_=BigInteger))
_LATEST: Final = (
    EXPERIMENT.where(equals_any(_c.policy_id)).ext(distinct_on(_c.policy_id)).order_by(_c.policy_id, _c.id.desc())
)


class ExperimentQueries:
    _executor: QueryExecutor

    def experiments(
        self, owner: AccountId | None, page: PageRequest, *, policy_id: PolicyId | None = None
    ) -> Page[PricingExperiment]:
        given = {name: value for name, value in (("owner", owner), ("policy", policy_id)) if value is not None}
        statement = _EXPERIMENTS[owner is not None, policy_id is not None][page_direction(page)]
        fetched = self._executor.fetch(statement, {**given, **_NEWEST.page_params(page)})
        return build_page(fetched, page, experiment_of, lambda row: (row[0],))

    def experiment(self, experiment_id: ExperimentId) -> PricingExperiment | None:
        found = self._executor.fetch(_ONE, {"id": experiment_id})
        return experiment_of(found[0]) if found else None

    def latest_experiments(self, policy_ids: Collection[PolicyId]) -> Mapping[PolicyId, PricingExperiment]:
        rows = self._executor.fetch(_LATEST, {"ids": id_array(policy_ids)}) if policy_ids else []
        return {experiment.policy_id: experiment for experiment in map(experiment_of, rows)}
