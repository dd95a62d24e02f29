"""An engine with demo data, a browser, and pages that fail the test if anything goes wrong in them."""

from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Protocol

import pytest
from attrs import frozen
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.browser import screenshots
from tests.browser.chromium import ThisMachine, find, launch
from tests.browser.page_faults import PageFaults
from tests.integration.engine_process import EngineProcess
from tests.integration.process_logs import log_tails

Theme = Literal["light", "dark"]
Screen = Literal["desktop", "phone", "narrow"]

SIZES: Final[dict[Screen, tuple[int, int]]] = {"desktop": (1280, 800), "phone": (390, 844), "narrow": (320, 640)}
"""Width and height in CSS pixels. A phone also has a touch screen."""

LOCALES: Final = {"en": "en-GB", "ru": "ru-RU"}
PATIENCE_MS: Final = 60_000
"""How long Playwright waits for an element or a page; long, for busy machines."""


@frozen
class Variant:
    """How a page is shown."""

    theme: Theme = "light"
    locale: str = "en"
    screen: Screen = "desktop"
    javascript: bool = True

    def suffix(self) -> str:
        """The parts that differ from the default, for names of files."""
        parts = [
            self.theme if self.theme != "light" else "",
            self.locale if self.locale != "en" else "",
            self.screen if self.screen != "desktop" else "",
            "" if self.javascript else "plain",
        ]
        return "".join(f"-{part}" for part in parts if part)


class OpenPage(Protocol):
    def __call__(
        self,
        path: str | None = None,
        *,
        theme: Theme = "light",
        locale: str = "en",
        screen: Screen = "desktop",
        javascript: bool = True,
        scale: float = 1,
        cookies_of: Page | None = None,
    ) -> Page:
        """Open a page in a browser context of its own; a path is one of the engine.

        `scale` is in device pixels per CSS pixel. The context has no cookies, or those of another page, so that a test
        logs in once to see a page in several variants.
        """


class TakeShot(Protocol):
    def __call__(self, page: Page, name: str, *, mask: tuple[str, ...] = (), compared: bool = True) -> Path:
        """Write a picture of the window to the directory of --shots, and return its path.

        The name gets the variant as its suffix. If `compared`, what the picture shows must agree with the stored
        thumbnail. `mask` selects what is live; it is covered in the comparison only.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("screenshots")
    group.addoption(
        "--shots", type=Path, metavar="DIR", help="directory for the screenshots (default: a temporary one)"
    )
    group.addoption("--update-shots", action="store_true", help="store the thumbnails instead of comparing with them")


_outcome: Final = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_outcome] = report.failed
    return report


@pytest.fixture(scope="session")
def failing_seams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory whose files name the calls that fail in the engine; see `engine_faults.py`."""
    return tmp_path_factory.mktemp("failing-seams")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory, failing_seams: Path) -> Iterator[EngineProcess]:
    """The whole engine with demo data and visitors, as `make run` starts it, on a free port."""
    running = EngineProcess(
        tmp_path_factory.mktemp("engine"),
        "--demo",
        FAILPOINTS=f"fail={failing_seams}",
        WEBHOOKS_ALLOW_LOOPBACK="true",
        # Orders are parked by failing decisions of workers.
        DECIDE_AT_INTAKE="false",
    )
    try:
        yield running
    finally:
        running.end()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program, reasons = find(ThisMachine())
    if program is None:
        pytest.fail("\n".join(["No browser starts; `make browser` installs one.", *reasons]), pytrace=False)
    with sync_playwright() as playwright:
        running = launch(playwright, program)
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="session")
def shots_directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen: Path | None = request.config.getoption("--shots", None)
    directory = chosen or tmp_path_factory.mktemp("shots")
    directory.mkdir(parents=True, exist_ok=True)
    return directory.absolute()


@pytest.fixture(scope="session")
def blank(browser: Browser) -> Iterator[Page]:
    """An empty page to compute in."""
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture
def faults() -> PageFaults:
    """What went wrong in the pages of this test; a test that provokes a fault calls `faults.expect`."""
    return PageFaults()


class Pages:
    """The pages that a test has opened."""

    def __init__(self, browser: Browser, origin: str, faults: PageFaults) -> None:
        self._browser = browser
        self._origin = origin
        self._faults = faults
        self._variants: dict[BrowserContext, Variant] = {}

    def open(
        self,
        path: str | None = None,
        *,
        theme: Theme = "light",
        locale: str = "en",
        screen: Screen = "desktop",
        javascript: bool = True,
        scale: float = 1,
        cookies_of: Page | None = None,
    ) -> Page:
        width, height = SIZES[screen]
        context = self._browser.new_context(
            base_url=self._origin,
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            has_touch=screen == "phone",
            is_mobile=screen == "phone",
            color_scheme=theme,
            locale=LOCALES.get(locale, locale),
            timezone_id="UTC",
            java_script_enabled=javascript,
            # Pictures and measurements of contrast must not catch a transition half-way.
            reduced_motion="reduce",
            storage_state=cookies_of.context.storage_state() if cookies_of is not None else None,
        )
        self._variants[context] = Variant(theme, locale, screen, javascript)
        context.set_default_timeout(PATIENCE_MS)
        self._faults.watch(context, self._origin)
        page = context.new_page()
        if path is not None:
            page.goto(path)
        return page

    def name(self, page: Page, name: str) -> str:
        """The name of a picture, with the variant that the page shows."""
        return name + self._variants[page.context].suffix()

    def all(self) -> list[Page]:
        return [page for context in self._variants for page in context.pages]

    def close(self) -> None:
        for context in self._variants:
            context.close()


@pytest.fixture
def pages(
    request: pytest.FixtureRequest, browser: Browser, engine: EngineProcess, faults: PageFaults, shots_directory: Path
) -> Iterator[Pages]:
    opened = Pages(browser, engine.url, faults)
    yield opened
    for page in opened.all():
        faults.settle(page)
    if request.node.stash.get(_outcome, False):
        for number, page in enumerate(opened.all(), 1):
            path = shots_directory / f"failed-{request.node.name.replace('/', '_')}-{number}.png"
            with suppress(PlaywrightError):
                screenshots.capture(page, path=path)
                request.node.add_report_section("teardown", "screenshot", f"{page.url}: {path}")
    # Before the contexts are closed, which ends open streams.
    problems = faults.problems()
    opened.close()
    logs = log_tails() if any("status of 5" in problem for problem in problems) else ""
    assert not problems, "Faults in the pages of this test:\n  " + "\n  ".join(problems) + logs


@pytest.fixture
def open_page(pages: Pages) -> OpenPage:
    return pages.open


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """An empty page: English, light, on a desktop."""
    return open_page()


@pytest.fixture
def shot(request: pytest.FixtureRequest, pages: Pages, blank: Page, shots_directory: Path) -> TakeShot:
    def take(page: Page, name: str, *, mask: tuple[str, ...] = (), compared: bool = True) -> Path:
        name = pages.name(page, name)
        path = shots_directory / f"{name}.png"
        png = screenshots.capture(page, path=path)
        if compared:
            size = page.viewport_size
            assert size is not None
            if mask:
                png = screenshots.capture(page, mask=[page.locator(selector) for selector in mask])
            levels = screenshots.thumbnail(png, size["width"], size["height"], blank)
            screenshots.compare(name, levels, path, update=request.config.getoption("--update-shots", default=False))
        return path

    return take
