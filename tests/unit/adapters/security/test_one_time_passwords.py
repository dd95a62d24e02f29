"""One-time passwords agree with RFC 6238, and each is accepted once within a small tolerance of the clock."""

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from adapters.security.one_time_passwords import STEP_SECONDS, TimeBasedPasswords

SECRET = b"12345678901234567890"
PASSWORDS = TimeBasedPasswords()
# RFC 6238, appendix B, shortened to six digits.
VECTORS = {
    59: "287082",
    1_111_111_109: "081804",
    1_111_111_111: "050471",
    1_234_567_890: "005924",
    2_000_000_000: "279037",
}


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(("seconds", "code"), VECTORS.items())
def test_codes_agree_with_the_rfc(seconds: int, code: str) -> None:
    step = seconds // STEP_SECONDS
    assert PASSWORDS.find_step(SECRET, code, at(seconds), after=0) == step
    assert PASSWORDS.find_step(SECRET, code, at(seconds) + timedelta(days=1), after=0) is None
    assert PASSWORDS.find_step(b"another secret of 20", code, at(seconds), after=0) is None


@pytest.mark.parametrize(
    ("late", "accepted"), [(-31, False), (-30, True), (-1, True), (0, True), (59, True), (60, False)]
)
def test_the_clock_may_be_wrong_by_one_step(late: int, accepted: bool) -> None:
    begin = 1_111_111_110
    found = PASSWORDS.find_step(SECRET, "050471", at(begin + late), after=0)
    assert found == (begin // STEP_SECONDS if accepted else None)


def test_a_used_step_and_older_ones_are_refused() -> None:
    step = 1_111_111_111 // STEP_SECONDS
    assert PASSWORDS.find_step(SECRET, "050471", at(1_111_111_111), after=step - 1) == step
    assert PASSWORDS.find_step(SECRET, "050471", at(1_111_111_111), after=step) is None
    assert PASSWORDS.find_step(SECRET, "081804", at(1_111_111_111), after=step) is None


@pytest.mark.parametrize("code", ["", "50471", "0050471", "05047l", "٠٥٠٤٧١", " 050471", "-50471"])
def test_other_texts_are_no_codes(code: str) -> None:
    assert PASSWORDS.find_step(SECRET, code, at(1_111_111_111), after=0) is None


def test_the_uri_contains_secret_account_and_issuer() -> None:
    parts = urlsplit(PASSWORDS.uri(SECRET, "kara+1@example.com", "Käthes Shop"))
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == "/Käthes Shop:kara+1@example.com"
    query = parse_qs(parts.query)
    assert query["secret"] == [PASSWORDS.text(SECRET)]
    assert base64.b32decode(query["secret"][0]) == SECRET
    assert (query["issuer"], query["digits"], query["period"]) == (["Käthes Shop"], ["6"], ["30"])
