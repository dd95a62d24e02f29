"""Policy state: serializing, merging and dividing blocks."""

import json

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


def test_states_of_the_former_format_are_read() -> None:
    ids = np.array([3, 7], dtype=np.int64)
    state = evolve(memory(3, 7), baseline={"traffic": np.array([np.nan, 0.1]), REFUNDED_TOTAL: ids / 3})
    head = {"format": 1, "rows": 2, "state": {"a": 1, "b": 2}, "baseline": ["traffic", REFUNDED_TOTAL]}
    columns = [getattr(state, name) for name in STATE_FACTS] + [state.state["a"], state.state["b"]]
    columns += [state.baseline["traffic"].astype("<f4"), state.baseline[REFUNDED_TOTAL]]
    stored = json.dumps(head).encode() + b"\n" + b"".join(values.tobytes() for values in columns)
    former = PolicyState.from_bytes(stored)
    assert same(former, state)
    assert former.baseline["traffic"].tolist() == pytest.approx([np.nan, np.float32(0.1)], abs=0, nan_ok=True)
    assert former.baseline[REFUNDED_TOTAL].tolist() == [1.0, 7 / 3]
    assert former.to_bytes() == PolicyState.from_bytes(former.to_bytes()).to_bytes()


def test_statistics_of_views_are_read_from_states_in_which_they_belonged_to_the_strategy() -> None:
    ids = np.array([3, 7], dtype=np.int64)
    columns = {"view_means": np.arange(6.0).reshape(2, 3), "view_sums": np.arange(18.0).reshape(2, 9)}
    plain = evolve(memory(3, 7), baseline={"traffic": ids / 2})
    former = evolve(plain, state={**plain.state, **columns})
    read = PolicyState.from_bytes(former.to_bytes())
    assert same(read, plain)
    assert read.state.keys() == plain.state.keys()
    assert {name: values.tolist() for name, values in read.baseline.items()} == {
        "traffic": [1.5, 3.5], "view_mean": [0, 3], "side_mean": [1, 4], "distance_mean": [2, 5],
        "view_w": [0, 9], "view_wf": [1, 10], "view_wg": [2, 11], "view_we": [3, 12], "view_wff": [4, 13],
        "view_wfg": [5, 14], "view_wgg": [6, 15], "view_wfe": [7, 16], "view_wge": [8, 17],
    }  # fmt: skip


@pytest.mark.parametrize("largest", [0, 1, 127, 128, 2**15, 2**31, 2**62])
@pytest.mark.parametrize("count", [1, 2, 200])
def test_numbers_of_any_size_survive_storage(largest: int, count: int) -> None:
    # The last value needs more bytes than all others.
    numbers = np.zeros(count, dtype=np.int64)
    numbers[-1] = -largest
    state = {"a": numbers / 3, "b": np.stack([numbers.astype(np.float64), np.full(count, 0.1)], axis=1)}
    given = PolicyState(np.arange(count), *(numbers for _ in STATE_FACTS[1:]), state=state)
    assert same(PolicyState.from_bytes(given.to_bytes()), given)


def test_equal_values_are_stored_once() -> None:
    ids = np.arange(4_096, dtype=np.int64)
    given = PolicyState(ids, *(np.full(4_096, 10**15) for _ in STATE_FACTS[1:]), state={"a": np.full(4_096, 1 / 3)})
    assert len(given.to_bytes()) < 2 * 4_096 + 1_000
    assert same(PolicyState.from_bytes(given.to_bytes()), given)


def test_baselines_survive_storage_and_are_unknown_in_states_of_earlier_releases() -> None:
    ids = np.arange(3, dtype=np.int64)
    plain = PolicyState(*(ids for _ in STATE_FACTS), state={"a": np.ones(3)})
    filtered = evolve(
        plain, baseline={"traffic": np.array([1.5, np.nan, -2.25]), REFUNDED_TOTAL: np.full(3, 2.0**40 + 1)}
    )
    stored = PolicyState.from_bytes(filtered.to_bytes())
    for name, column in filtered.baseline.items():
        assert stored.baseline[name].tolist() == pytest.approx(column.tolist(), abs=0, nan_ok=True)
    # An early release stored no more than the columns up to the state, each with 8 bytes.
    head = {"format": 1, "rows": 3, "state": {"a": 1}}
    columns = [getattr(plain, name) for name in STATE_FACTS]
    early = json.dumps(head).encode() + b"\n" + b"".join(values.tobytes() for values in [*columns, plain.state["a"]])
    earlier = PolicyState.from_bytes(early)
    assert same(earlier, plain)
    assert np.isnan(earlier.baseline_column("traffic")).all()
    merged = earlier.updated_with(stored.rows(ids == 0))
    assert merged.baseline["traffic"].tolist() == pytest.approx([1.5, np.nan, np.nan], nan_ok=True)


def test_a_column_that_is_unknown_in_one_block_is_kept_in_the_others() -> None:
    known = evolve(memory(3, 7), baseline={"view_mean": np.array([1.5, 2.5])})
    new = evolve(memory(8, 9), baseline={"view_mean": np.full(2, np.nan), "waiting_price": np.array([4.0, 5.0])})
    blocks = [PolicyState.from_bytes(block.to_bytes()) for block in (known, new)]
    for parts in (blocks, blocks[::-1]):
        whole = PolicyState.concatenate(parts)
        assert whole.product.tolist() == [3, 7, 8, 9]
        assert whole.baseline["view_mean"].tolist() == pytest.approx([1.5, 2.5, np.nan, np.nan], nan_ok=True)
        assert whole.baseline["waiting_price"].tolist() == pytest.approx([np.nan, np.nan, 4.0, 5.0], nan_ok=True)
