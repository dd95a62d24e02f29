"""Checks that a page can be used by keyboard: Tab reaches everything, and the focus can be seen."""

from typing import Any, Final

from playwright.sync_api import Page

# State of the check in the page, as evaluated functions keep none.
_BEGIN: Final = """within => {
    const interactive = `a[href], area[href], button, input:not([type=hidden]), select, textarea, summary,
        [tabindex], [contenteditable=""], [contenteditable=true]`;
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
    globalThis.keyboardCheck = {
        targets, shown, name, unfocused: new Map(targets.map(target => [target, shown(target)])),
        reached: new Set(), last: null,
    };
    return {count: targets.length, unreachable: unreachable.map(name)};
}"""

_STEP: Final = """() => {
    const check = globalThis.keyboardCheck;
    const element = document.activeElement;
    const stuck = element === check.last && element !== document.body;
    check.last = element;
    if (!check.unfocused.has(element)) return {stuck: stuck ? check.name(element) : "", again: false, fault: ""};
    const again = check.reached.has(element);
    check.reached.add(element);
    const box = element.getBoundingClientRect();
    const name = check.name(element);
    let fault = "";
    if (check.shown(element) === check.unfocused.get(element))
        fault = `${name}: looks the same with the focus and without it`;
    else if (box.bottom <= 0 || box.right <= 0 || box.top >= innerHeight || box.left >= innerWidth)
        fault = `${name}: is outside the window while it has the focus`;
    return {stuck: stuck ? name : "", again, fault};
}"""

_MISSED: Final = """() => {
    const check = globalThis.keyboardCheck;
    delete globalThis.keyboardCheck;
    return check.targets.filter(target => target.isConnected && !check.reached.has(target)).map(check.name);
}"""


def assert_keyboard_reaches_everything(page: Page, *, within: str = "body") -> int:
    """Press Tab through the page, and return how many elements it reached.

    Fails if Tab misses a link, button or field that is visible in `within` (a selector), if the focus does not move
    on, if an element shows no sign of having the focus, or if it has the focus outside the window.
    """
    begun: dict[str, Any] = page.evaluate(_BEGIN, within)
    assert "error" not in begun, f"{page.url}: {begun['error']}"
    faults = [f"{name}: cannot get the focus" for name in begun["unreachable"]]
    # Elements outside `within` get the focus as well, so the end is the second visit of a target.
    others = page.evaluate(
        "document.querySelectorAll('a, button, input, select, textarea, summary, [tabindex]').length"
    )
    for _ in range(int(others) + 2):
        page.keyboard.press("Tab")
        step: dict[str, Any] = page.evaluate(_STEP)
        if step["stuck"]:
            faults.append(f"{step['stuck']}: keeps the focus when Tab is pressed")
            break
        if step["again"]:
            break
        if step["fault"]:
            faults.append(step["fault"])
    faults += [f"{name}: Tab does not reach it" for name in page.evaluate(_MISSED)]
    assert not faults, f"{page.url} cannot be used by keyboard:\n  " + "\n  ".join(faults)
    return int(begun["count"])
