"""What text fields, e-mail addresses and category names may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.domain.category import DEFAULT_CATEGORIES, slug_of
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.text import BIO_LENGTH, NAME_LENGTH, checked, text_errors
from scalecommerce_core.testing import SettableClock


def test_every_complaint_on_a_text_is_made_at_once() -> None:
    assert text_errors("fine", at_most=4) == []
    assert len(text_errors("\x00\ud800" * 3, at_most=5, at_least=7)) == 4


@pytest.mark.parametrize("blank", ["", " ", "\t\n ", "\u00a0"])
def test_blank_is_refused_where_something_is_wanted(blank: str) -> None:
    assert text_errors(blank, at_most=9, at_least=1) == ["This must not be blank."]
    assert text_errors(blank, at_most=9) == []


@given(st.text(max_size=12))
def test_a_text_comes_through_unchanged_or_its_field_is_named(text: str) -> None:
    wrong = len(text) > 8 or not text.strip() or "\x00" in text
    if wrong:
        with pytest.raises(Invalid) as caught:
            checked("name", text, at_most=8, at_least=1)
        assert list(caught.value.errors) == ["name"]
    else:
        assert checked("name", text, at_most=8, at_least=1) == text


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
        "a" * 65 + "@example.com",
        "a@" + ".".join(["b" * 63] * 4),
        "a@" + "b" * 64 + ".com",
        "\ud800@example.com",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid) as caught:
        normal_email(address)
    assert list(caught.value.errors) == ["email"]


def test_a_profile_names_every_field_that_is_wrong_and_keeps_them_all() -> None:
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
        ("  Tea & Coffee!  ", "tea-coffee"),
        ("Straße", "strasse"),
        ("Чай", "чай"),
        ("-1-", "1"),
    ],
)
def test_slugs(name: str, slug: str) -> None:
    assert slug_of(name) == slug
    assert slug_of(slug) == slug


@pytest.mark.parametrize("name", ["", "  ", "!!!", "___", "x" * 101, "a\x00b"])
def test_a_name_that_makes_no_slug_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        slug_of(name)
    assert list(caught.value.errors) == ["name"]


def test_the_default_categories_have_slugs_of_their_own() -> None:
    assert len({slug_of(name) for name in DEFAULT_CATEGORIES}) == 20
