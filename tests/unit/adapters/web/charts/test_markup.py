"""Text in charts: escaping, right-to-left names, estimated widths."""

from xml.etree.ElementTree import fromstring

import markupsafe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.web.charts.markup import Html, escape, isolate, shorten, text_element, text_width


@given(st.text(max_size=30))
def test_escaped_text_is_well_formed_and_keeps_its_characters(text: str) -> None:
    element = fromstring(f'<p title="{escape(text)}">{escape(text)}</p>')  # noqa: S314 - markup of this test
    expected = "".join(c if c in "\t\n\r" or c >= " " else "\ufffd" for c in text)
    expected = expected.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    # Parsers of XML normalize line ends.
    assert (element.text or "") == expected.replace("\r\n", "\n").replace("\r", "\n")


def test_text_with_lone_surrogates_can_be_encoded() -> None:
    assert escape("a\ud800b\x00").encode() == "a\ufffdb\ufffd".encode()


def test_template_engines_insert_charts_without_escaping() -> None:
    assert markupsafe.escape(Html("<svg/>")) == "<svg/>"


@pytest.mark.parametrize("name", ["Kettle", "Чайник", "ケトル", "☕"])
def test_left_to_right_names_stay_as_they_are(name: str) -> None:
    assert isolate(name) == name


@pytest.mark.parametrize("name", ["מקומקום 1.7", "غلاية", "evil \u202e override"])
def test_right_to_left_names_are_isolated(name: str) -> None:
    assert isolate(name) == f"\u2068{name}\u2069"


def test_a_name_cannot_leave_its_isolate() -> None:
    assert isolate("a\u2069\u202eb") == "\u2068a\u202eb\u2069"


@given(st.text(max_size=60), st.floats(20, 400))
def test_shortened_text_fits_and_is_a_beginning(text: str, width: float) -> None:
    short = shorten(text, width)
    assert text_width(short) <= width
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


def test_shortening_keeps_combining_marks_and_joined_emoji_together() -> None:
    assert shorten("e\u0301" * 9, 50).rstrip("…").endswith("\u0301")
    family = "👩\u200d👩\u200d👧"
    assert shorten(family * 4, 90) in {family * count + "…" for count in range(4)}


def test_text_elements_carry_no_styles() -> None:
    element = fromstring(text_element(1.25, 2, "<b>"))  # noqa: S314 - markup of this test
    assert (element.text, set(element.attrib)) == ("<b>", {"class", "x", "y", "text-anchor"})
