"""One key sent many times at once to a deployment with two API processes."""

from pathlib import Path

from bench.idempotency import orders_placed, run
from tests.integration.deployment import Deployment


def test_requests_with_one_key_to_two_processes_place_one_order(tmp_path: Path, database: str, redis_url: str) -> None:
    with Deployment(tmp_path, database, redis_url, workers=2) as deployment:
        outcomes = run(deployment, rounds=30, twins=20)
        assert [sentence for outcome in outcomes.values() for sentence in outcome.torn] == []
        assert all(outcome.is_clean for outcome in outcomes.values())
        assert [set(outcome.statuses) for outcome in outcomes.values()] == [{202}, {201}, {202, 422}]
        assert orders_placed(deployment) == sum(outcome.rounds for outcome in outcomes.values())
