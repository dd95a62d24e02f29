"""Entity tags and the conditions that requests put on them (RFC 9110, section 13)."""

import hashlib
import re
from typing import Final

from attrs import frozen
from starlette.datastructures import Headers

from adapters.http.framework.problems import Problem, invalid_fields

_TAG_PATTERN: Final = r'(?P<tag>(?:W/)?"[!#-~\x80-\xff]*")'
_TAG: Final = re.compile(_TAG_PATTERN)
_TAG_LIST: Final = re.compile(rf"\s*{_TAG_PATTERN}(?:\s*,\s*{_TAG_PATTERN.replace('?P<tag>', '?:')})*\s*")
_VERSION: Final = re.compile(
    r'"v(?P<number>[0-9]{1,18})(?:-p(?P<price>[0-9]{1,12}))?(?:-s(?P<stock>[0-9]{1,12}))?(?:-[0-9a-f]{16})?"'
)
WILDCARD: Final = "*"


@frozen
class EntityTag:
    """The version and figures that an entity tag names, of the representation that the client has read.

    `price` (in minor units) and `stock` are the figures that were shown; None: the tag does not say. Tags of other
    resources, of other people's views, and of releases before 0.2.0 name fewer.
    """

    version: int
    price: int | None = None
    stock: int | None = None


def version_etag(version: int) -> str:
    """Of a resource whose editions are numbered."""
    return f'"v{version}"'


def view_etag(edition: EntityTag, *shown: str) -> str:
    """The entity tag of one view of such a resource; all views of one version match the same If-Match.

    The tag contains the figures in clear, so that an edit with If-Match can be compared with them.
    """
    digest = hashlib.blake2b("\0".join(shown).encode(), digest_size=8)
    price = "" if edition.price is None else f"-p{edition.price}"
    stock = "" if edition.stock is None else f"-s{edition.stock}"
    return f'"v{edition.version}{price}{stock}-{digest.hexdigest()}"'


def content_etag(body: bytes) -> str:
    """Of bytes that are the same for everybody."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_current(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match names what we would send: answer 304 then."""
    given = _parse_tags(headers, "if-none-match")
    return WILDCARD in given or etag in {tag.removeprefix("W/") for tag in given}


def expected_version(headers: Headers) -> int | None:
    """The version that If-Match insists on; None: any. A tag that we never gave out is a 412 `Problem`."""
    edition = parse_if_match(headers)
    return None if edition is None else edition.version


def parse_if_match(headers: Headers) -> EntityTag | None:
    """As `expected_version`, with the figures in the tag."""
    if "if-match" not in headers:
        return None
    given = _parse_tags(headers, "if-match")
    if given == [WILDCARD]:
        return None
    if len(given) != 1:
        raise invalid_fields({"If-Match": ["Give one entity tag in double quotes, or *."]})
    tag = _VERSION.fullmatch(given[0])
    if tag is None:
        raise Problem(412, "If-Match names an edition that does not exist: read the resource again.")
    price, stock = tag["price"], tag["stock"]
    return EntityTag(int(tag["number"]), None if price is None else int(price), None if stock is None else int(stock))


def _parse_tags(headers: Headers, name: str) -> list[str]:
    """Entity tags, or `*`; nothing at all when one of them is none."""
    text = ",".join(headers.getlist(name)).strip()
    if text == WILDCARD:
        return [WILDCARD]
    return [match["tag"] for match in _TAG.finditer(text)] if _TAG_LIST.fullmatch(text) else []
