"""Bounds on searches with many words."""

from scalecommerce_core.domain.search_text import MAX_FORMS_OF_ALL_TERMS, MAX_TERMS, parse_search


def test_a_search_with_many_words_has_bounded_terms_and_forms() -> None:
    few, many = parse_search("shelves " * 6), parse_search("shelves boxes " * 100)
    assert [term.texts for term in few.terms] == [("shelves", "shelf")] * 6
    assert len(many.terms) == MAX_TERMS
    assert sum(len(term.texts) for term in many.terms) <= MAX_FORMS_OF_ALL_TERMS
    assert many.terms[0].texts[0] == "shelves"
