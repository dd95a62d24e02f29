"""The back office: staff solve each kind of trouble on the front page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Locator, Page, expect

from scalecommerce_core.queries import TroubleKind
from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import OpenPage, TakeShot
from tests.browser.engine_faults import EngineFaults
from tests.browser.keyboard import assert_keyboard_reaches_everything
from tests.browser.layout import assert_no_horizontal_scroll
from tests.integration.engine_process import EngineProcess, eventually
from tests.integration.receiver import Receiver, answering, receiving

BUTTONS: Final = {
    TroubleKind.PARKED_ORDER: "Decide again",
    TroubleKind.STUCK_PAYMENT: "Ask the gateway now",
    TroubleKind.STUCK_REFUND: "Send again now",
    TroubleKind.DISABLED_WEBHOOK: "Enable",
    TroubleKind.DELAYED_EMAIL: "Send now",
}


@pytest.fixture
def engine_faults(engine: EngineProcess, failing_seams: Path) -> Iterator[EngineFaults]:
    faults = EngineFaults(engine, failing_seams)
    yield faults
    faults.repair()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def staff(engine: EngineProcess, open_page: OpenPage) -> Page:
    """A page with the log-in of a member of staff."""
    page = open_page("/log-in/?next=/admin/")
    page.fill("#field-email", engine.log_ins()["staff"])
    page.fill("#field-password", "admin")
    page.locator("main button.primary").click()
    page.wait_for_url("**/admin/")
    return page


def trouble(staff: Page, kind: TroubleKind) -> Locator:
    """The part of the front page about one kind of trouble, which must be there."""
    staff.goto("/admin/")
    section = staff.locator(f"#{kind}")
    expect(section).to_be_visible()
    return section


def test_staff_solve_each_kind_of_trouble_on_the_front_page(
    staff: Page, open_page: OpenPage, shot: TakeShot, engine_faults: EngineFaults, receiver: Receiver
) -> None:
    engine_faults.make_all(receiver)
    for theme, locale, screen in (("light", "en", "desktop"), ("dark", "ru", "desktop"), ("light", "en", "narrow")):
        page = open_page("/admin/", theme=theme, locale=locale, screen=screen, cookies_of=staff)  # type: ignore[arg-type]
        assert_accessible(page)
        assert_no_horizontal_scroll(page)
        shot(page, "back-office-troubles", compared=False)
    staff.goto("/admin/")
    assert assert_keyboard_reaches_everything(staff) > len(TroubleKind)
    for kind in set(TroubleKind) - {TroubleKind.PRICING_STOPPED}:
        trouble(staff, kind)

    receiver.act = answering(200)
    for kind, button in BUTTONS.items():
        trouble(staff, kind).get_by_role("button", name=button).first.click()
        expect(staff.locator(".notice.success")).to_be_visible()
    # Orders of the demo's visitors are parked as well.
    while staff.locator("#parked_order").count():
        staff.locator("#parked_order").get_by_role("button", name="Decide again").first.click()
        expect(staff.locator(".notice.success")).to_be_visible()
    trouble(staff, TroubleKind.RUN_AWAITING_APPROVAL).get_by_role("link", name="Review").first.click()
    staff.get_by_role("button", name="Approve").click()
    expect(staff.locator(".notice.success")).to_be_visible()
    trouble(staff, TroubleKind.FAILED_RUN).get_by_role("row").filter(has_text="Clearance").get_by_role(
        "link", name="See the run and its policy"
    ).click()
    expect(staff.get_by_text("The views of product 17 are negative")).to_be_visible()
    staff.get_by_role("link", name=re.compile(r"^policy \d")).click()
    staff.get_by_role("button", name="Switch off").click()
    expect(staff.get_by_text("The policy is changed.")).to_be_visible()
    staff.goto("/admin/pricing-stop/")
    staff.get_by_role("button", name="Stop all pricing").click()
    engine_faults.repair()
    trouble(staff, TroubleKind.PRICING_STOPPED).get_by_role("button", name="Resume pricing").click()
    # Without the actions, payment and refund would be tried again only after some minutes.
    eventually(lambda: not engine_faults.troubles(), "a market without troubles")
    staff.goto("/admin/")
    expect(staff.get_by_text("Nothing needs a person.")).to_be_visible()
    staff.goto("/admin/audit/")
    expect(staff.get_by_role("row").filter(has_text="Order requeued").first).to_be_visible()


def test_an_account_is_deactivated_without_javascript(staff: Page, open_page: OpenPage) -> None:
    page = open_page("/admin/users/8/", javascript=False, cookies_of=staff)
    page.get_by_label("Reason").fill("Asked for it by phone.")
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_text("The account is deactivated")).to_be_visible()

    page.get_by_label("Reason").fill("Changed their mind.")
    page.get_by_role("button", name="Reactivate").click()

    expect(page.get_by_text("The account is active again.")).to_be_visible()
