"""Pages of lists: `{next, previous, results}`. The links keep all other query parameters."""

from collections.abc import Callable
from typing import Annotated, Final, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request

from adapters.http.framework.cursors import Cursors, Direction, Position, encode_context
from scalecommerce_core.queries import Key, Page, PageRequest

Row = TypeVar("Row")
View = TypeVar("View")

DEFAULT_SIZE: Final = 20
MAX_SIZE: Final = 100
PAGINATION_PARAMETERS: Final = frozenset({"cursor", "page_size"})
"""Parameters that select the page; all other parameters are filters, which identify the list."""


class PageQuery(msgspec.Struct, kw_only=True, frozen=True):
    """Query parameters of a list. Subclasses add filters."""

    cursor: Annotated[
        str | None,
        msgspec.Meta(
            description="The position of the page: the `cursor` in the link `next` or `previous` of another page.",
            examples=["RnfX-me0qn7VneArYCkKNVsiYWZ0ZXIiLDIwXQ"],
        ),
    ] = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_SIZE, description="Rows per page.", examples=[50])] = (
        DEFAULT_SIZE
    )


class PageSchema(msgspec.Struct, Generic[Row]):
    """One page. `next` and `previous` are absolute URLs, or null if there is no such page."""

    next: str | None
    previous: str | None
    results: list[Row]


class Paginator:
    """Converts query parameters to page requests of the core, and pages to schemas with links."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def parse_request(self, request: Request, query: PageQuery) -> PageRequest:
        """Convert the query parameters; raise a 400 `Problem` that names `cursor` if it is invalid."""
        if query.cursor is None:
            return PageRequest(query.page_size)
        position = self._cursors.decode(query.cursor, _cursor_context(request, query))
        if position.direction is Direction.AFTER:
            return PageRequest(query.page_size, after=position.key)
        return PageRequest(query.page_size, before=position.key)

    def to_schema(
        self, request: Request, query: PageQuery, page: Page[View], convert: Callable[[View], Row]
    ) -> PageSchema[Row]:
        """Build the page; `convert` converts a row."""
        context = _cursor_context(request, query)
        return PageSchema(
            next=self._link(request, Direction.AFTER, page.next, context),
            previous=self._link(request, Direction.BEFORE, page.previous, context),
            results=[convert(row) for row in page.rows],
        )

    def _link(self, request: Request, direction: Direction, key: Key | None, context: bytes) -> str | None:
        if key is None:
            return None
        # Starlette's `include_query_params` parses and builds the URL three times.
        address, _, query = str(request.url).partition("?")
        kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "cursor"]
        cursor = self._cursors.encode(Position(direction, key), context)
        return f"{address}?{urlencode([*kept, ('cursor', cursor)])}"


def _cursor_context(request: Request, query: PageQuery) -> bytes:
    filters = {
        name: value for name, value in msgspec.structs.asdict(query).items() if name not in PAGINATION_PARAMETERS
    }
    return encode_context([request.scope["path"], filters])
