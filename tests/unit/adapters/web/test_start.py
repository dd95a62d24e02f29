"""The start page, and the log-ins of a demo."""

from collections.abc import Iterator

import pytest
from starlette.requests import Request

from adapters.web.framework.demo import DemoMarket, DemoProduct, is_on_this_machine
from adapters.web.framework.page import Features
from adapters.web.pages.start import path_values
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import PASSWORD, Marketplace, marketplace

EMAILS = {"buyer": "demo-buyer@example.com", "seller": "demo-seller@example.com"}


@pytest.fixture(scope="module")
def demo() -> Iterator[Marketplace]:
    products = [DemoProduct(1, "Copper <kettle>", "36.00", "20.00"), DemoProduct(99, "Withdrawn", "1.00", "2.00")]
    features = Features(shop=True, version="1.0", demo=DemoMarket(EMAILS, PASSWORD, products))
    with marketplace(features=features) as made:
        for email in EMAILS.values():
            made.account(email)
        made.person().list(name="Copper <kettle>", price="18.00", stock=5)
        yield made


def a_request(host: str, client: str) -> Request:
    return Request({
        "type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http", "server": ("x", 80),
        "headers": [(b"host", host.encode())], "client": (client, 1),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("host", "client", "is_here"),
    [
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("shop.example", "127.0.0.1", False),
        ("localhost", "203.0.113.7", False),
        ("localhost", "", False),
        ("[::1]:8000", "127.0.0.1", True),
    ],
)
def test_only_this_machine_that_is_named_as_such_logs_in(host: str, client: str, *, is_here: bool) -> None:
    assert is_on_this_machine(a_request(host, client)) == is_here


@pytest.mark.parametrize(
    ("origin", "is_here"),
    [("http://localhost", True), ("https://demo.example", False), ("http://localhost:81", False), ("null", False)],
)
def test_a_proxy_here_does_not_make_its_visitors_local(origin: str, *, is_here: bool) -> None:
    request = a_request("localhost", "127.0.0.1")
    request.scope["headers"].append((b"origin", origin.encode()))
    assert is_on_this_machine(request) == is_here


def test_a_demo_survives_its_setting() -> None:
    made = DemoMarket(EMAILS, PASSWORD, [DemoProduct(1, "Kettle", "36.00", "20.00")])
    assert DemoMarket.from_text(made.to_text()) == made


@pytest.mark.parametrize("text", ["{}", "true", "x"])
def test_another_text_is_no_demo(text: str) -> None:
    with pytest.raises(ValueError, match=r"missing required field|Expected|malformed"):
        DemoMarket.from_text(text)


def test_the_start_page_shows_the_prices_of_the_demo(demo: Marketplace) -> None:
    page = Browser(demo.client).get("/").text
    assert "Copper &lt;kettle&gt;" in page
    assert "$36.00" in page
    assert "-10%" in page
    assert "Withdrawn" not in page


def test_others_see_no_log_ins(demo: Marketplace) -> None:
    browser = Browser(demo.client)
    assert "/log-in/demo/" not in browser.get("/").text
    assert browser.post("/log-in/demo/", {"role": "buyer"}).status_code == 404


def test_one_click_logs_in_on_this_machine(demo: Marketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.web.pages.start.is_on_this_machine", lambda _: True)
    for role, target in (("buyer", "/shop/"), ("seller", "/seller/")):
        browser = Browser(demo.client)
        assert f'value="{role}"' in browser.get("/").text
        assert browser.post("/log-in/demo/", {"role": role}).headers["location"] == target
        assert "Log out" in browser.get("/shop/").text
    assert Browser(demo.client).post("/log-in/demo/", {"role": "staff"}).status_code == 404


def test_without_a_demo_there_is_no_such_log_in(site: Marketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.web.pages.start.is_on_this_machine", lambda _: True)
    browser = Browser(site.client)
    assert "/log-in/demo/" not in browser.get("/").text
    assert browser.post("/log-in/demo/", {"role": "buyer"}).status_code == 404


def test_a_single_price_is_a_line() -> None:
    assert path_values([{"price": "5.00"}]) == [5.0, 5.0]
    assert path_values([{"price": "6.00"}, {"price": "5.00"}]) == [5.0, 6.0]
