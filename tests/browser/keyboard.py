"""Checks that a page can be used by keyboard: Tab reaches everything, and the focus can be seen."""

from typing import Any, Final

from playwright.sync_api import Page

BATCH: Final = 10
"""Presses of Tab between two questions to the page, which take most of the time of a check."""
PARTS_OF_A_DATE: Final = 8
"""Presses of Tab after which the focus must have left a field of a date or time.

In Chromium, Tab moves through its parts: day, month, year, hours, minutes, perhaps seconds and half of the day, and the
button of the calendar.
"""

# State of the check in the page, as evaluated functions keep none. It judges each press when the key comes up, because
# the focus has moved by then.
_BEGIN: Final = """([within, partsOfADate]) => {
    const interactive = `a[href], area[href], button, input:not([type=hidden]), select, textarea, summary,
        [tabindex], [contenteditable=""], [contenteditable=true]`;
    const hasParts = "input:is([type=date], [type=datetime-local], [type=month], [type=time], [type=week])";
    const root = document.querySelector(within);
    if (!root) return {error: `nothing matches ${within}`};
    const chosen = radio => radio.checked || ![...document.getElementsByName(radio.name)].some(
        other => other.form === radio.form && other.checked);
    const groups = new Set();
    const targets = [...root.querySelectorAll(interactive)].filter(element => {
        const isReachable = element.checkVisibility({visibilityProperty: true}) && !element.matches(":disabled")
            && element.tabIndex >= 0 && !element.closest("[inert]");
        if (!isReachable || element.type !== "radio" || !element.name) return isReachable;
        // Tab enters a group of radio buttons once; arrow keys select within it.
        const group = `${element.form?.id ?? ""} ${element.name}`;
        return chosen(element) && !groups.has(group) && groups.add(group);
    });
    const unreachable = [...root.querySelectorAll("[onclick], [role=button], [role=link], [role=tab]")].filter(
        element => element.checkVisibility({visibilityProperty: true}) && element.tabIndex < 0
            && !element.closest("[role=tablist], [inert]"));
    // The sign of the focus may be at the label of a field that is drawn by it, or around the element.
    const shown = element => [element, element.parentElement, element.nextElementSibling, ...(element.labels ?? [])]
        .filter(Boolean).flatMap(each => [look(each), look(each, "::before"), look(each, "::after")]).join("; ");
    const look = (element, part) => {
        const style = getComputedStyle(element, part);
        const outline = style.outlineStyle === "none" ? "none" : `${style.outlineStyle} ${style.outlineWidth}`;
        return [outline, style.boxShadow, style.backgroundColor, style.borderColor, style.borderWidth, style.color,
            style.textDecorationLine, style.textDecorationColor].join("; ");
    };
    document.activeElement?.blur();
    const name = element => `${element.outerHTML.split(">")[0]}> ${element.textContent.trim().slice(0, 40)}`;
    const unfocused = new Map(targets.map(target => [target, shown(target)]));
    const reached = new Set(), faults = [];
    let last = null, repeated = 0, isDone = false;
    const judge = event => {
        if (event.key !== "Tab" || isDone) return;
        const element = document.activeElement;
        repeated = element === last ? repeated + 1 : 0;
        last = element;
        if (element === document.body) return;
        if (repeated) {
            if (repeated < (element.matches(hasParts) ? partsOfADate : 1)) return;
            faults.push(`${name(element)}: keeps the focus when Tab is pressed`);
            isDone = true;
            return;
        }
        if (!unfocused.has(element)) return;
        if (reached.has(element)) {
            // Elements outside of `within` get the focus as well, so the end is the second visit of a target.
            isDone = true;
            return;
        }
        reached.add(element);
        const box = element.getBoundingClientRect();
        if (shown(element) === unfocused.get(element))
            faults.push(`${name(element)}: looks the same with the focus and without it`);
        else if (box.bottom <= 0 || box.right <= 0 || box.top >= innerHeight || box.left >= innerWidth)
            faults.push(`${name(element)}: is outside the window while it has the focus`);
    };
    addEventListener("keyup", judge, true);
    globalThis.keyboardCheck = {
        isDone: () => isDone,
        end: () => {
            removeEventListener("keyup", judge, true);
            delete globalThis.keyboardCheck;
            return [...faults, ...targets.filter(target => target.isConnected && !reached.has(target)).map(
                target => `${name(target)}: Tab does not reach it`)];
        },
    };
    const most = [...document.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]")].reduce(
        (sum, element) => sum + (element.matches(hasParts) ? partsOfADate : 1), 2);
    return {count: targets.length, most, unreachable: unreachable.map(name)};
}"""


def assert_keyboard_reaches_everything(page: Page, *, within: str = "body") -> int:
    """Press Tab through the page, and return how many elements it should reach.

    Fails if Tab misses a link, button or field that is visible in `within` (a selector), if the focus does not move
    on, if an element shows no sign of having the focus, or if it has the focus outside the window.
    """
    begun: dict[str, Any] = page.evaluate(_BEGIN, [within, PARTS_OF_A_DATE])
    assert "error" not in begun, f"{page.url}: {begun['error']}"
    faults = [f"{name}: cannot get the focus" for name in begun["unreachable"]]
    for _ in range(0, int(begun["most"]), BATCH):
        for _ in range(BATCH):
            page.keyboard.press("Tab")
        if page.evaluate("keyboardCheck.isDone()"):
            break
    faults += page.evaluate("keyboardCheck.end()")
    assert not faults, f"{page.url} cannot be used by keyboard:\n  " + "\n  ".join(faults)
    return int(begun["count"])
