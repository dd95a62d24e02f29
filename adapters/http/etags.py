"""Entity tags and the conditions that requests put on them (RFC 9110, section 13)."""

import hashlib
import re
from typing import Final

from starlette.datastructures import Headers

from adapters.http.problems import Problem, invalid

_ONE: Final = r'(?P<tag>(?:W/)?"[!#-~\x80-\xff]*")'
_TAG: Final = re.compile(_ONE)
_TAGS: Final = re.compile(rf"\s*{_ONE}(?:\s*,\s*{_ONE.replace('?P<tag>', '?:')})*\s*")
_VERSION: Final = re.compile(r'"v(?P<number>[0-9]{1,18})(?:-[0-9a-f]{16})?"')
ANY: Final = "*"


def version_etag(version: int) -> str:
    """Of a resource whose editions are numbered."""
    return f'"v{version}"'


def view_etag(version: int, *shown: str) -> str:
    """Of one view of such a resource, which also shows what is none of its editions: for If-Match they are all one."""
    digest = hashlib.blake2b("\0".join(shown).encode(), digest_size=8)
    return f'"v{version}-{digest.hexdigest()}"'


def content_etag(body: bytes) -> str:
    """Of bytes that are the same for everybody."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_current(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match names what we would send: answer 304 then."""
    given = _listed(headers, "if-none-match")
    return ANY in given or etag in {tag.removeprefix("W/") for tag in given}


def expected_version(headers: Headers) -> int | None:
    """The version that If-Match insists on; None: any. A tag that we never gave out is a 412 `Problem`."""
    if "if-match" not in headers:
        return None
    given = _listed(headers, "if-match")
    if given == [ANY]:
        return None
    if len(given) != 1:
        raise invalid({"If-Match": ["Give one entity tag in double quotes, or *."]})
    version = _VERSION.fullmatch(given[0])
    if version is None:
        raise Problem(412, "If-Match names an edition that does not exist: read the resource again.")
    return int(version["number"])


def _listed(headers: Headers, name: str) -> list[str]:
    """Entity tags, or `*`; nothing at all when one of them is none."""
    text = ",".join(headers.getlist(name)).strip()
    if text == ANY:
        return [ANY]
    return [match["tag"] for match in _TAG.finditer(text)] if _TAGS.fullmatch(text) else []
