"""What goes wrong in a page while a test drives it: script errors, CSP violations, requests that fail."""

import re
from typing import Final
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request
from playwright.sync_api import Error as PlaywrightError

# Also reports violations of policies that only report, which no console message tells.
_REPORT_VIOLATIONS: Final = """
document.addEventListener("securitypolicyviolation", violation => reportPolicyViolation(
    `${violation.effectiveDirective} forbids ${violation.blockedURI || "inline"} in ${violation.documentURI}`));
"""


class PageFaults:
    """The faults of all pages of a test. Each must be expected, and each expectation must be met."""

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._expected: list[str] = []

    def watch(self, context: BrowserContext, origin: str) -> None:
        """Record the faults of every page of the context, and its requests to other origins."""
        context.expose_binding("reportPolicyViolation", lambda _, text: self._seen.append(f"policy: {text}"))
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("console", self._note_message)
        context.on("weberror", lambda error: self._seen.append(f"script: {error.error}"))
        context.on("requestfailed", self._note_failure)
        context.on("request", lambda request: self._note_origin(request, origin))

    def expect(self, pattern: str) -> None:
        """Declare that the test causes faults that contain a match of the pattern, at least one."""
        self._expected.append(pattern)

    def problems(self) -> list[str]:
        """Return the faults that are not expected, and the expectations that were not met."""
        unexpected = [fault for fault in self._seen if not any(re.search(one, fault) for one in self._expected)]
        unmet = [one for one in self._expected if not any(re.search(one, fault) for fault in self._seen)]
        return [*unexpected, *(f"expected, but not seen: {one}" for one in unmet)]

    @staticmethod
    def settle(page: Page) -> None:
        """Wait until the page has run what is due and its events have arrived."""
        if not page.is_closed():
            try:
                page.wait_for_timeout(50)
            except PlaywrightError:  # it was closed meanwhile
                return

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "assert"}:
            self._seen.append(f"console: {message.text} ({message.location['url']})")

    def _note_failure(self, request: Request) -> None:
        # Chromium aborts requests that a navigation or a download makes superfluous.
        if request.failure != "net::ERR_ABORTED":
            self._seen.append(f"request: {request.failure} {request.method} {request.url}")

    def _note_origin(self, request: Request, origin: str) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and f"{parts.scheme}://{parts.netloc}" != origin:
            self._seen.append(f"origin: {request.method} {request.url} leaves {origin}")
