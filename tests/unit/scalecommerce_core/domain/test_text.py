"""The characters that text fields, e-mail addresses and category names may contain."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain import text as texts
from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.domain.category import DEFAULT_CATEGORIES, slug_of
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.text import (
    BIO_LENGTH,
    MAX_COMBINING_MARKS,
    NAME_LENGTH,
    checked,
    has_long_run,
    normal_line,
    normal_text,
    printable,
    printable_line,
    text_errors,
)
from scalecommerce_core.testing import SettableClock


def test_text_errors_reports_all_errors_at_once() -> None:
    assert text_errors("fine", at_most=4) == []
    assert len(text_errors("\x00\ud800" * 3, at_most=5, at_least=7)) == 4


@pytest.mark.parametrize("blank", ["", " ", "\t\n ", "\u00a0"])
def test_blank_text_is_refused_in_required_fields(blank: str) -> None:
    assert text_errors(blank, at_most=9, at_least=1) == ["This must not be blank."]
    assert text_errors(blank, at_most=9) == []


@given(st.text(max_size=12))
def test_checked_returns_the_text_or_names_its_field(text: str) -> None:
    wrong = len(text) > 8 or not text.strip() or "\x00" in text
    if wrong:
        with pytest.raises(Invalid) as caught:
            checked("name", text, at_most=8, at_least=1)
        assert list(caught.value.errors) == ["name"]
    else:
        assert checked("name", text, at_most=8, at_least=1) == text


# Characters that change their neighbours, or are visible only beside certain neighbours.
_TRICKY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            " \n\t\u00a0\u200b\u200c\u200d\u00ad\ufe0f\ufe00\u180b\u202e\u0301\u094d\u20e3\U000e0067\U000e007f"
        ),
        st.sampled_from("e1कमیاءᠠ中👩🔬❤🏴\U0001f3fd"),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    "text",
    [
        # A removed character separated combining marks, which are reordered then.
        "क\u0301\u034f\u094d\u200d\u0937",
        "#\u200b\u0301\u115f\u034f\u094d\u200d\u1161",
    ],
)
def test_marks_that_come_together_do_not_change_the_normal_form_again(text: str) -> None:
    assert normal_line(normal_line(text)) == normal_line(text) == normal_line(normal_text(text))


@pytest.mark.parametrize("run", ["\u200c", "\u200d", "ب\u200c\u200c", "ب" + "\u064b" * 30 + "\u200c"])
def test_long_runs_of_joiners_are_read_once(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    class Counting:
        def __init__(self, pattern: re.Pattern[str]) -> None:
            self._pattern = pattern

        def search(self, value: str) -> re.Match[str] | None:
            return self._pattern.search(value)

        def match(self, value: str) -> re.Match[str] | None:
            nonlocal looks
            looks += 1
            return self._pattern.match(value)

    monkeypatch.setattr("scalecommerce_core.domain.text._INVISIBLE", Counting(texts._INVISIBLE))
    value = (run * 1_000)[:1_000]
    normal_text(value)
    assert looks <= 3 * len(value)


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0344", "\u0f73\u0f71"])
def test_a_long_run_of_combining_marks_is_refused_and_not_put_in_order(marks: str) -> None:
    long = "a" + (marks * (MAX_COMBINING_MARKS + 1))[: MAX_COMBINING_MARKS + 1]
    assert normal_line(long) == normal_text(long) == long
    assert text_errors(long, at_most=99) == [f"At most {MAX_COMBINING_MARKS} combining marks may follow one another."]
    assert text_errors(long[:-1], at_most=99) == []
    with pytest.raises(Invalid, match="combining marks"):
        slug_of(long)


@given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 70))
def test_a_long_run_of_combining_marks_is_found_wherever_it_is(before: int, marks: int, behind: int) -> None:
    assert has_long_run("я" * before + "\u0301" * marks + "я" * behind) == (marks > MAX_COMBINING_MARKS)


@given(_TRICKY)
def test_the_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    for normal in (normal_line, normal_text):
        once = normal(text)
        assert normal(once) == once
        assert once == once.strip()
        assert ("\x00" in once) == ("\x00" in text)
    assert "\n" not in normal_line(text)


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم", "خانه\u200cها", "क्\u200dष", "क्\u200cष", "ශ්\u200dරී", "র\u200d্য", "ന്\u200d", "👩\u200d🔬",
        "👩\U0001f3fd\u200d🔬", "❤\ufe0f\u200d🔥", "🏳\ufe0f\u200d🌈", "1\ufe0f\u20e3", "☕\ufe0f",
        "葛\U000e0100", "a  b\n c",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)  # fmt: skip
def test_joiners_that_a_script_needs_are_kept(text: str) -> None:
    assert normal_text(text) == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("x\u200dy", "xy"),
        ("T1\u200c", "T1"),
        ("ما\u200cها", "ماها"),
        ("\u200dक", "क"),
        ("a\u061cb\u200e\u202a\u2066c\u180e", "abc"),
        ("\U000e0067x", "x"),
        ("e\u200b\u0301", "é"),
        ("\x07bell\x9f", "bell"),
        ("\u212a", "K"),
        ("a\u3000\u2028\tb", "a b"),
    ],
)
def test_invisible_characters_are_removed(text: str, normal: str) -> None:
    assert normal_line(text) == normal


def test_line_breaks_of_a_text_are_kept_as_line_feeds() -> None:
    assert normal_text(" a\r\n\r  b\u2028c\u200b \x85") == "a\n\n  b\nc"


@pytest.mark.parametrize(
    "address",
    ["a@b.co", "first.last+tag@sub.example-shop.com", "o'hara@example.com", "x@" + ".".join(["a" * 60] * 4), "0@0.a1"],
)
def test_addresses_are_lower_cased(address: str) -> None:
    assert normal_email(f" {address.upper()} ") == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "name",
        "@example.com",
        "name@",
        "name@localhost",
        "a@b@example.com",
        "a b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a..b@example.com",
        "a@-example.com",
        "a@example-.com",
        "a@exa_mple.com",
        "a@.com",
        "a@example..com",
        "a@example.com\x00",
        "a\n@example.com",
        "käse@example.com",
        "\u212aara@example.com",
        "kara@example.\u212aom",
        "\uff4bara@example.com",
        "kara@example.com\u200b",
        "a" * 65 + "@example.com",
        "a@" + ".".join(["b" * 63] * 4),
        "a@" + "b" * 64 + ".com",
        "\ud800@example.com",
    ],
)
def test_invalid_email_addresses_are_refused(address: str) -> None:
    with pytest.raises(Invalid) as caught:
        normal_email(address)
    assert list(caught.value.errors) == ["email"]


def test_an_invalid_profile_edit_names_every_field_and_changes_nothing() -> None:
    account = Account(AccountId(1), "ann@example.com", None, SettableClock().now(), first_name="Ann")
    with pytest.raises(Invalid) as caught:
        account.edit(first_name="Bo", last_name="x" * (NAME_LENGTH + 1), bio="x" * (BIO_LENGTH + 1))
    assert set(caught.value.errors) == {"last_name", "bio"}
    assert account.first_name == "Ann"
    account.edit(bio="Sells tea.")
    assert (account.first_name, account.bio) == ("Ann", "Sells tea.")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Home appliances", "home-appliances"),
        ("home_appliances", "home_appliances"),
        ("  Tea & Coffee!  ", "tea-and-coffee"),
        ("50 % off", "50-percent-off"),
        ("Node.js", "node-js"),
        ("C. S. Lewis", "c-s-lewis"),
        ("کتاب\u200cها", "کتاب\u200cها"),
        ("Cafe\u0301", "café"),
        ("Straße", "strasse"),
        ("Чай", "чай"),
        ("-1-", "1"),
    ],
)
def test_slugs_of_names(name: str, slug: str) -> None:
    assert slug_of(name) == slug
    assert slug_of(slug) == slug


@pytest.mark.parametrize("name", ["", "  ", "!!!", "___", "x" * 101, "a\x00b"])
def test_a_name_that_makes_no_slug_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        slug_of(name)
    assert list(caught.value.errors) == ["name"]


def test_the_default_categories_have_slugs_of_their_own() -> None:
    assert len({slug_of(name) for name in DEFAULT_CATEGORIES}) == 20


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tea\x1b[31m\x07pot\n\tend é 茶", "tea\\x1b[31m\\x07pot\n\tend é 茶"),
        ("a\u202eb\u2066c\u200fd\u061ce\ufeff", "a\\u202eb\\u2066c\\u200fd\\u061ce\\ufeff"),
        ("\udc80\u2028", "\\udc80\\u2028"),
        ("\x9b31m", "\\x9b31m"),
        ("👩\u200d🔧 ❤\ufe0f", "👩\u200d🔧 ❤\ufe0f"),
    ],
)
def test_characters_that_control_terminals_or_hide_text_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_printable_line_is_one_line() -> None:
    assert printable_line("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"
