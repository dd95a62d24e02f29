"""Currencies of ISO 4217 and their minor units: how many decimals an amount has, here and at payment gateways.

The table is part of the core, so that the core needs no dependency for it; a test compares it with the package
`iso4217`, which follows the standard (ADR 0033). Codes without minor units (metals, funds, testing) are not accepted. A
code that the standard withdraws moves to `WITHDRAWN`, because stored amounts may still use it.
"""

from collections.abc import Mapping
from typing import Final

_CODES: Final[Mapping[int, str]] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW"
        " CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF"
        " IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK"
        " MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP"
        " SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG"
        " YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
WITHDRAWN: Final = frozenset({"ANG", "BGN", "CUC", "HRK", "SLL", "ZWL"})
"""Withdrawn codes (two decimals each): valid for stored amounts, not for new prices."""

MINOR_DIGITS: Final[Mapping[str, int]] = {
    **{code: digits for digits, codes in _CODES.items() for code in codes.split()},
    **dict.fromkeys(WITHDRAWN, 2),
}
"""Decimals of an amount, by currency code."""
MINOR_PER_UNIT: Final[Mapping[str, int]] = {code: 10**digits for code, digits in MINOR_DIGITS.items()}
"""Minor units in one whole unit, by currency code: 100 cents, 1 yen, 1000 fils."""
MAX_MINOR_DIGITS: Final = max(MINOR_DIGITS.values())
DEFAULT_MINOR_PER_UNIT: Final = 100
"""Minor units per whole unit of nearly all currencies."""


class NotCurrency(ValueError):
    """The text is not an accepted currency code of ISO 4217; the message says why."""


def check_currency(code: str) -> None:
    """Raise `NotCurrency` unless amounts may be in this currency."""
    if code not in MINOR_DIGITS:
        raise NotCurrency(f"{code[:20]!r} is not a currency code of ISO 4217 such as USD.")


def check_market_currency(code: str) -> None:
    """Raise `NotCurrency` unless a market may price its products in this currency."""
    check_currency(code)
    if code in WITHDRAWN:
        raise NotCurrency(f"{code} was withdrawn from ISO 4217: choose the currency that replaced it.")
