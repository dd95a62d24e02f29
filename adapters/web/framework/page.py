"""Declarations of pages, and the requests and responses of their handlers.

A section of the pages is a class with one method per page or action, like the resources of the HTTP API:

    class OrderPages:
        @PageSpec(method="GET", path="/shop/orders/{id:int}/", access=Access.ACCOUNT)
        async def show_order(self, call: PageCall) -> Response:
            order = await call.api.get(f"/orders/api/v1/{call.id}/")
            return await call.render("shop/order.html", order=order)

Pages with the method GET change nothing. Actions have the method POST: a form with a form token
(`framework.form_tokens`), which works without scripts; they end with `call.redirect`.
"""

import gzip
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from attrs import define, field, frozen
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from adapters.web.framework import cookies
from adapters.web.framework.api_client import ApiClient, ApiProblem, encode_query
from adapters.web.framework.browser_sessions import BrowserSession, BrowserSessions
from adapters.web.framework.demo import DemoMarket
from adapters.web.framework.form_tokens import create_form_token
from adapters.web.framework.forms import NO_ERRORS, Form, FormErrors
from adapters.web.framework.languages import Language
from adapters.web.framework.templates import render
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.services.sessions import Identity

LOG_IN: Final = "/log-in/"
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With `no-referrer`, the policy of the API, browsers send `Origin: null` with forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "private, no-store",
    "Vary": "Accept-Encoding, Accept-Language, Cookie",
}
MIN_COMPRESSED: Final = 1_000
"""Bytes. Smaller pages are sent as they are."""
MAX_FLASH: Final = 3_500
"""Characters of an encoded message for the next page: browsers drop cookies of more than 4 kB."""


class Access(StrEnum):
    """Who may request a page. The API decides about each object that the page reads or changes."""

    PUBLIC = "public"
    ACCOUNT = "account"
    """Everybody who is logged in; others are sent to the log-in page."""
    STAFF = "staff"
    """Staff; others get a 403."""


class Tone(StrEnum):
    """The kind of a message to the reader."""

    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


class Flash(msgspec.Struct):
    """A message that the next page shows once."""

    tone: Tone
    text: str


@frozen
class Features:
    """What this installation offers."""

    shop: bool = False
    """The demo storefront at `/shop/`."""
    demo: DemoMarket | None = None
    """One-click log-ins and moving prices on `/`."""
    version: str = ""
    currency: str = "USD"
    promise: PricePromise = field(factory=PricePromise)
    """Which prices that a reader has seen orders may still use."""
    takes_sandbox_payments: bool = False
    """The payment gateway moves no money: pages offer its outcomes."""


@define
class PageCall:
    """One request for a page, with everything that its handler needs."""

    request: Request
    session: BrowserSession | None
    sessions: BrowserSessions
    api: ApiClient
    language: Language
    form: Form
    """The submitted fields of an action; empty for a page."""
    features: Features
    flash: Flash | None = None
    _browser_secret: str = field(default="", repr=False)
    """The value of the cookie that the form token is derived from."""
    _is_new_browser: bool = False
    """Whether the response must set that cookie."""

    @property
    def identity(self) -> Identity | None:
        """The caller; None if nobody is logged in."""
        return None if self.session is None else self.session.identity

    @property
    def id(self) -> int:
        """The path parameter `id`."""
        return int(self.request.path_params["id"])

    @property
    def path(self) -> str:
        return self.request.url.path

    @property
    def query(self) -> QueryParams:
        return self.request.query_params

    @property
    def theme(self) -> str:
        """`light`, `dark`, or `auto` for that of the reader's system."""
        chosen = cookies.THEME.read(self.request)
        return chosen if chosen in {"light", "dark"} else "auto"

    @property
    def here(self) -> str:
        """Path and query of this page, to return to it."""
        query = self.request.url.query
        return f"{self.path}?{query}" if query else self.path

    def gettext(self, message: str) -> str:
        return self.language.gettext(message)

    @cached_property
    def submission(self) -> str:
        """A random value for a form of this page (`forms.SUBMISSION`)."""
        return secrets.token_urlsafe(16)

    def form_token(self) -> str:
        return create_form_token(self._browser_secret)

    def query_values(self, *names: str) -> dict[str, str]:
        """The query parameters of these names that are present, for the API's lists."""
        return {name: value for name in names if (value := self.query.get(name, "").strip())}

    async def render(
        self, template: str, *, status: int = 200, errors: FormErrors = NO_ERRORS, **context: Any
    ) -> Response:
        """Render a template in a thread, so that other requests continue."""
        names = {"page": self, "errors": errors, "form": self.form, **context}
        text = await run_in_threadpool(render, template, self.language, names)
        return self.respond(text, status)

    def respond(self, text: str, status: int = 200) -> Response:
        """A response with this HTML document."""
        content, headers = text.encode(), {**SECURITY_HEADERS, "Content-Language": self.language.code}
        if len(content) >= MIN_COMPRESSED and "gzip" in self.request.headers.get("accept-encoding", ""):
            content = gzip.compress(content, 5, mtime=0)
            headers["Content-Encoding"] = "gzip"
        response = Response(content, status, headers, "text/html")
        if self._is_new_browser:
            cookies.VISITOR.write(self.request, response, self._browser_secret)
        if self.flash is not None:
            cookies.FLASH.delete(self.request, response)
        return response

    def redirect(self, target: str, message: str = "", tone: Tone = Tone.SUCCESS) -> Response:
        """Send the browser to a path of this site with a GET request; the next page shows `message`."""
        location = quote(target if is_local(target) else "/", safe="/?&=%#:+,;@!$'()*~-._")
        response = Response(status_code=HTTPStatus.SEE_OTHER, headers={**SECURITY_HEADERS, "Location": location})
        if message:
            cookies.FLASH.write(self.request, response, encode_flash(tone, message))
        return response

    def refuse(self, target: str, problem: ApiProblem) -> Response:
        """Redirect to `target`, which shows the message of a problem: for actions without fields to correct."""
        return self.redirect(target, problem.detail, Tone.ERROR)

    def to_log_in(self) -> Response:
        """Send the browser to the log-in page, which returns it to this page."""
        target = self.here if self.request.method in {"GET", "HEAD"} else _local_referrer(self.request)
        return self.redirect(f"{LOG_IN}?{encode_query({'next': target})}")


PageHandler = Callable[[Any, PageCall], Awaitable[Response]]
BoundHandler = Callable[[PageCall], Awaitable[Response]]
Method = TypeVar("Method", bound=PageHandler)


@frozen(kw_only=True)
class PageSpec:
    """The declaration of a page or an action, used as the decorator of its handler."""

    method: str
    """GET or POST."""
    path: str
    access: Access

    def __call__(self, handler: Method) -> Method:
        setattr(handler, _SPEC, self)
        return handler


_SPEC: Final = "__page_spec__"


@frozen(kw_only=True)
class Page(PageSpec):
    """A declared page with its bound handler."""

    handler: BoundHandler
    name: str


def pages_of(section: object) -> list[Page]:
    """The pages of a section, in the order in which its class defines them."""
    return [
        Page(method=spec.method, path=spec.path, access=spec.access, handler=getattr(section, name), name=name)
        for name, method in vars(type(section)).items()
        if isinstance(spec := getattr(method, _SPEC, None), PageSpec)
    ]


def encode_flash(tone: Tone, text: str) -> str:
    """A message as the value of a cookie, shortened if it is too long for one."""
    encoded = quote(msgspec.json.encode(Flash(tone, text)), safe="")
    while len(encoded) > MAX_FLASH:
        # A letter takes 1 to 12 characters, so the share that fits is an estimate.
        text = f"{text[: min(len(text) - 2, len(text) * MAX_FLASH // len(encoded))]}…"
        encoded = quote(msgspec.json.encode(Flash(tone, text)), safe="")
    return encoded


def is_local(target: str) -> bool:
    """Whether a redirection to `target` stays on this site."""
    try:
        parts = urlsplit(target)
    except ValueError:
        # Such as an address with a bracket of IPv6 that is not closed.
        return False
    return (
        not parts.scheme
        and not parts.netloc
        and target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and target.isprintable()
    )


def _local_referrer(request: Request) -> str:
    """The page with the form that was submitted, without its host."""
    try:
        parts = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return "/"
    return (f"{parts.path}?{parts.query}" if parts.query else parts.path) if parts.path.startswith("/") else "/"


class CursorLinks:
    """Links to the neighbours of a page of an API list, for `{next, previous, results}`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.next = _cursor(document.get("next"))
        self.previous = _cursor(document.get("previous"))
        self.results: Sequence[Any] = document["results"]


def _cursor(link: str | None) -> str | None:
    return None if link is None else parse_qs(urlsplit(link).query)["cursor"][0]
