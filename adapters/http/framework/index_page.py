"""The index page `/`, with links to documentation and health checks."""

import base64
import hashlib
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5b6475; --page: #f7f6f2; --card: #fff; --line: #e3e0d8;
  --mark: #0b6e4f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaf0; --soft: #9aa3b5; --page: #14171d; --card: #1c2028; --line: #2c323d; --mark: #5fd0a5; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 2rem 1rem; color: var(--ink);
  background: var(--page); font: 1rem/1.55 system-ui, sans-serif; }
main { width: min(40rem, 100%); }
h1 { margin: 0; font-size: 2rem; letter-spacing: -.02em; }
h1 small { font-size: .9rem; font-weight: 400; color: var(--soft); letter-spacing: 0; }
p { margin: .5rem 0 1.5rem; color: var(--soft); }
ul { list-style: none; margin: 0; padding: 0; border: 1px solid var(--line); border-radius: .75rem;
  background: var(--card); overflow: hidden; }
li + li { border-top: 1px solid var(--line); }
a { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; padding: .8rem 1.1rem;
  color: inherit; text-decoration: none; }
a:hover, a:focus-visible { background: var(--page); }
code { color: var(--mark); font: .9rem ui-monospace, monospace; }
"""

LINKS: Final = (
    ("docs", "API documentation", "/docs"),
    ("openapi.json", "OpenAPI 3.1 document", "/openapi.json"),
    ("products/api/v1/", "Products", "/products/api/v1/"),
    ("readyz", "Readiness check", "/readyz"),
    ("healthz", "Liveness check", "/healthz"),
)


def index_routes(version: str) -> list[BaseRoute]:
    """The route of `/`."""
    page = _page(version)
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    async def landing(_request: Request) -> Response:
        return Response(page, headers={"Content-Security-Policy": policy}, media_type="text/html")

    return [Route("/", landing)]


def _page(version: str) -> bytes:
    links = "\n".join(
        f'<li><a href="{href}"><span>{escape(text)}</span><code>{escape(label)}</code></a></li>'
        for href, text, label in LINKS
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ScaleCommerce</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>ScaleCommerce <small>{escape(version)}</small></h1>
<p>A marketplace engine for many concurrent orders, with prices that follow demand.</p>
<ul>
{links}
</ul>
</main>
</body>
</html>
""".encode()
