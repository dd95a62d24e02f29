"""Styles and scripts of the pages. Their addresses contain a digest of the content, so browsers may keep them."""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from attrs import frozen
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

DIRECTORY: Final = Path(__file__).parent.parent / "static"
ROOT: Final = "/static/"
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOREVER: Final = "public, max-age=31536000, immutable"


@frozen
class StaticFile:
    """A file with its compressed form."""

    media_type: str
    digest: str
    plain: bytes
    compressed: bytes


@cache
def files() -> Mapping[str, StaticFile]:
    """The files by path below `static`, read at the first use. Only these are served."""
    found = {}
    for path in sorted(DIRECTORY.rglob("*")):
        if path.is_file() and path.suffix in MEDIA_TYPES:
            plain = path.read_bytes()
            digest = hashlib.sha256(plain).hexdigest()[:12]
            name = path.relative_to(DIRECTORY).as_posix()
            found[name] = StaticFile(MEDIA_TYPES[path.suffix], digest, plain, gzip.compress(plain, 9, mtime=0))
    return found


def static_url(name: str) -> str:
    """The address of a file; raise `KeyError` if there is none."""
    return f"{ROOT}{files()[name].digest}/{name}"


async def serve_static_file(request: Request) -> Response:
    """The file of the path `/static/<digest>/<name>`, whatever the digest is."""
    file = files().get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    headers = {
        "Content-Type": file.media_type,
        "Vary": "Accept-Encoding",
        # A module that another one imports has the digest of the importing one in its address.
        "Cache-Control": FOREVER if request.path_params["digest"] == file.digest else "public, no-cache",
        "ETag": f'"{file.digest}"',
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.plain, headers=headers)
