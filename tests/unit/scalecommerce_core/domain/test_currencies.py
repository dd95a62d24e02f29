"""The table of currencies equals that of the package `iso4217`."""

import iso4217
import pytest

from scalecommerce_core.domain.currencies import (
    MINOR_DIGITS,
    WITHDRAWN,
    NotCurrency,
    check_currency,
    check_market_currency,
)


def test_the_table_is_that_of_iso_4217() -> None:
    """If this fails, the standard was amended: add new codes, and move withdrawn ones to `WITHDRAWN`."""
    standard = {each.code: each.exponent for each in iso4217.Currency if each.exponent is not None}
    assert {code: digits for code, digits in MINOR_DIGITS.items() if code not in WITHDRAWN} == standard
    assert not WITHDRAWN & standard.keys()


def test_a_withdrawn_currency_is_read_and_prices_nothing_new() -> None:
    for code in WITHDRAWN:
        check_currency(code)
        with pytest.raises(NotCurrency, match="was withdrawn"):
            check_market_currency(code)
    check_market_currency("JPY")
    for unknown in ("ZZZ", "usd", "XAU", ""):
        with pytest.raises(NotCurrency, match="not a currency code of ISO 4217"):
            check_market_currency(unknown)
