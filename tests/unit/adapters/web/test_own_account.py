"""The pages of one's own account, and those behind links in e-mails."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import segno

from adapters.web.framework.forms import Form
from adapters.web.framework.qr_codes import MAX_BYTES, qr_code
from adapters.web.pages.account.api_keys import expiry
from adapters.web.pages.account.email_links import token_of
from adapters.web.pages.account.profile import edited_fields
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import PASSWORD, Marketplace

PROFILE = {"first_name": "Mira", "last_name": "", "display_name": "Mira", "bio": "one\ntwo"}
SECRET = re.compile(r'<code class="secret">([^<]+)</code>')


def test_only_edited_fields_are_sent() -> None:
    form = Form.of({**PROFILE, "last_name": "Hill", "bio": "one\r\ntwo"})
    assert edited_fields(PROFILE, form) == {"last_name": "Hill"}
    assert edited_fields(PROFILE, Form({})) == {}


@pytest.mark.parametrize("text", ["abc-_1", " abc-_1 ", "https://shop.example/verify-email#token=abc-_1"])
def test_a_pasted_link_contains_its_token(text: str) -> None:
    assert token_of(text) == "abc-_1"


def test_a_key_ends_after_an_offered_number_of_days() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert expiry(30, now) == (now + timedelta(days=30)).isoformat()
    assert (expiry(31, now), expiry("soon", now)) == ("31", "soon")


def test_the_profile_is_edited(logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    assert "The profile is saved." in browser.submit("/account/", {"display_name": "Mira of the hill"}).text
    assert 'value="Mira of the hill"' in browser.get("/account/").text
    refused = browser.post("/account/", {"display_name": "x" * 500})
    assert refused.status_code == 400
    assert 'id="display_name-errors"' in refused.text


def test_a_password_is_changed_with_the_present_one(logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    wrong = browser.post("/account/password/", {"old_password": "wrong", "new_password": "nine small teapots"})
    assert (wrong.status_code, 'id="old_password-errors"' in wrong.text) == (400, True)
    assert "nine small teapots" not in wrong.text
    fields = {"old_password": PASSWORD, "new_password": "nine small teapots"}
    assert "The password is changed" in browser.submit("/account/password/", fields).text


def test_sessions_are_listed_and_ended(site: Marketplace, anybody: Browser) -> None:
    email, other = site.account().email, Browser(site.client)
    anybody.log_in(email, PASSWORD)
    other.log_in(email, PASSWORD)
    listed = anybody.get("/account/sessions/").text
    assert "this one" in listed
    found = re.search(r'action="(/account/sessions/\d+/end/)"', listed)
    assert found is not None
    assert "The session has ended." in anybody.submit(found[1]).text
    other.log_in(email, PASSWORD)
    assert "All other sessions have ended." in anybody.submit("/account/sessions/end-others/").text
    assert "/log-in/" in other.send("GET", "/account/").headers["location"]


def test_the_secret_of_a_key_is_shown_once(logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    fields = {"name": "Warehouse", "scopes": ["orders:read"], "password": PASSWORD, "days": "30"}
    created = browser.post("/account/api-keys/", fields)
    secret = SECRET.search(created.text)
    assert secret is not None
    assert secret[1].startswith("sk_")
    listed = browser.get("/account/api-keys/").text
    assert "Warehouse" in listed
    assert secret[1] not in listed
    number = re.search(r"/account/api-keys/(\d+)/revoke/", listed)
    assert number is not None
    rotated = browser.post(f"/account/api-keys/{number[1]}/rotate/", {"password": PASSWORD})
    assert SECRET.search(rotated.text) is not None
    assert "The key is revoked." in browser.submit(f"/account/api-keys/{number[1]}/revoke/").text


def test_a_second_factor_that_is_not_confirmed_shows_its_secret_again(logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    begun = browser.post("/account/second-factor/", {"password": PASSWORD})
    secret, uri = SECRET.findall(begun.text)
    wrong = browser.post("/account/second-factor/confirm/", {"code": "x", "secret": secret, "uri": uri})
    assert wrong.status_code == 400
    assert SECRET.findall(wrong.text) == [secret, uri]
    assert "on</span>" not in browser.get("/account/second-factor/").text


@pytest.mark.parametrize(("language", "label"), [("en", "QR code with the key below"), ("ru", "QR-код с ключом")])
def test_the_uri_of_a_second_factor_is_a_qr_code(logged_in: Callable[..., Browser], language: str, label: str) -> None:
    browser = logged_in()
    browser.language = language
    begun = browser.post("/account/second-factor/", {"password": PASSWORD}).text
    uri = unescape(SECRET.findall(begun)[1])
    assert uri.startswith("otpauth://totp/")
    drawing = begun[begun.index('<div class="qr-code"') : begun.index("</svg>")]
    assert f'role="img" aria-label="{label}' in drawing
    assert dark_modules(drawing) == [[bool(module) for module in row] for row in segno.make(uri, micro=False).matrix]
    # The policy of pages allows no inline styles and scripts; readers need the white quiet zone in either theme.
    assert not re.search(r"style|script|data:", drawing)
    assert re.search(r'viewBox="0 0 (\d+) \1".*fill="#fff" d="M0 0h\1v\1h-\1z"', drawing)


def test_a_uri_that_no_qr_code_can_hold_is_shown_as_text(logged_in: Callable[..., Browser]) -> None:
    fields = {"code": "x", "secret": "A" * 32, "uri": "x" * (MAX_BYTES + 1)}
    shown = logged_in().post("/account/second-factor/confirm/", fields)
    assert (shown.status_code, "<svg" in shown.text[shown.text.index("<h1>") :]) == (409, False)
    assert fields["uri"] in SECRET.findall(shown.text)
    assert qr_code("x" * MAX_BYTES)


def dark_modules(svg: str) -> list[list[bool]]:
    """The modules of a QR code that its path paints, without the quiet zone of four modules."""
    size = re.search(r'viewBox="0 0 (\d+) ', svg)
    path = re.search(r'stroke="#000" d="([^"]+)"', svg)
    assert size is not None
    assert path is not None
    side, x, y = int(size[1]) - 8, 0.0, 0.0
    modules = [[False] * side for _ in range(side)]
    for command, values in re.findall(r"([Mmh])([-\d. ]+)", path[1]):
        numbers = [float(value) for value in re.findall(r"-?[\d.]+", values)]
        if command == "h":
            for column in range(int(x), int(x + numbers[0])):
                modules[int(y) - 4][column - 4] = True
            x += numbers[0]
        else:
            dx, dy = numbers
            x, y = (dx, dy) if command == "M" else (x + dx, y + dy)
    return modules


def test_a_form_for_a_secret_that_is_sent_twice_is_refused_the_second_time(logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    fields = {"name": "Till", "scopes": ["orders:read"], "password": PASSWORD, "submission": "once"}
    assert SECRET.search(browser.post("/account/api-keys/", fields).text) is not None
    again = browser.submit("/account/api-keys/", fields).text
    assert "is not shown again" in again
    (number,) = re.findall(r"/account/api-keys/(\d+)/revoke/", again)

    rotation = {"password": PASSWORD, "submission": "rotated"}
    assert SECRET.search(browser.post(f"/account/api-keys/{number}/rotate/", rotation).text) is not None
    assert "is not shown again" in browser.submit(f"/account/api-keys/{number}/rotate/", rotation).text


def test_the_export_is_a_file(logged_in: Callable[..., Browser]) -> None:
    exported = logged_in().post("/account/data/export/")
    assert exported.headers["content-disposition"] == 'attachment; filename="account.json"'
    assert "orders" in exported.json()


def test_a_deleted_account_is_logged_out(logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    assert browser.post("/account/data/deletion/", {"password": "wrong"}).status_code == 400
    assert "The account is deleted." in browser.submit("/account/data/deletion/", {"password": PASSWORD}).text
    assert "session" not in browser.cookies


@pytest.mark.parametrize("path", ["/verify-email/", "/reset-password/"])
def test_a_token_that_is_not_valid_is_refused(anybody: Browser, path: str) -> None:
    assert anybody.send("GET", path.rstrip("/")).status_code == 308
    refused = anybody.post(path, {"token": "nothing", "new_password": "nine small teapots"}, page=path)
    assert refused.status_code == 400
    assert 'id="token-errors"' in refused.text
