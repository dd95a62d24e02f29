"""Log-in, log-out, sign-up and preferences."""

from collections.abc import Callable

import pytest

from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import PASSWORD, Marketplace


def test_a_log_in_returns_to_the_page_that_asked_for_it(site: Marketplace, anybody: Browser) -> None:
    account = site.account()
    fields = {"email": account.email, "password": PASSWORD, "next": "/docs?x=1"}
    response = anybody.post("/log-in/", fields, page="/log-in/")
    assert (response.status_code, response.headers["location"]) == (303, "/docs?x=1")
    assert "Log out" in anybody.get("/").text


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_a_log_in_redirects_to_this_site_only(site: Marketplace, anybody: Browser, target: str) -> None:
    fields = {"email": site.account().email, "password": PASSWORD, "next": target}
    assert anybody.post("/log-in/", fields, page="/log-in/").headers["location"] == "/"


def test_a_wrong_password_is_refused_as_by_the_api(site: Marketplace, anybody: Browser) -> None:
    email = site.account().email
    response = anybody.post("/log-in/", {"email": email, "password": "wrong"}, page="/log-in/")
    assert response.status_code == 401
    assert "No active account has this e-mail address and password." in response.text
    assert f'value="{email}"' in response.text
    assert "wrong" not in response.text
    assert "session" not in anybody.cookies


def test_each_log_in_gets_a_new_session_and_ends_the_former_one(
    site: Marketplace, logged_in: Callable[..., Browser]
) -> None:
    browser = logged_in()
    former = Browser(site.client, {"session": browser.cookies["session"]})
    account = site.account()
    fields = {"email": account.email, "password": PASSWORD}
    browser.cookies["visitor"] = "x"
    response = browser.post("/log-in/", fields)
    assert response.status_code == 303
    assert browser.cookies["session"] != former.cookies["session"]
    assert "Log out" not in former.get("/").text


def test_after_the_log_out_the_cookie_gives_no_access(site: Marketplace, logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    copy = Browser(site.client, dict(browser.cookies))
    assert "You are logged out." in browser.submit("/log-out/").text
    assert "session" not in browser.cookies
    assert "Log out" not in copy.get("/").text


def test_sessions_of_browsers_end_with_the_other_sessions_of_the_account(site: Marketplace, anybody: Browser) -> None:
    account = site.account()
    anybody.log_in(account.email, PASSWORD)
    assert "Log out" in anybody.get("/").text
    other = site.market.sessions.identify(site.market.accounts.log_in(account.email, PASSWORD).access)
    site.market.sessions.revoke_others(other)
    # The page learns from the API that the session has ended.
    response = anybody.send("POST", "/log-out/", data={"form_token": anybody.token()})
    assert response.headers["location"].startswith("/log-in/")
    assert "session" not in anybody.cookies


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("is_found", [True, False])
def test_a_public_page_is_anonymous_at_once_when_the_session_was_revoked(
    site: Marketplace, anybody: Browser, method: str, is_found: bool
) -> None:
    account = site.account()
    path = f"/shop/products/{site.person().list()['id'] if is_found else 999_999}/"
    anybody.log_in(account.email, PASSWORD)
    assert "Log out" in anybody.get(path).text
    other = site.market.sessions.identify(site.market.accounts.log_in(account.email, PASSWORD).access)
    site.market.sessions.revoke_others(other)
    response = anybody.send(method, path)
    assert response.status_code == (200 if is_found else 404)
    assert ("Log in" in response.text, "Log out" in response.text) == (method == "GET", False)
    assert "session" not in anybody.cookies
    # The form tokens of the page belong to the cookie that replaces that of the session.
    assert "visitor" in anybody.cookies


def test_a_log_in_replaces_a_session_that_has_ended(site: Marketplace, logged_in: Callable[..., Browser]) -> None:
    browser = logged_in()
    token = browser.token()
    ended = site.market.sessions.continue_by_cookie(browser.cookies["session"])
    site.market.sessions.log_out(ended.identity)
    account = site.account()
    fields = {"email": account.email, "password": PASSWORD, "form_token": token}
    response = browser.send("POST", "/log-in/", data=fields)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert account.email in browser.get("/account/email/").text


def test_a_sign_up_logs_in(anybody: Browser) -> None:
    fields = {"email": "new@example.com", "password": "three words here", "first_name": "<b>Ann</b>", "next": "/"}
    assert anybody.post("/sign-up/", fields, page="/sign-up/").status_code == 303
    assert "Log out" in anybody.get("/").text


def test_errors_of_a_sign_up_are_beside_their_fields(site: Marketplace, anybody: Browser) -> None:
    fields = {"email": site.account().email, "password": "three words here", "first_name": '"><script>'}
    response = anybody.post("/sign-up/", fields, page="/sign-up/")
    assert response.status_code == 400
    assert 'id="email-errors"' in response.text
    assert 'aria-describedby="email-errors"' in response.text
    assert "<script>" not in response.text


def test_language_and_theme_are_kept(anybody: Browser) -> None:
    page = anybody.submit("/preferences/", {"language": "ru", "theme": "dark", "next": "/log-in/"})
    assert '<html lang="ru" data-theme="dark">' in page.text
    assert "Электронная почта" in page.text
    page = anybody.submit("/preferences/", {"language": "xx", "theme": "pink", "next": "/"})
    assert '<html lang="ru" data-theme="dark">' in page.text
