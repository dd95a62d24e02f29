"""The demo market at later starts of `up --demo`."""

from datetime import UTC, datetime

from entrypoints.demo.seed import prepare_demo
from entrypoints.demo.traffic.demo_products import POLICY_NAME
from entrypoints.settings import load as load_settings
from entrypoints.wiring import wire
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.pricing import DeletePolicy
from scalecommerce_core.services.progress import no_progress
from scalecommerce_core.services.results import unwrap_single


def test_deleted_policies_stay_deleted_in_a_market_with_many_others(database: str, redis_url: str) -> None:
    servers = {"DATABASE_URL": database, "REDIS_URL": redis_url}
    settings = load_settings({**servers, "JWT_SECRET": "*" * 32, "MIN_EPOCH_SECONDS": "1"})
    assert prepare_demo(settings, no_progress) is not None
    engine = wire(settings)
    try:
        market = engine.market

        def delete(policy: PricingPolicy) -> None:
            unwrap_single(market.pricing.delete([DeletePolicy(policy.id, policy.seller_id)]))

        other = unwrap_single(market.accounts.sign_up([SignUp("other@example.com", "a long password")])).id
        seeded = market.queries.policies(None, PageRequest(100)).rows
        (demo,) = [each for each in seeded if each.name == POLICY_NAME]
        with market.store.begin() as tx:
            now = datetime(2026, 1, 1, tzinfo=UTC)
            tx.policies.add([PricingPolicy(each, other, "Another", now) for each in tx.policies.next_ids(101)])
        # Its next number is higher than theirs.
        delete(demo)
        assert prepare_demo(settings, no_progress) is not None
        first = next(each for each in seeded if each.id != demo.id)
        delete(first)
        assert prepare_demo(settings, no_progress) is not None
        left = market.queries.policies(first.seller_id, PageRequest(100)).rows
        assert all(each.name == POLICY_NAME for each in left)
    finally:
        engine.close()
