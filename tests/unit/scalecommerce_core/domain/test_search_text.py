"""Bounds on searches with many words."""

import pytest

from scalecommerce_core.domain.search_text import MAX_FORMS_OF_ALL_TERMS, MAX_TERMS, parse_search


def test_a_search_with_many_words_has_bounded_terms_and_forms() -> None:
    few, many = parse_search("shelves " * 6), parse_search("shelves boxes " * 100)
    assert [term.texts for term in few.terms] == [("shelves", "shelf")] * 6
    assert len(many.terms) == MAX_TERMS
    assert sum(len(term.texts) for term in many.terms) <= MAX_FORMS_OF_ALL_TERMS
    assert many.terms[0].texts[0] == "shelves"


@pytest.mark.parametrize(
    ("search", "is_single_word"),
    [
        ("shelves", True),
        (" kettle ", True),
        ("blue kettle", False),
        ("kettle -blue", False),
        ("-kettle", False),
        ('"kettle"', False),
        ("wi-fi", False),
        # Only the text itself is searched for, not the forms of its word.
        ("knife!", False),
        ("", False),
    ],
)
def test_a_single_word_is_searched_for_in_all_of_its_forms(search: str, is_single_word: bool) -> None:
    assert parse_search(search).is_single_word is is_single_word
