import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.db.queries.search.index.arrays import Array, insertion_place, is_member, narrow, ranges, union, without

DOCUMENTS = st.frozensets(st.integers(0, 40), max_size=30).map(lambda found: np.array(sorted(found), np.uint32))


@given(st.lists(DOCUMENTS, max_size=4), st.sampled_from((41, 1_000_000)))
def test_a_union_has_each_document_once_in_order(parts: list[Array], size: int) -> None:
    found = union(parts, size)
    assert found.tolist() == sorted({document for part in parts for document in part.tolist()})
    assert found.dtype == np.uint32


@given(DOCUMENTS, DOCUMENTS)
def test_members_and_the_others_are_told_apart(values: Array, others: Array) -> None:
    members = {*others.tolist()}
    assert is_member(values, others).tolist() == [value in members for value in values.tolist()]
    assert without(values, others).tolist() == [value for value in values.tolist() if value not in members]


@pytest.mark.parametrize("removed", [[], [0], [99, 200], [1, 3, 50]])
def test_a_few_of_many_documents_are_removed(removed: list[int]) -> None:
    values = np.arange(100, dtype=np.uint32)
    found = without(values, np.array(removed, np.uint32))
    assert found.tolist() == [value for value in range(100) if value not in removed]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4))))
def test_ranges_are_concatenated(given_ranges: list[tuple[int, int]]) -> None:
    starts, lengths = (np.array(values, np.int64) for values in zip((0, 0), *given_ranges, strict=True))
    expected = [number for start, length in given_ranges for number in range(start, start + length)]
    assert ranges(starts, lengths).tolist() == expected


@given(DOCUMENTS, st.integers(-(2**70), 2**70) | st.integers(-2, 42))
def test_an_insertion_place_is_the_number_of_smaller_values(ascending: Array, value: int) -> None:
    assert insertion_place(ascending, value) == sum(each < value for each in ascending.tolist())


@pytest.mark.parametrize(
    ("values", "kind"), [([], "u4"), ([0, 2**32 - 1], "u4"), ([2**32], "i8"), ([-1], "i8"), ([2**63 - 1], "i8")]
)
def test_numbers_take_32_bits_if_they_fit(values: list[int], kind: str) -> None:
    found = narrow(np.array(values, np.int64))
    assert found.tolist() == values
    assert found.dtype == np.dtype(kind)
