"""The forms of a page as a browser without scripts offers and sends them."""

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

from attrs import define, field
from httpx2 import Response

from tests.unit.support.browser import Browser

_FIELDS: Final = {"input", "select", "textarea", "button"}


@define
class PlainForm:
    """A form with the values that a browser would send if the reader changed nothing."""

    action: str
    """The path that it is sent to."""
    method: str
    encoding: str
    values: dict[str, list[str]] = field(factory=dict)
    names: set[str] = field(factory=set)
    """The fields that the reader can fill in."""
    buttons: list[tuple[str, str]] = field(factory=list)
    """Name and value of each button; empty if it has none."""
    other_actions: set[str] = field(factory=set)
    """The paths that single buttons send the form to."""

    def filled(self, values: Mapping[str, str | Sequence[str]], press: tuple[str, str] | None) -> dict[str, list[str]]:
        """What the browser sends after the reader has filled in these values and pressed a button: `press` with this
        name and value, otherwise the first one.
        """
        missing = set(values) - self.names
        assert not missing, f"the form of {self.action} has no field {missing}; it has {sorted(self.names)}"
        name, value = press or self.buttons[0]
        assert (name, value) in self.buttons, f"the form of {self.action} has no button {name}={value}"
        filled = {each: [text] if isinstance(text, str) else list(text) for each, text in values.items()}
        return {**self.values, **filled, **({name: [value]} if name else {})}


class _Forms(HTMLParser):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self.forms: list[PlainForm] = []
        self._by_id: dict[str, PlainForm] = {}
        self._open: PlainForm | None = None
        self._select: tuple[PlainForm, str] | None = None
        self._area: tuple[PlainForm, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            path = urlsplit(given.get("action", "")).path or self._path
            self._open = PlainForm(path, given.get("method", "get").lower(), given.get("enctype", ""))
            self.forms.append(self._open)
            if "id" in given:
                self._by_id[given["id"]] = self._open
        elif tag == "option" and self._select is not None:
            selecting, name = self._select
            if "selected" in given or name not in selecting.values:
                selecting.values[name] = [given.get("value", "")]
        form = self._by_id.get(given["form"]) if "form" in given else self._open
        if tag in _FIELDS and form is not None and "disabled" not in given:
            self._add(tag, given, form)

    def _add(self, tag: str, given: Mapping[str, str], form: PlainForm) -> None:
        name, kind = given.get("name", ""), given.get("type", "text")
        if tag == "button":
            if given.get("type", "submit") == "submit":
                form.buttons.append((name, given.get("value", "")))
                if "formaction" in given:
                    form.other_actions.add(given["formaction"])
            return
        if not name:
            return
        if kind != "hidden":
            form.names.add(name)
        if tag == "select":
            self._select = form, name
        elif tag == "textarea":
            self._area, form.values[name] = (form, name), [""]
        elif kind in {"checkbox", "radio"}:
            if "checked" in given:
                form.values.setdefault(name, []).append(given.get("value", "on"))
        elif kind != "file":
            form.values.setdefault(name, []).append(given.get("value", ""))

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            form, name = self._area
            form.values[name][0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None


def forms_of(html: str, path: str) -> Sequence[PlainForm]:
    """The forms of a page at this path."""
    parser = _Forms(path)
    parser.feed(html)
    return parser.forms


def send_form(
    browser: Browser,
    shown: Response,
    action: str,
    values: Mapping[str, str | Sequence[str]] | None = None,
    *,
    press: tuple[str, str] | None = None,
    file: tuple[str, bytes] | None = None,
) -> Response:
    """Fill in and send the form of the page `shown` that goes to `action`, and load the page that follows.

    `press` chooses among forms and buttons by the name and value of the button, or of a hidden field. `file` is a
    field with its content.
    """
    offered = [
        form
        for form in forms_of(shown.text, shown.url.path)
        if form.method == "post" and action in {form.action, *form.other_actions}
    ]
    assert offered, f"{shown.url.path} ({shown.status_code}) offers no form that is sent to {action}"
    form = offered[0]
    if press is not None:
        name, value = press
        form = next(each for each in offered if press in each.buttons or each.values.get(name) == [value])
    data = form.filled(values or {}, press if press in form.buttons else None)
    assert data.get("form_token"), f"the form of {action} has no token"
    files = None if file is None else {file[0]: ("file.csv", file[1])}
    assert (form.encoding == "multipart/form-data") == (file is not None)
    response = browser.send("POST", action, data=data, files=files, headers={"Sec-Fetch-Site": "same-origin"})
    return browser.get(response.headers["location"]) if response.has_redirect_location else response
