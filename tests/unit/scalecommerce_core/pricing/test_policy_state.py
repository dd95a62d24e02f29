"""Policy state: serializing, merging and dividing blocks."""

import numpy as np
import pytest
from attrs import evolve

from scalecommerce_core.pricing.policy_state import REFUNDED_TOTAL, STATE_FACTS, PolicyState


def memory(*products: int) -> PolicyState:
    ids = np.array(products, dtype=np.int64)
    return PolicyState(
        *(ids * (place + 1) for place in range(len(STATE_FACTS))), state={"a": ids / 2, "b": ids[:, None] / (1, 4)}
    )


def same(one: PolicyState, other: PolicyState) -> bool:
    facts = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in STATE_FACTS)
    return facts and all(np.array_equal(one.state[name], other.state[name]) for name in other.state)


def test_policy_states_are_merged_in_order_of_product() -> None:
    assert same(PolicyState.concatenate([memory(4, 9), memory(), memory(1, 5)]), memory(1, 4, 5, 9))
    assert same(PolicyState.concatenate([memory()]), memory())


def test_policy_states_can_be_restricted_to_products() -> None:
    whole = memory(1, 4, 5, 9)
    assert same(whole.for_products(np.array([4, 9])), memory(4, 9))
    assert same(whole.for_products(np.array([0, 5, 7, 12])), memory(5))
    assert same(whole.for_products(np.array([], dtype=np.int64)), memory())


def test_newer_rows_replace_those_of_the_same_products() -> None:
    newer = PolicyState(
        *(np.array([4, 5]) for _ in STATE_FACTS), state={"a": np.array([7.0, 8.0]), "b": np.ones((2, 2))}
    )
    joined = memory(1, 4, 9).updated_with(newer)
    assert joined.product.tolist() == [1, 4, 5, 9]
    assert joined.state["a"].tolist() == [0.5, 7.0, 8.0, 4.5]
    assert same(joined.for_products(np.array([4, 5])), newer)


def test_policy_states_survive_serialization() -> None:
    assert same(PolicyState.from_bytes(memory(1, 4, 5).to_bytes()), memory(1, 4, 5))
    assert same(PolicyState.from_bytes(memory().to_bytes()), memory())


def test_baselines_survive_storage_and_are_unknown_in_states_of_earlier_releases() -> None:
    ids = np.arange(3, dtype=np.int64)
    plain = PolicyState(*(ids for _ in STATE_FACTS), state={"a": np.ones(3)})
    filtered = evolve(
        plain, baseline={"traffic": np.array([1.5, np.nan, -2.25]), REFUNDED_TOTAL: np.full(3, 2.0**40 + 1)}
    )
    stored = PolicyState.from_bytes(filtered.to_bytes())
    for name, column in filtered.baseline.items():
        assert stored.baseline[name].tolist() == pytest.approx(column.tolist(), abs=0, nan_ok=True)
    # An earlier release reads the columns up to the state, and stores no more than these.
    earlier = PolicyState.from_bytes(plain.to_bytes().replace(b', "baseline": []', b""))
    assert np.isnan(earlier.baseline_column("traffic")).all()
    merged = earlier.updated_with(stored.rows(ids == 0))
    assert merged.baseline["traffic"].tolist() == pytest.approx([1.5, np.nan, np.nan], nan_ok=True)
