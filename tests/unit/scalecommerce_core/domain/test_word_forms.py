"""Word forms that stemming does not unify."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.search_text import Term, parse_search
from scalecommerce_core.domain.word_forms import MAX_FORMS, forms_of


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("knife", "knives"), ("Shelves", "shelf"), ("bookshelf", "bookshelves"), ("woman", "women"), ("mice", "mouse"),
        ("people", "person"), ("чашек", "чашка"), ("чашками", "чашек"), ("сумка", "сумок"), ("маек", "майка"),
        ("писем", "письма"), ("окно", "окон"), ("полотенце", "полотенец"), ("кольца", "колец"), ("замки", "замок"),
        ("ремни", "ремень"), ("Горшки", "горшок"), ("котята", "котенок"), ("детей", "ребенок"), ("магниты", "магнит"),
    ],
)  # fmt: skip
def test_words_have_their_other_forms(word: str, form: str) -> None:
    assert form in forms_of(word)


@pytest.mark.parametrize("word", ["kettle", "safe", "cafe", "proof", "gloves", "лампа", "стол", "сок", "500ml", "A4"])
def test_words_that_stemming_covers_have_no_other_forms(word: str) -> None:
    assert forms_of(word) == (word,)


def test_every_word_of_a_phrase_has_its_forms() -> None:
    assert forms_of("kitchen knife") == ("kitchen knife", "kitchen knives")
    assert set(forms_of("mouse, shelf")) == {"mouse, shelf", "mouse, shelves", "mice, shelf", "mice, shelves"}
    assert len(forms_of("mouse mouse mouse mouse")) == MAX_FORMS


@given(st.text(max_size=20))
def test_the_text_is_the_first_form_and_no_form_repeats(text: str) -> None:
    forms = forms_of(text)
    assert forms[0] == text
    assert len(set(forms)) == len(forms) <= MAX_FORMS


def test_hyphenated_words_are_one_word_too() -> None:
    (term,) = parse_search("Wi\u2011Fi").terms
    assert term.texts == ("Wi\u2011Fi", "WiFi")
    assert term.forms == ("Wi\u2011Fi",)
    assert Term("10-20").texts == ("10-20",)
    assert Term("wi-fi", is_phrase=True).texts == ("wi-fi",)
