from hypothesis import given
from hypothesis import strategies as st

from adapters.db.queries.search.index.string_table import MISSING, Numbering, StringTable

STRINGS = st.lists(st.text(max_size=5), unique=True)


@given(STRINGS, STRINGS)
def test_each_string_has_a_number_of_its_own(strings: list[str], others: list[str]) -> None:
    table, numbers = StringTable.build(strings)
    assert len(table) == len(strings)
    assert sorted(numbers.tolist()) == list(range(len(strings)))
    for string, number in zip(strings, numbers.tolist(), strict=True):
        assert table.find(string) == number
        assert table[number] == string
    for other in {*others}.difference(strings):
        assert table.find(other) == MISSING


@given(STRINGS, STRINGS)
def test_added_strings_are_numbered_after_those_of_the_table(strings: list[str], added: list[str]) -> None:
    names = Numbering(StringTable.build(strings)[0])
    numbers = {string: names.add(string) for string in added}
    assert len(names) == len({*strings, *added})
    for string in {*strings, *added}:
        assert names[names.find(string)] == string
    assert {string: names.find(string) for string in added} == numbers
    assert names.find_all(["not there at all", *strings]) == [names.find(string) for string in strings]
