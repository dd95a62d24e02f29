"""Building the ASGI application from operations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Lifespan

from adapters.http.framework.auth import Authenticate
from adapters.http.framework.etags import content_etag, is_current
from adapters.http.framework.example import Example
from adapters.http.framework.middleware import (
    DEFAULT_POLICY,
    BaselineMiddleware,
    ErrorListener,
    FastPath,
    RequestPolicy,
    ResponseListener,
)
from adapters.http.framework.openapi import build_document
from adapters.http.framework.operation import Operation
from adapters.http.framework.routing import ExactPathRouter, SlashRedirect, build_routes
from adapters.http.framework.swagger_ui import docs_routes


class Application(Starlette):
    """Starlette with `BaselineMiddleware` in place of its own middleware stack."""

    fast_path: FastPath | None = None
    on_error: ErrorListener | None = None
    policy: RequestPolicy = DEFAULT_POLICY
    on_response: ResponseListener | None = None
    fast_path_route: str | None = None

    def build_middleware_stack(self) -> ASGIApp:
        return BaselineMiddleware(
            ExactPathRouter(self.router),
            fast_path=self.fast_path,
            on_error=self.on_error,
            policy=self.policy,
            on_response=self.on_response,
            fast_path_route=self.fast_path_route,
        )


def build_application(
    operations: Iterable[Operation],
    *,
    authenticate: Authenticate,
    version: str,
    currency: str = "USD",
    lifespan: Lifespan[Starlette] | None = None,
    fast_path: FastPath | None = None,
    on_error: ErrorListener | None = None,
    examples: Mapping[str, Example] | None = None,
    guide: str = "",
    policy: RequestPolicy = DEFAULT_POLICY,
    pages: Sequence[BaseRoute] = (),
    on_response: ResponseListener | None = None,
    fast_path_route: str | None = None,
) -> Starlette:
    """Build the application: the operations, `/docs`, `/openapi.json`, and `pages` of another adapter.

    `examples` are by operation name; `guide` is Markdown that is appended to the description of the document;
    `currency` is that of amounts in the document. `fast_path` may respond before routing;
    `on_error` is called with each exception that ends a request, `on_response` with each response. `fast_path_route` is
    the template of the paths that `fast_path` answers.
    """
    operations = list(operations)
    app = Application(
        routes=[
            *build_routes(operations, authenticate),
            *docs_routes(),
            *openapi_routes(
                lambda: msgspec.json.encode(
                    build_document(operations, version=version, examples=examples or {}, guide=guide, currency=currency)
                )
            ),
            *pages,
        ],
        lifespan=lifespan,
    )
    app.fast_path, app.on_error, app.policy = fast_path, on_error, policy
    app.on_response, app.fast_path_route = on_response, fast_path_route
    # The redirect of Starlette builds an absolute URL from the Host header, which the client controls.
    app.router.redirect_slashes = False
    app.router.default = SlashRedirect(app.router, app.router.default)
    return app


def path_templates(routes: Iterable[BaseRoute]) -> list[str]:
    """The templates of the paths of these routes, each once, as a `ResponseListener` gets them."""
    return list(dict.fromkeys(route.path for route in routes if isinstance(route, Route)))


def openapi_routes(build: Callable[[], bytes]) -> list[BaseRoute]:
    """The route of `/openapi.json`, which serves the encoded document with an ETag.

    The document is built for the first request, in a thread: `build` takes about 60 ms, which few processes need.
    """

    @cache
    def document() -> tuple[bytes, str]:
        encoded = build()
        return encoded, content_etag(encoded)

    async def openapi(request: Request) -> Response:
        encoded, etag = await run_in_threadpool(document)
        headers = {"ETag": etag, "Cache-Control": "public, no-cache"}
        if is_current(request.headers, etag):
            return Response(status_code=304, headers=headers)
        return Response(encoded, headers=headers, media_type="application/json")

    return [Route("/openapi.json", openapi)]
