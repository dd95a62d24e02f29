"""Pricing policies with epochs of seconds, which reprice during the test, and their invariants."""

from collections.abc import Iterator, Sequence
from typing import Final

import psycopg
from attrs import evolve

from adapters.cli.torture_report import Checked
from entrypoints.settings import Settings
from entrypoints.torture.invariants import EXAMPLES, check_invariant
from entrypoints.wiring import wire
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.results import unwrap_single

EPOCH_SECONDS: Final = 2
RAILS: Final = {"least_views": 0, "least_history_days": 0, "breaker_share": 1, "breaker_mean": 1, "dead_band": 0}
"""Guardrails that allow a price change in every epoch."""

TWICE: Final = """
    SELECT d.product_id, run.policy_id, run.epoch FROM pricing_decisions d JOIN pricing_runs run ON run.id = d.run_id
    GROUP BY 1, 2, 3 HAVING count(*) > 1
"""
UNWRITTEN: Final = """
    SELECT d.run_id, d.product_id FROM pricing_decisions d
    JOIN pricing_ranges r ON r.run_id = d.run_id AND d.product_id BETWEEN r.first AND r.last
    WHERE d.new_price <> d.old_price AND d.outcome = 0 AND r.written_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM price_history h WHERE h.product_id = d.product_id AND h.valid_from = r.written_at
        AND h.price = d.new_price AND h.cause = 'policy'
    )
"""
UNEXPLAINED: Final = """
    SELECT h.product_id, h.valid_from FROM price_history h WHERE h.cause = 'policy' AND NOT EXISTS (
        SELECT FROM pricing_ranges r JOIN pricing_decisions d
            ON d.run_id = r.run_id AND d.product_id = h.product_id AND d.new_price = h.price AND d.outcome = 0
        WHERE r.written_at = h.valid_from AND h.product_id BETWEEN r.first AND r.last
    )
"""
OVERLAPPING: Final = """
    SELECT a.id, b.id FROM pricing_runs a JOIN pricing_runs b ON b.policy_id = a.policy_id AND b.id > a.id
    WHERE b.started_at < coalesce(a.finished_at, 'infinity')
"""


def create_pricing_policies(settings: Settings, sellers: Sequence[int]) -> None:
    """Create one policy per seller; beat and worker run them."""
    engine = wire(evolve(settings, failpoints=""))
    document = {"name": "Torture", "guardrails": RAILS, "epoch_seconds": EPOCH_SECONDS}
    try:
        for outcome in engine.market.pricing.create([CreatePolicy(AccountId(each), document) for each in sellers]):
            unwrap_single([outcome])
    finally:
        engine.close()


def stop_pricing_policies(settings: Settings) -> bool:
    """Stop all pricing; return False if the database does not answer."""
    engine = wire(evolve(settings, failpoints=""))
    try:
        engine.market.pricing.stop()
    except Unavailable:
        return False
    finally:
        engine.close()
    return True


def pricing_invariants(connection: psycopg.Connection, settings: Settings) -> list[Checked]:
    """Compare decisions with the price history, and statistics with the raw tables."""
    (decisions,) = connection.execute("SELECT count(*) FROM pricing_decisions").fetchone() or (0,)
    (runs,) = connection.execute("SELECT count(*) FROM pricing_runs").fetchone() or (0,)

    def broken() -> Iterator[str]:
        for product, policy, epoch in connection.execute(TWICE):
            yield f"product {product} was decided twice in epoch {epoch} of policy {policy}"
        for run, product in connection.execute(UNWRITTEN):
            yield f"run {run} changed the price of product {product}, but its price history does not contain the change"
        for product, moment in connection.execute(UNEXPLAINED):
            yield f"product {product} was repriced by a policy at {moment} without a decision"

    overlapping = (f"runs {first} and {then} of one policy overlap" for first, then in connection.execute(OVERLAPPING))
    return [
        check_invariant(
            "each product is decided once per epoch, and each change is in its history once", decisions, broken()
        ),
        check_invariant("runs of a policy do not overlap", runs, overlapping),
        _statistics(settings),
    ]


def _statistics(settings: Settings) -> Checked:
    engine = wire(evolve(settings, failpoints=""))
    try:
        differing = engine.market.queries.statistics_discrepancies(EXAMPLES)
    finally:
        engine.close()
    wrong = (f"{each.rollup} {each.key}: {each.figure} is {each.stored}, not {each.expected}" for each in differing)
    return check_invariant("statistics equal sales, refunds and listings", 1, wrong)
