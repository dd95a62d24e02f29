"""Every page, and what its forms answer, is accessible, works by keyboard and fits a screen of 320 px.

A page that is not listed here fails the tests. One browser context per theme and language reads an area, and each page
is checked in one of them: the parts of pages are shared, so each part is seen in both.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Final
from uuid import uuid4

import pytest
from attrs import Factory, frozen
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from playwright.sync_api import Locator, Page

from adapters.security.one_time_passwords import DIGITS, STEP_SECONDS
from adapters.web.app import all_pages
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import SIZES, OpenPage, Screen, Theme
from tests.browser.keyboard import assert_keyboard_reaches_everything
from tests.browser.layout import assert_no_horizontal_scroll
from tests.browser.page_faults import PageFaults
from tests.integration.engine_process import EngineProcess, eventually

VARIANTS: Final[Sequence[tuple[Theme, str]]] = (("light", "ru"), ("dark", "en"))
"""Theme and language; the pages of an area have them in turns."""
NO_PAGES: Final = {"/seller/products/export/"}
"""GET routes that answer with a file."""
ROWS: Final = 8
"""Rows of each table that axe and the keyboard check."""
_SHORTEN: Final = """rows => document.querySelectorAll("tbody").forEach(
    body => [...body.rows].slice(rows).forEach(row => row.remove()))"""
PASSWORD: Final = "nine small teapots"
CSV: Final = b"sku,name,category,price,stock\nA-1,Tea pot,home_appliances,20.00,3\nA-2,,home_appliances,-1,3\n"


class Reader(Enum):
    """Who reads an area of the pages."""

    ANYONE = auto()
    NEWCOMER = auto()
    """A new account."""
    BUYER = auto()
    SELLER = auto()
    STAFF = auto()


@frozen
class Listed:
    """A page: its route, the object that it shows by its name in `objects`, and its query."""

    route: str
    shows: str = ""
    query: str = ""

    def address(self, objects: Mapping[str, object]) -> str:
        path = re.sub(r"\{id:int\}", lambda _: str(objects[self.shows]), self.route)
        return path + self.query.format_map(objects)


PAGES: Final[Mapping[Reader, Sequence[Listed]]] = {
    Reader.ANYONE: (
        Listed("/"),
        Listed("/log-in/"),
        Listed("/sign-up/"),
        Listed("/forgot-password/"),
        Listed("/reset-password/"),
        Listed("/verify-email/"),
        Listed("/shop/", query="?search=kettle"),
        Listed("/shop/products/{id:int}/", "product"),
        Listed("/shop/products/{id:int}/prices/", "product"),
    ),
    Reader.BUYER: (
        Listed("/shop/basket/"),
        Listed("/shop/orders/"),
        Listed("/shop/orders/{id:int}/", "order"),
    ),
    Reader.NEWCOMER: (
        Listed("/account/"),
        Listed("/account/email/"),
        Listed("/account/data/"),
        Listed("/account/password/"),
        Listed("/account/sessions/"),
        Listed("/account/second-factor/"),
        Listed("/account/api-keys/"),
        Listed("/account/api-keys/{id:int}/rotate/", "key"),
    ),
    Reader.SELLER: (
        Listed("/seller/"),
        Listed("/seller/products/"),
        Listed("/seller/products/new/"),
        Listed("/seller/products/import/"),
        Listed("/seller/products/{id:int}/", "product"),
        Listed("/seller/products/{id:int}/edit/", "product"),
        Listed("/seller/products/{id:int}/withdraw/", "product"),
        Listed("/seller/policies/"),
        Listed("/seller/policies/new/"),
        Listed("/seller/policies/new/", query="?kind=elasticity_learning"),
        Listed("/seller/policies/{id:int}/", "policy"),
        Listed("/seller/policies/{id:int}/edit/", "policy"),
        Listed("/seller/policies/stop/"),
        Listed("/seller/runs/"),
        Listed("/seller/runs/{id:int}/", "run"),
        Listed("/seller/runs/{id:int}/roll-back/", "run"),
        Listed("/seller/promotions/"),
        Listed("/seller/promotions/new/"),
        Listed("/seller/promotions/{id:int}/", "promotion"),
        Listed("/seller/sales/"),
        Listed("/seller/webhooks/"),
        Listed("/seller/webhooks/{id:int}/", "webhook"),
    ),
    Reader.STAFF: (
        Listed("/admin/"),
        Listed("/admin/pricing-stop/"),
        Listed("/admin/bulk/", query="?solution=deactivate_product&id={product}"),
        Listed("/admin/orders/"),
        Listed("/admin/orders/{id:int}/", "order"),
        Listed("/admin/products/"),
        Listed("/admin/products/{id:int}/", "product"),
        Listed("/admin/products/{id:int}/stock/", "product"),
        Listed("/admin/categories/"),
        Listed("/admin/users/"),
        Listed("/admin/users/{id:int}/", "buyer"),
        Listed("/admin/users/{id:int}/appoint-staff/", "buyer"),
        Listed("/admin/policies/"),
        Listed("/admin/policies/{id:int}/", "policy"),
        Listed("/admin/runs/"),
        Listed("/admin/runs/{id:int}/", "run"),
        Listed("/admin/webhooks/"),
        Listed("/admin/webhooks/{id:int}/", "webhook"),
        Listed("/admin/deliveries/"),
        Listed("/admin/audit/"),
    ),
}


@frozen
class Sent:
    """A form that a reader fills in and sends, whose answer is checked as a page. The browser does not validate it."""

    page: Listed
    action: str
    """The path that the form is sent to; `{id}` is that of the object."""
    values: Mapping[str, str | bytes | bool] = Factory(dict)
    """Texts of fields, bytes of files, and whether a box is checked, by the names of the fields."""
    status: int = 400


FORMS: Final[Mapping[Reader, Sequence[Sent]]] = {
    Reader.ANYONE: (
        Sent(Listed("/log-in/"), "/log-in/", {"email": "nobody@example.com", "password": "wrong"}, 401),
        Sent(Listed("/sign-up/"), "/sign-up/", {"email": "x", "password": "short"}),
        Sent(Listed("/reset-password/"), "/reset-password/", {"token": "x", "new_password": "short"}),
        Sent(Listed("/verify-email/"), "/verify-email/", {"token": "x"}),
    ),
    Reader.NEWCOMER: (
        Sent(Listed("/account/"), "/account/", {"display_name": "x" * 300}),
        Sent(Listed("/account/email/"), "/account/email/", {"email": "x"}),
        Sent(Listed("/account/data/"), "/account/data/deletion/", {"password": "wrong"}),
        Sent(Listed("/account/password/"), "/account/password/", {"old_password": "wrong", "new_password": "short"}),
        Sent(Listed("/account/second-factor/"), "/account/second-factor/", {"password": "wrong"}),
        Sent(Listed("/account/api-keys/"), "/account/api-keys/"),
        Sent(Listed("/account/api-keys/{id:int}/rotate/", "key"), "/account/api-keys/{id}/rotate/"),
    ),
    Reader.BUYER: (
        Sent(Listed("/shop/products/{id:int}/", "product"), "/shop/basket/add/", {"quantity": "2"}, 200),
        Sent(
            Listed("/shop/orders/{id:int}/", "order"),
            "/shop/orders/{id}/pay/",
            {"payment_method": "sandbox-declined"},
            200,
        ),
    ),
    Reader.SELLER: (
        Sent(Listed("/seller/products/new/"), "/seller/products/new/", {"price": "-1"}),
        Sent(Listed("/seller/products/{id:int}/edit/", "product"), "/seller/products/{id}/edit/", {"name": ""}),
        Sent(Listed("/seller/products/{id:int}/", "product"), "/seller/products/{id}/price/", {"price": "-1"}, 200),
        Sent(Listed("/seller/products/import/"), "/seller/products/import/", {"file": CSV}, 200),
        Sent(Listed("/seller/products/import/"), "/seller/products/import/", {"file": b"\xff"}),
        Sent(Listed("/seller/policies/new/", query="?kind=elasticity_learning"), "/seller/policies/new/"),
        Sent(Listed("/seller/policies/{id:int}/edit/", "policy"), "/seller/policies/{id}/edit/", {"name": ""}),
        Sent(Listed("/seller/promotions/new/"), "/seller/promotions/new/"),
        Sent(Listed("/seller/webhooks/"), "/seller/webhooks/", {"url": "x"}),
        Sent(Listed("/seller/webhooks/"), "/seller/webhooks/", {"url": "http://localhost:9/more"}, 200),
    ),
    Reader.STAFF: (
        Sent(Listed("/admin/bulk/", query="?solution=activate_product&id={product}"), "/admin/bulk/", status=200),
        Sent(Listed("/admin/categories/"), "", {"name": ""}),
        Sent(Listed("/admin/products/{id:int}/", "product"), "", {"price": "-1"}),
        Sent(Listed("/admin/users/{id:int}/appoint-staff/", "buyer"), "", {"password": "wrong"}),
    ),
}


@pytest.fixture(scope="module")
def objects(engine: EngineProcess) -> Mapping[str, object]:
    """What the pages show, by its name in the table: rows of the demo, and a promotion, a webhook and an order."""
    tokens = {role: engine.token(email) for role, email in engine.log_ins().items()}

    def ask(role: str, path: str, body: object = None, **headers: str) -> Any:
        status, answer = engine.request(path, token=tokens[role], body=body, **headers)
        assert status < 300, answer
        return answer

    def first(role: str, path: str) -> Any:
        return next(iter(ask(role, path)["results"]), None)

    def moving_run() -> int | None:
        # Others may be replaced by the next run with the same result.
        runs = ask("seller", "/pricing/api/v1/runs/")["results"]
        return next((run["id"] for run in runs if run["written"]), None)

    product = first("seller", "/products/api/v1/?search=copper+kettle")["id"]
    promoted = ask("seller", "/products/api/v1/", {"name": "Tea cosy", "category_id": 1, "price": "20.00", "stock": 9})
    ends_at = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    promotion = ask("seller", "/pricing/api/v1/promotions/", {
        "name": "Winter", "ends_at": ends_at, "percent": 20, "products": [{"product": promoted["id"]}],
    })  # fmt: skip
    # Nothing listens there, so its deliveries fail.
    webhook = ask("seller", "/webhooks/api/v1/", {"url": "http://localhost:9/hooks"})
    return {
        "product": product,
        "order": ask("buyer", "/orders/api/v1/", {"order_item": [{"product": product, "quantity": 1}]})["id"],
        "buyer": ask("buyer", "/users/api/v1/me/")["id"],
        "policy": first("seller", "/pricing/api/v1/policies/")["id"],
        "promotion": promotion["id"],
        "run": eventually(moving_run, "a run that moves a price"),
        "webhook": webhook["id"],
    }


@frozen
class Inspection:
    """Checks the pages of an area, and collects their faults, so that one run reports all of them."""

    pages: list[Page]
    """One per variant, with the log-in of the reader."""
    found: list[str] = Factory(list)

    def next_page(self) -> Page:
        self.pages.append(self.pages.pop(0))
        return self.pages[-1]

    def open(self, address: str) -> Page:
        page = self.next_page()
        response = page.goto(address)
        if response is None or response.status != 200:
            self.found.append(f"{address}: status {response and response.status}")
        return page

    def check(self, page: Page) -> None:
        for check in (_assert_fits_narrow_screen, _shorten, assert_accessible, assert_keyboard_reaches_everything):
            try:
                check(page)
            except AssertionError as fault:
                self.found.append(str(fault))

    def send(
        self, form: Locator, values: Mapping[str, str | bytes | bool], status: int, button: str = "button"
    ) -> None:
        """Fill in a form, send it as a browser would that does not validate it, and check the page that answers."""
        page = form.page
        for name, value in values.items():
            field = form.locator(f"[name={name}]").first
            if isinstance(value, bool):
                field.set_checked(value)
            elif isinstance(value, bytes):
                field.set_input_files({"name": "products.csv", "mimeType": "text/csv", "buffer": value})
            elif field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        form.evaluate("form => { form.noValidate = true }")
        with page.expect_response(lambda response: response.request.is_navigation_request() and not (
            300 <= response.status < 400)) as answered:  # fmt: skip
            form.locator(button).first.click()
        page.wait_for_load_state()
        if answered.value.status != status:
            self.found.append(f"the form of {page.url}: status {answered.value.status} instead of {status}")
        self.check(page)

    def finish(self) -> None:
        assert not self.found, "\n".join(self.found)


def _shorten(page: Page) -> None:
    """Remove table rows after the first `ROWS`: they repeat the same elements, and the time of axe grows with them."""
    page.evaluate(_SHORTEN, ROWS)


def _assert_fits_narrow_screen(page: Page) -> None:
    def resize(screen: Screen) -> None:
        width, height = SIZES[screen]
        page.set_viewport_size({"width": width, "height": height})

    resize("narrow")
    try:
        assert_no_horizontal_scroll(page)
    finally:
        resize("desktop")


def form_of(page: Page, action: str) -> Locator:
    """The form of the main part that is sent to `action`; without one, to the page itself."""
    return page.locator(f'main form[action="{action}"]' if action else "main form[method=post]:not([action])").first


def test_each_page_is_listed() -> None:
    listed = {page.route for pages in PAGES.values() for page in pages}
    assert listed == {page.path for page in all_pages() if page.method == "GET"} - NO_PAGES


@pytest.fixture
def inspect(engine: EngineProcess, open_page: OpenPage) -> Callable[[Reader], Inspection]:
    """Begin an inspection as a reader."""

    def begin(reader: Reader) -> Inspection:
        log_in = None
        if reader is Reader.NEWCOMER:
            log_in = open_page("/sign-up/?next=/account/")
            log_in.fill("#field-email", f"newcomer-{uuid4()}@example.com")
            log_in.fill("#field-password", PASSWORD)
        elif reader is not Reader.ANYONE:
            log_in = open_page("/log-in/?next=/account/")
            log_in.fill("#field-email", engine.log_ins()[reader.name.lower()])
            log_in.fill("#field-password", "admin")
        if log_in is not None:
            log_in.locator("main button.primary").click()
            log_in.wait_for_url("**/account/")
        pages = [open_page(theme=theme, locale=locale, cookies_of=log_in) for theme, locale in VARIANTS]
        for page in pages:
            page.on("dialog", lambda dialog: dialog.accept())
        return Inspection(pages)

    return begin


@pytest.mark.parametrize("reader", Reader, ids=lambda reader: reader.name.lower())
def test_pages_and_answers_to_forms_can_be_used_by_everybody(
    inspect: Callable[[Reader], Inspection], objects: Mapping[str, object], faults: PageFaults, reader: Reader
) -> None:
    inspection = inspect(reader)
    known = dict(objects)
    if reader is Reader.NEWCOMER:
        known["key"] = create_key(inspection)
    for listed in PAGES[reader]:
        inspection.check(inspection.open(listed.address(known)))
    for sent in FORMS[reader]:
        page = inspection.open(sent.page.address(known))
        action = sent.action.format(id=known.get(sent.page.shows))
        inspection.send(form_of(page, action), sent.values, sent.status)
    if any(sent.status >= 400 for sent in FORMS[reader]):
        faults.expect("status of 4")
    if reader is Reader.NEWCOMER:
        set_up_second_factor(inspection)
    inspection.finish()


def test_the_page_of_an_error_can_be_used_by_everybody(
    inspect: Callable[[Reader], Inspection], faults: PageFaults
) -> None:
    inspection = inspect(Reader.ANYONE)
    faults.expect("status of 404")
    page = inspection.next_page()
    page.goto("/shop/nothing/")
    inspection.check(page)
    inspection.finish()


def create_key(inspection: Inspection) -> int:
    """Create an API key, check the page with its secret, and return its id."""
    page = inspection.open("/account/api-keys/")
    form = form_of(page, "/account/api-keys/")
    inspection.send(form, {"name": "Warehouse", "scopes": True, "password": PASSWORD}, 200)
    page.goto("/account/api-keys/")
    link = page.locator("main a[href$='/rotate/']").get_attribute("href") or ""
    return int(link.split("/")[-3])


def set_up_second_factor(inspection: Inspection) -> None:
    """Check the pages with the QR code, with a wrong number, with the recovery codes, and of a factor that is on."""
    page = inspection.open("/account/second-factor/")
    inspection.send(form_of(page, "/account/second-factor/"), {"password": PASSWORD}, 200)
    assert page.locator(".qr-code svg").is_visible()
    confirmation = form_of(page, "/account/second-factor/confirm/")
    inspection.send(confirmation, {"code": "x"}, 400)
    secret = page.locator("[name=secret]").get_attribute("value") or ""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    code = TOTP(key, DIGITS, SHA1(), STEP_SECONDS).generate(int(datetime.now(UTC).timestamp()))  # noqa: S303 - as all apps
    inspection.send(confirmation, {"code": code.decode()}, 200)
    inspection.check(inspection.open("/account/second-factor/"))
