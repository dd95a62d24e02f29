"""Checks a page with axe-core: the rules of WCAG 2 A and AA, and axe's best practices."""

from collections.abc import Sequence
from typing import Any, Final

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

_RUN: Final = """exclude => axe.run(
    exclude.length ? {exclude: exclude.map(selector => [selector])} : document, {resultTypes: ["violations"]})"""


def assert_accessible(page: Page, *, exclude: Sequence[str] = ()) -> None:
    """Fail with every violation of the page as it is shown now. `exclude` selects parts that are not checked.

    The page needs JavaScript, because axe does; a page that is opened without it never answers.
    """
    # Evaluated by the debugger, which no Content-Security-Policy restricts.
    page.evaluate(AXE_SCRIPT)
    violations = page.evaluate(_RUN, list(exclude))["violations"]
    assert not violations, f"axe finds faults in {page.url}:\n" + "\n".join(map(_describe, violations))


def _describe(violation: dict[str, Any]) -> str:
    parts = [f"  {violation['id']} ({violation['impact']}): {violation['help']}"]
    for node in violation["nodes"]:
        parts.append(f"    {' '.join(map(str, node['target']))}: {node['html'][:200]}")
        messages = [check["message"] for check in (*node["any"], *node["all"], *node["none"])]
        parts += [f"      {message}" for message in messages]
    return "\n".join(parts)
