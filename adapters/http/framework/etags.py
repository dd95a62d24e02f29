"""Entity tags and conditional requests (RFC 9110, section 13)."""

import hashlib
import re
from typing import Final

from attrs import frozen
from starlette.datastructures import Headers

from adapters.http.framework.problems import Problem, invalid_fields
from adapters.http.framework.request_limits import read_field

_TAG_PATTERN: Final = r'(?P<tag>(?:W/)?"[!#-~\x80-\xff]*")'
_TAG: Final = re.compile(_TAG_PATTERN)
_TAG_LIST: Final = re.compile(rf"\s*{_TAG_PATTERN}(?:\s*,\s*{_TAG_PATTERN.replace('?P<tag>', '?:')})*\s*")
_VERSION: Final = re.compile(
    r'"v(?P<number>[0-9]{1,18})(?:-p(?P<price>[0-9]{1,12}))?(?:-s(?P<stock>[0-9]{1,12}))?(?:-[0-9a-f]{16})?"'
)
WILDCARD: Final = "*"


@frozen
class EntityTag:
    """The contents of an entity tag: the version, price and stock of the representation that the client has read.

    `price` is in minor units. `price` and `stock` are None if the tag does not contain them: tags of resources other
    than products, of products as read by buyers (no stock), and of releases before 0.2.0.
    """

    version: int
    price: int | None = None
    stock: int | None = None


def version_etag(version: int) -> str:
    """The entity tag of a resource with a version number."""
    return f'"v{version}"'


def view_etag(tag: EntityTag, *contents: str) -> str:
    """The entity tag of a representation that depends on further `contents`, such as the names of other resources.

    The tag contains version, price and stock in plain text, so that an edit with If-Match can be compared with them;
    `contents` enter as a digest, which If-Match ignores.
    """
    digest = hashlib.blake2b("\0".join(contents).encode(), digest_size=8)
    price = "" if tag.price is None else f"-p{tag.price}"
    stock = "" if tag.stock is None else f"-s{tag.stock}"
    return f'"v{tag.version}{price}{stock}-{digest.hexdigest()}"'


def content_etag(body: bytes) -> str:
    """The entity tag of a body that is the same for all callers."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_current(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match contains the entity tag of the response, which is a 304 then."""
    given = _parse_tags(headers, "If-None-Match")
    return WILDCARD in given or etag in {tag.removeprefix("W/") for tag in given}


def expected_version(headers: Headers) -> int | None:
    """The version in If-Match; None without the header or for `*`.

    Raise a 400 `Problem` for a malformed header, and a 412 `Problem` for a tag that no response contained.
    """
    tag = parse_if_match(headers)
    return None if tag is None else tag.version


def parse_if_match(headers: Headers) -> EntityTag | None:
    """As `expected_version`, but with the price and stock in the tag."""
    if "if-match" not in headers:
        return None
    given = _parse_tags(headers, "If-Match")
    if given == [WILDCARD]:
        return None
    if len(given) != 1:
        raise invalid_fields({"If-Match": ["The header must be one entity tag in double quotes, or *."]})
    match = _VERSION.fullmatch(given[0])
    if match is None:
        raise Problem(412, "If-Match contains an unknown entity tag: read the resource again.")
    price, stock = match["price"], match["stock"]
    return EntityTag(int(match["number"]), None if price is None else int(price), None if stock is None else int(stock))


def _parse_tags(headers: Headers, name: str) -> list[str]:
    """The entity tags in a header, or `*`; an empty list if the header is malformed."""
    text = read_field(headers, name).strip()
    if text == WILDCARD:
        return [WILDCARD]
    return [match["tag"] for match in _TAG.finditer(text)] if _TAG_LIST.fullmatch(text) else []
