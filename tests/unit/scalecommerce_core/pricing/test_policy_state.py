"""What is remembered of products, as blocks that are put together and taken apart again."""

import numpy as np

from scalecommerce_core.pricing.policy_state import FACTS, Memory


def memory(*products: int) -> Memory:
    ids = np.array(products, dtype=np.int64)
    return Memory(*(ids * (place + 1) for place in range(len(FACTS))), state={"a": ids / 2, "b": ids[:, None] / (1, 4)})


def same(one: Memory, other: Memory) -> bool:
    facts = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in FACTS)
    return facts and all(np.array_equal(one.state[name], other.state[name]) for name in other.state)


def test_parts_are_merged_in_order_of_product() -> None:
    assert same(Memory.merged([memory(4, 9), memory(), memory(1, 5)]), memory(1, 4, 5, 9))
    assert same(Memory.merged([memory()]), memory())


def test_some_products_are_taken_out() -> None:
    whole = memory(1, 4, 5, 9)
    assert same(whole.of(np.array([4, 9])), memory(4, 9))
    assert same(whole.of(np.array([0, 5, 7, 12])), memory(5))
    assert same(whole.of(np.array([], dtype=np.int64)), memory())


def test_joining_replaces_what_is_known() -> None:
    newer = Memory(*(np.array([4, 5]) for _ in FACTS), state={"a": np.array([7.0, 8.0]), "b": np.ones((2, 2))})
    joined = memory(1, 4, 9).joined(newer)
    assert joined.product.tolist() == [1, 4, 5, 9]
    assert joined.state["a"].tolist() == [0.5, 7.0, 8.0, 4.5]
    assert same(joined.of(np.array([4, 5])), newer)


def test_bytes_and_back() -> None:
    assert same(Memory.from_bytes(memory(1, 4, 5).to_bytes()), memory(1, 4, 5))
    assert same(Memory.from_bytes(memory().to_bytes()), memory())
