"""Requests for pages: form tokens, origins, access, errors and headers."""

from collections.abc import Callable
from urllib.parse import unquote

import msgspec
import pytest

from adapters.web.framework.page import MAX_FLASH, Flash, Tone, encode_flash, is_local
from adapters.web.framework.templates import link_to
from scalecommerce_core.domain.errors import Unavailable
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import Marketplace

SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://localhost"},
    ],
)
def test_forms_of_other_sites_are_refused(anybody: Browser, headers: dict[str, str]) -> None:
    data = {"form_token": anybody.token(), "theme": "dark"}
    response = anybody.send("POST", "/preferences/", data=data, headers=headers)
    assert response.status_code == 403
    assert "theme" not in anybody.cookies


def test_a_form_of_this_site_is_accepted_with_either_header(anybody: Browser) -> None:
    for headers in ({"Origin": "http://localhost"}, SAME, {}):
        data = {"form_token": anybody.token(), "theme": "dark"}
        assert anybody.send("POST", "/preferences/", data=data, headers=headers).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "AAAA" * 11, "ä"])
def test_a_form_without_its_token_is_refused_and_says_what_to_do(anybody: Browser, token: str) -> None:
    anybody.get("/")
    response = anybody.send("POST", "/preferences/", data={"form_token": token}, headers=SAME)
    assert response.status_code == 403
    assert "load the page again" in response.text


def test_the_token_of_another_reader_is_refused(site: Marketplace, anybody: Browser) -> None:
    other = Browser(site.client)
    response = anybody.send("POST", "/preferences/", data={"form_token": other.token()}, headers=SAME)
    assert response.status_code == 403


def test_each_page_has_another_token(anybody: Browser) -> None:
    assert anybody.token() != anybody.token()


def test_pages_have_a_policy_without_inline_parts(anybody: Browser) -> None:
    response = anybody.get("/")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers.get_list("content-security-policy") == [policy]
    assert response.headers.get_list("referrer-policy") == ["same-origin"]
    assert response.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("prefix", ["/shop", "/seller", "/admin"])
def test_unknown_pages_are_pages(anybody: Browser, prefix: str) -> None:
    response = anybody.get(f"{prefix}/nothing/here/")
    assert response.status_code == 404
    assert "There is no such page." in response.text
    redirect = anybody.send("GET", f"{prefix}/nothing?x=1")
    assert redirect.headers["location"] == f"{prefix}/nothing/?x=1"


def test_other_unknown_paths_are_problems_of_the_api(anybody: Browser) -> None:
    assert anybody.get("/nothing/here/").headers["content-type"] == "application/problem+json"


def test_head_has_the_headers_of_get_and_no_body(anybody: Browser) -> None:
    assert anybody.send("HEAD", "/").content == b""
    assert anybody.send("HEAD", "/").status_code == 200


def test_other_methods_are_refused_with_those_that_exist(anybody: Browser) -> None:
    response = anybody.send("DELETE", "/log-in/")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")
    assert anybody.send("GET", "/log-out/").status_code == 405


def test_pages_of_another_account_need_a_new_page_after_the_log_in(logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    # The visitor's token ended with the log-in.
    assert "visitor" not in browser.cookies
    assert "Log out" in browser.get("/").text


def test_large_pages_are_compressed_for_those_who_accept_it(anybody: Browser) -> None:
    plain = anybody.get("/", headers={"Accept-Encoding": "identity"})
    packed = anybody.get("/", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert "<main" in packed.text


@pytest.mark.parametrize(
    ("cookie", "text"), [("%7B%22tone%22%3A%22error%22%2C%22text%22%3A%22%3Cb%3E%22%7D", "&lt;b&gt;"), ("nonsense", "")]
)
def test_the_message_for_the_next_page_is_escaped_and_shown_once(anybody: Browser, cookie: str, text: str) -> None:
    anybody.cookies["flash"] = cookie
    assert text in anybody.get("/").text
    assert "<b>" not in anybody.get("/").text


def test_cookies_are_for_https_outside_loopback(site: Marketplace) -> None:
    response = site.client.get("https://shop.example/")
    site.client.cookies.clear()
    (cookie,) = response.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-visitor=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    (cookie,) = site.client.get("http://127.0.0.1/").headers.get_list("set-cookie")
    site.client.cookies.clear()
    assert cookie.startswith("visitor=")
    assert "Secure" not in cookie
    assert "HttpOnly" in cookie


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", True),
        ("/a?b=c", True),
        ("", False),
        ("a", False),
        ("//a", False),
        ("/\\a", False),
        ("/a\n", False),
        ("http:/a", False),
        ("//[", False),
        ("http://[", False),
        ("//\u2100.example", False),
    ],
)
def test_only_paths_of_this_site_are_local(target: str, expected: bool) -> None:
    assert is_local(target) is expected


def test_static_files_are_kept_for_ever_under_the_digest_of_their_content(anybody: Browser) -> None:
    path = anybody.get("/").text.split('rel="stylesheet" href="')[1].split('"')[0]
    response = anybody.get(path)
    assert response.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in response.headers["cache-control"]
    other = anybody.get(path.replace(path.split("/")[2], "0" * 12))
    assert other.headers["cache-control"] == "public, no-cache"
    assert anybody.get(path, headers={"If-None-Match": response.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("name", ["%2e%2e/page.js", "..%2fframework%2fpage.py", "style.css/", "nothing.css", ".hidden"])
def test_only_static_files_are_served(anybody: Browser, name: str) -> None:
    assert anybody.send("GET", f"/static/x/{name}").status_code == 404


def test_a_referrer_that_is_no_address_leads_to_the_start_page(anybody: Browser) -> None:
    data = {"form_token": anybody.token()}
    response = anybody.send("POST", "/account/", data=data, headers={**SAME, "Referer": "http://["})
    assert response.headers["location"] == "/log-in/?next=%2F"


@pytest.mark.parametrize("cookie", ['"a\\000b.c"', "a", "a.", ".b", "a.b.c", "a" * 300 + ".b", "a.b c"])
def test_a_cookie_that_is_no_session_is_not_looked_up(
    site: Marketplace, anybody: Browser, monkeypatch: pytest.MonkeyPatch, cookie: str
) -> None:
    monkeypatch.setattr(type(site.market.sessions), "continue_by_cookie", lambda *_: pytest.fail("it was looked up"))
    assert anybody.send("GET", "/", headers={"Cookie": f"session={cookie}"}).status_code == 200


@pytest.mark.parametrize("flash", ["x", "%ff", "%7B%22tone%22:1%7D", f"%7B%22a%22:{'[' * 5_000}"])
def test_a_cookie_that_is_no_message_is_ignored(anybody: Browser, flash: str) -> None:
    assert anybody.send("GET", "/", headers={"Cookie": f"flash={flash}"}).status_code == 200


@pytest.mark.parametrize("text", ["", "short", "x" * 5_000, "я" * 5_000, "\U0001f600" * 5_000, '"' * 5_000])
def test_a_message_fits_into_a_cookie(text: str) -> None:
    encoded = encode_flash(Tone.ERROR, text)
    assert len(encoded) <= MAX_FLASH
    shown = msgspec.json.decode(unquote(encoded), type=Flash).text
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]) and len(encoded) > MAX_FLASH * 0.9)


@pytest.mark.parametrize("path", ["/", "/shop/nothing/"])
def test_a_session_that_cannot_be_read_is_an_outage(
    site: Marketplace, logged_in: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("The database cannot be reached.")

    monkeypatch.setattr(type(site.market.sessions), "continue_by_cookie", fail)
    cookies = {"session": f"{logged_in().cookies['session']}x"}
    response = Browser(site.client, cookies).send("GET", path)
    assert (response.status_code, response.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "The database cannot be reached." in response.text
    assert "set-cookie" not in response.headers or "session" not in response.headers["set-cookie"]


def test_a_link_may_have_a_parameter_of_any_name() -> None:
    assert link_to("/shop/", path="x", query=["a", "b"]) == "/shop/?path=x&query=a&query=b"
