"""`/docs`: Swagger UI for the OpenAPI document. All files come from this server; the page loads nothing else."""

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapters.http.framework.etags import content_etag, is_current
from adapters.http.framework.problems import Problem

# This wheel contains the files of Swagger UI. It is made for Flask; the package is located but never imported.
PACKAGE: Final = "flask_swagger_ui"

FILES: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
"""Files of Swagger UI in the installed package."""
PAGE_FILES: Final = {"page.css": "text/css", "theme.js": "text/javascript", "start.js": "text/javascript"}
"""Files in the folder `docs_page` beside this module."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; "
    # Swagger UI uses inline styles.
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ScaleCommerce API</title>
<link rel="icon" href="data:,">
<script src="docs/theme.js"></script>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/page.css">
</head>
<body>
<div id="browser"></div>
<noscript>This page requires JavaScript; the <a href="openapi.json">OpenAPI document</a> does not.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""


@frozen
class Asset:
    """A static file, also in gzip compression."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str


def docs_routes() -> list[BaseRoute]:
    """The routes of the page and its files."""
    return [Route("/docs", _page), Route("/docs/{name}", _asset)]


async def _page(_request: Request) -> Response:
    return Response(PAGE, headers={"Content-Security-Policy": POLICY}, media_type="text/html")


# Not async, so Starlette runs it in a thread: the first request of a file reads and compresses it.
def _asset(request: Request) -> Response:
    asset = _load(request.path_params["name"])
    headers = {"ETag": asset.etag, "Cache-Control": "public, max-age=3600", "Vary": "Accept-Encoding"}
    if is_current(request.headers, asset.etag):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


@cache
def _load(name: str) -> Asset:
    if name in PAGE_FILES:
        content, media_type = (Path(__file__).parent / "docs_page" / name).read_bytes(), PAGE_FILES[name]
    elif name in FILES:
        content, media_type = (_package_folder() / name).read_bytes(), FILES[name]
    else:
        raise Problem(404, "There is no resource at this URL.")
    return Asset(content, gzip.compress(content, 6, mtime=0), media_type, content_etag(content))


def _package_folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Problem(404, "Swagger UI is not installed: run `pip install 'scalecommerce[server]'`.")
    return Path(spec.submodule_search_locations[0]) / "dist"
