"""Pages as routes: sessions, form tokens, access rules, and errors as pages."""

import logging
import secrets
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import unquote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.web.framework import cookies
from adapters.web.framework.api_client import ApiClient, ApiProblem
from adapters.web.framework.browser_sessions import BrowserSession, BrowserSessions
from adapters.web.framework.form_tokens import is_form_token
from adapters.web.framework.forms import FORM_TOKEN, Form, read_form
from adapters.web.framework.languages import choose
from adapters.web.framework.origins import is_same_origin
from adapters.web.framework.page import Access, Features, Flash, Page, PageCall
from scalecommerce_core.domain.errors import MarketError

logger = logging.getLogger(__name__)


class Api:
    """The application with the API, which is known after the routes of the pages are built."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.app is None:
            raise RuntimeError("The pages were not connected to the API.")
        await self.app(scope, receive, send)


class PageEndpoint:
    """The ASGI application of one path: finds the session, checks access and form token, and calls the handler."""

    def __init__(self, pages: Mapping[str, Page], api: Api, sessions: BrowserSessions, features: Features) -> None:
        self._pages = pages
        self._api = api
        self._sessions = sessions
        self._features = features

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        context = self._api, self._sessions, self._features
        try:
            call = await create_call(request, *context)
        except MarketError as error:
            response = await render_outage(request, context, error)
            await response(scope, receive, _without_body(send) if request.method == "HEAD" else send)
            return
        try:
            response = await self._answer(request, call)
        except ClientDisconnect:
            return
        await response(scope, receive, _without_body(send) if request.method == "HEAD" else send)

    async def _answer(self, request: Request, call: PageCall) -> Response:
        """The page, or the page of an error; raise `ClientDisconnect`."""
        method = "GET" if request.method == "HEAD" else request.method
        try:
            return await self._respond(method, request, call)
        except ClientDisconnect:
            raise
        except ApiProblem as problem:
            return await self._respond_to_problem(method, call, problem)
        except HTTPException as error:
            return await render_error(call, error.status_code)
        except MarketError as error:
            logger.warning("a page failed: %s", error)
            text = call.language.translated(str(error))
            return await render_error(call, HTTPStatus.SERVICE_UNAVAILABLE, text)
        except Exception:
            # The reader gets a page; the middleware would send a problem document.
            logger.exception("unexpected error", extra={"method": request.method, "path": request.url.path})
            return await render_error(call, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _respond(self, method: str, request: Request, call: PageCall) -> Response:
        page = self._pages.get(method)
        if page is None:
            response = await render_error(call, HTTPStatus.METHOD_NOT_ALLOWED)
            response.headers["Allow"] = ", ".join(sorted({*self._pages, *({"HEAD"} if "GET" in self._pages else ())}))
            return response
        if method == "POST":
            if not is_same_origin(request):
                return await render_error(
                    call, HTTPStatus.FORBIDDEN, call.gettext("The form was sent by another site.")
                )
            call.form = await read_form(request)
            if not is_form_token(call.form.raw(FORM_TOKEN), call._browser_secret):  # noqa: SLF001 - it is this package's
                return await render_error(
                    call,
                    HTTPStatus.FORBIDDEN,
                    call.gettext("This form is out of date. Go back, load the page again and repeat what you entered."),
                )
        if page.access is not Access.PUBLIC and call.identity is None:
            return call.to_log_in()
        if page.access is Access.STAFF and call.identity is not None and not call.identity.is_staff:
            return await render_error(call, HTTPStatus.FORBIDDEN, call.gettext("Only staff may see this page."))
        return await page.handler(call)

    async def _respond_to_problem(self, method: str, call: PageCall, problem: ApiProblem) -> Response:
        if problem.status == HTTPStatus.UNAUTHORIZED and call.session is not None:
            # The session was revoked since it was read.
            self._sessions.forget(call.session.cookie)
            if method == "GET" and self._pages[method].access is Access.PUBLIC:
                anonymous = _call_of(call.request, None, self._api, self._sessions, self._features)
                response = await self._answer(call.request, anonymous)
            else:
                response = call.to_log_in()
            cookies.SESSION.delete(call.request, response)
            return response
        if problem.status == HTTPStatus.UNAUTHORIZED:
            return call.to_log_in()
        response = await render_error(call, problem.status, problem.detail)
        if "retry-after" in problem.headers:
            response.headers["Retry-After"] = problem.headers["retry-after"]
        return response


def page_routes(pages: Iterable[Page], api: Api, sessions: BrowserSessions, features: Features) -> list[BaseRoute]:
    """One route per path; raise `ValueError` if two pages have the same method and path."""
    paths: dict[str, dict[str, Page]] = {}
    for page in pages:
        methods = paths.setdefault(page.path, {})
        if page.method in methods:
            raise ValueError(f"{page.method} {page.path} is declared twice.")
        methods[page.method] = page
    return [Route(path, PageEndpoint(methods, api, sessions, features)) for path, methods in paths.items()]


class UnknownPage:
    """The ASGI application of all other paths below the prefixes of the pages: a redirection or a 404."""

    def __init__(self, api: Api, sessions: BrowserSessions, features: Features) -> None:
        self._context = api, sessions, features

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            call = await create_call(request, *self._context)
            if request.method in {"GET", "HEAD"} and not call.path.endswith("/"):
                # The paths of pages end with a slash.
                response = call.redirect(call.here.replace(call.path, f"{call.path}/", 1))
            else:
                response = await render_error(call, HTTPStatus.NOT_FOUND)
        except MarketError as error:
            response = await render_outage(request, self._context, error)
        await response(scope, receive, _without_body(send) if request.method == "HEAD" else send)


def unknown_page_routes(
    prefixes: Iterable[str], api: Api, sessions: BrowserSessions, features: Features
) -> list[BaseRoute]:
    """Routes for all paths below prefixes such as `/shop/`; they must be the last ones."""
    return [Route(f"{prefix}{{path:path}}", UnknownPage(api, sessions, features)) for prefix in prefixes]


async def create_call(request: Request, api: Api, sessions: BrowserSessions, features: Features) -> PageCall:
    """The call of a request: its session, language and flash message; raise `MarketError` if the session cannot be
    read.
    """
    return _call_of(request, await sessions.find(cookies.SESSION.read(request)), api, sessions, features)


async def render_outage(
    request: Request, context: tuple[Api, BrowserSessions, Features], error: MarketError
) -> Response:
    """The page for a reader whose session cannot be read, such as without the database."""
    logger.warning("a session could not be read: %s", error)
    call = _call_of(request, None, *context)
    return await render_error(call, HTTPStatus.SERVICE_UNAVAILABLE, call.language.translated(str(error)))


def _call_of(
    request: Request, session: BrowserSession | None, api: Api, sessions: BrowserSessions, features: Features
) -> PageCall:
    language = choose(cookies.LANGUAGE.read(request), request.headers.get("accept-language", ""))
    secret = session.cookie if session is not None else cookies.VISITOR.read(request)
    return PageCall(
        request,
        session,
        sessions,
        ApiClient(api, request.scope, None if session is None else session.access.token, language),
        language,
        Form({}),
        features,
        _read_flash(request),
        browser_secret=secret or secrets.token_urlsafe(24),
        is_new_browser=not secret,
    )


async def render_error(call: PageCall, status: int, detail: str = "") -> Response:
    """The page of an error: what went wrong, the detail of the API, and a link to the start page."""
    phrases = {
        HTTPStatus.BAD_REQUEST: call.gettext("The request is not valid."),
        HTTPStatus.REQUEST_TIMEOUT: call.gettext("What you sent arrived too slowly: try again."),
        HTTPStatus.NOT_FOUND: call.gettext("There is no such page."),
        HTTPStatus.FORBIDDEN: call.gettext("You may not do this."),
        HTTPStatus.METHOD_NOT_ALLOWED: call.gettext("This page cannot be used in this way."),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: call.gettext("What you sent is too large: at most 1 MB."),
        HTTPStatus.TOO_MANY_REQUESTS: call.gettext("Too many attempts: wait a moment, then try again."),
        HTTPStatus.INTERNAL_SERVER_ERROR: call.gettext("This page failed. The error is in the log of the server."),
        HTTPStatus.SERVICE_UNAVAILABLE: call.gettext("The shop is busy or being repaired: try again in a moment."),
    }
    title = phrases.get(HTTPStatus(status), call.gettext("The request was refused."))
    return await call.render("error.html", status=status, code=status, title=title, detail=detail)


def _read_flash(request: Request) -> Flash | None:
    text = cookies.FLASH.read(request)
    if not text:
        return None
    try:
        return msgspec.json.decode(unquote(text), type=Flash)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head
