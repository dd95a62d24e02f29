"""Pages of lists: `{next, previous, results}` with links that keep every other parameter."""

from collections.abc import Callable
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from starlette.requests import Request

from adapters.http.framework.cursors import Cursors, Direction, Position, encode_context
from scalecommerce_core.queries import Key, Page, PageRequest

Row = TypeVar("Row")
View = TypeVar("View")

DEFAULT_SIZE: Final = 20
MAX_SIZE: Final = 100
PAGINATION_PARAMETERS: Final = frozenset({"cursor", "page_size"})
"""Parameters that move through a list; all others say which list it is."""


class PageQuery(msgspec.Struct, kw_only=True, frozen=True):
    """Subclass it to add filters."""

    cursor: Annotated[
        str | None,
        msgspec.Meta(
            description="Where the page begins: the `cursor` in the link `next` or `previous` of another page.",
            examples=["RnfX-me0qn7VneArYCkKNVsiYWZ0ZXIiLDIwXQ"],
        ),
    ] = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_SIZE, description="Rows per page.", examples=[50])] = (
        DEFAULT_SIZE
    )


class PageSchema(msgspec.Struct, Generic[Row]):
    """One page; `next` and `previous` are absolute links, or null at the ends."""

    next: str | None
    previous: str | None
    results: list[Row]


class Paginator:
    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def parse_request(self, request: Request, query: PageQuery) -> PageRequest:
        """Which page is wanted; raise a 400 `Problem` naming `cursor`."""
        if query.cursor is None:
            return PageRequest(query.page_size)
        position = self._cursors.decode(query.cursor, _cursor_context(request, query))
        if position.direction is Direction.AFTER:
            return PageRequest(query.page_size, after=position.key)
        return PageRequest(query.page_size, before=position.key)

    def to_schema(
        self, request: Request, query: PageQuery, page: Page[View], show: Callable[[View], Row]
    ) -> PageSchema[Row]:
        context = _cursor_context(request, query)
        return PageSchema(
            next=self._link(request, Direction.AFTER, page.next, context),
            previous=self._link(request, Direction.BEFORE, page.previous, context),
            results=[show(row) for row in page.rows],
        )

    def _link(self, request: Request, direction: Direction, key: Key | None, context: bytes) -> str | None:
        if key is None:
            return None
        cursor = self._cursors.encode(Position(direction, key), context)
        return str(request.url.include_query_params(cursor=cursor))


def _cursor_context(request: Request, query: PageQuery) -> bytes:
    filters = {
        name: value for name, value in msgspec.structs.asdict(query).items() if name not in PAGINATION_PARAMETERS
    }
    return encode_context([request.url.path, filters])
