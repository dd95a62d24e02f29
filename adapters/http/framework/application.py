"""The HTTP application, from operations."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Lifespan

from adapters.http.framework.auth import Authenticate
from adapters.http.framework.etags import content_etag, is_current
from adapters.http.framework.example import Example
from adapters.http.framework.index_page import landing_routes
from adapters.http.framework.middleware import Envelope, Shortcut
from adapters.http.framework.openapi import document
from adapters.http.framework.operation import Operation
from adapters.http.framework.routing import Directory, SlashRedirect, routes_of
from adapters.http.framework.swagger_ui import docs_routes


class Application(Starlette):
    """Starlette with one piece in place of its middleware, which `Envelope` does without."""

    shortcut: Shortcut | None = None

    def build_middleware_stack(self) -> ASGIApp:
        return Envelope(Directory(self.router), shortcut=self.shortcut)


def application(
    operations: Iterable[Operation[Any, Any]],
    *,
    authenticate: Authenticate,
    version: str,
    currency: str = "USD",
    lifespan: Lifespan[Starlette] | None = None,
    shortcut: Shortcut | None = None,
    examples: Mapping[str, Example] | None = None,
    guide: str = "",
) -> Starlette:
    listed = list(operations)
    app = Application(
        routes=[
            *routes_of(listed, authenticate),
            *landing_routes(version),
            *docs_routes(),
            *document_routes(
                msgspec.json.encode(
                    document(listed, version=version, examples=examples or {}, guide=guide, currency=currency)
                )
            ),
        ],
        lifespan=lifespan,
    )
    app.shortcut = shortcut
    # Starlette's own redirect makes an absolute address from the Host header, which the client chooses.
    app.router.redirect_slashes = False
    app.router.default = SlashRedirect(app.router, app.router.default)
    return app


def document_routes(encoded: bytes) -> list[BaseRoute]:
    etag = content_etag(encoded)

    async def openapi(request: Request) -> Response:
        headers = {"ETag": etag, "Cache-Control": "public, no-cache"}
        if is_current(request.headers, etag):
            return Response(status_code=304, headers=headers)
        return Response(encoded, headers=headers, media_type="application/json")

    return [Route("/openapi.json", openapi)]
