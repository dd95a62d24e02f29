"""The back office: staff solve each kind of trouble on the front page."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import OpenPage, TakeShot, Theme
from tests.browser.keyboard import assert_keyboard_reaches_everything
from tests.browser.layout import assert_no_horizontal_scroll
from tests.integration.engine_process import EngineProcess

LISTS = ("orders", "products", "categories", "users", "policies", "runs", "webhooks", "audit")


@pytest.fixture
def database(engine: EngineProcess) -> Iterator[psycopg.Connection[Any]]:
    """The database of the engine, for troubles that no request can make."""
    settings = json.loads((engine.data / "engine.json").read_text())["settings"]
    with psycopg.connect(settings["DATABASE_URL"].replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def staff(engine: EngineProcess, open_page: OpenPage) -> Page:
    """A page with the log-in of a member of staff."""
    page = open_page("/log-in/?next=/admin/")
    page.fill("#field-email", engine.log_ins()["staff"])
    page.fill("#field-password", "admin")
    page.locator("main button.primary").click()
    page.wait_for_url("**/admin/")
    return page


def make_troubles(database: psycopg.Connection[Any]) -> None:
    """A parked order, a refund that does not get back, a disabled webhook and a delayed e-mail."""
    database.execute(
        "UPDATE orders SET status = 'CREATED', decide_attempts = 5, decide_error = 'ArithmeticError: bad data',"
        " paid_at = NULL, expires_at = NULL WHERE id = (SELECT min(id) FROM orders WHERE status = 'CANCELLED')"
    )
    database.execute(
        "INSERT INTO payment_refunds (id, payment_id, reference, amount, currency, created_at, status, try_at, tries,"
        " trouble) SELECT gen_random_uuid(), id, reference, amount, currency, now() - interval '5 hours',"
        " 'OPEN', now() + interval '1 hour', 8, 'The gateway answered 500: internal error'"
        " FROM payments WHERE status = 'CAPTURED' ORDER BY order_id LIMIT 1"
    )
    database.execute(
        "INSERT INTO webhook_endpoints (id, owner_id, url, topics, secrets, description, all_events, is_active,"
        " disabled_because, failures, failing_since, created_at, version, verified_at)"
        " VALUES (900, 2, 'https://shop.example.com/hooks', '[]', '[]', '', false, false,"
        " 'The receiver failed for 3 days: 502 Bad Gateway', 40, now() - interval '3 days', now(), 1, now())"
    )
    database.execute(
        "INSERT INTO outgoing_emails (id, kind, recipient, account_id, created_at, try_at, attempts, trouble)"
        " VALUES (900, 'RESET_PASSWORD', 'kim@example.com', 9, now() - interval '3 hours', now() + interval '1 hour',"
        " 6, 'SMTPAuthenticationError 535')"
    )


def test_staff_solve_each_kind_of_trouble_on_the_front_page(
    staff: Page, open_page: OpenPage, shot: TakeShot, database: psycopg.Connection[Any]
) -> None:
    make_troubles(database)
    staff.goto("/admin/pricing-stop/")
    staff.get_by_role("button", name="Stop all pricing").click()
    for theme, locale, screen in (("light", "en", "desktop"), ("dark", "ru", "desktop"), ("light", "en", "narrow")):
        page = open_page("/admin/", theme=theme, locale=locale, screen=screen, cookies_of=staff)  # type: ignore[arg-type]
        assert_accessible(page)
        assert_no_horizontal_scroll(page)
        shot(page, "back-office-troubles", compared=False)
    for kind in ("parked_order", "stuck_refund", "pricing_stopped", "disabled_webhook", "delayed_email"):
        section = staff.locator(f"#{kind}")
        expect(section).to_be_visible()
        section.locator(".row-actions button").first.click()
        expect(staff.locator(".notice.success")).to_be_visible()

    def nothing_is_left() -> bool:
        staff.goto("/admin/")
        return staff.get_by_text("Nothing needs a person.").is_visible()

    for _ in range(60):
        if nothing_is_left():
            break
        staff.wait_for_timeout(1000)
    assert nothing_is_left()
    staff.goto("/admin/audit/")
    expect(staff.get_by_role("row").filter(has_text="Order requeued").first).to_be_visible()


@pytest.mark.parametrize(("theme", "locale"), [("light", "ru"), ("dark", "en")])
def test_the_lists_of_the_back_office_are_accessible(
    staff: Page, open_page: OpenPage, theme: Theme, locale: str
) -> None:
    page = open_page("/admin/", theme=theme, locale=locale, cookies_of=staff)
    for name in LISTS:
        page.goto(f"/admin/{name}/")
        assert_accessible(page)


def test_the_lists_of_the_back_office_fit_a_narrow_screen(staff: Page, open_page: OpenPage) -> None:
    page = open_page("/admin/", screen="narrow", cookies_of=staff)
    for name in LISTS:
        page.goto(f"/admin/{name}/")
        assert_no_horizontal_scroll(page)


def test_the_front_page_of_the_back_office_works_by_keyboard(staff: Page) -> None:
    assert assert_keyboard_reaches_everything(staff) > 0


def test_an_account_is_deactivated_without_javascript(staff: Page, open_page: OpenPage) -> None:
    page = open_page("/admin/users/8/", javascript=False, cookies_of=staff)
    page.get_by_label("Reason").fill("Asked for it by phone.")
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_text("The account is deactivated")).to_be_visible()

    page.get_by_label("Reason").fill("Changed their mind.")
    page.get_by_role("button", name="Reactivate").click()

    expect(page.get_by_text("The account is active again.")).to_be_visible()
