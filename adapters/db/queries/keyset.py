"""Keyset pagination: a page begins after a key, the sort values of a row, so that page 5,000 costs as much as page 1.

Rows that are inserted or deleted between two pages do not shift the other rows.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from attrs import field, frozen
from sqlalchemy import ColumnElement, Integer, Select, bindparam, tuple_

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.queries import Key, Page, PageRequest

R = TypeVar("R")
T = TypeVar("T")
BIGINT: Final = range(-(2**63), 2**63)


@frozen
class Keyset:
    """Sort columns of a list, the id last.

    All columns have one direction, so that a single row comparison finds the beginning of a page.
    """

    columns: tuple[ColumnElement[Any], ...]
    descending: bool = False
    types: tuple[type, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "types", tuple(column.type.python_type for column in self.columns))

    def page_statement(self, statement: Select[*tuple[Any, ...]], request: PageRequest) -> Select[*tuple[Any, ...]]:
        """Return the statement of a page; for `before`, it returns the rows in reverse.

        It fetches one row more than the page holds: that row exists if the list continues after the page.
        """
        backwards = request.before is not None
        has_cursor = backwards or request.after is not None
        return self.slice_statement(statement, has_cursor=has_cursor, backwards=backwards)

    def slice_statement(
        self, statement: Select[*tuple[Any, ...]], *, has_cursor: bool, backwards: bool
    ) -> Select[*tuple[Any, ...]]:
        """Sort and limit a statement; with a cursor, start after it or, backwards, before it.

        Rows nearest to the cursor come first. `cursor_params` makes the parameters.
        """
        descending = self.descending is not backwards
        if has_cursor:
            values = [bindparam(f"key_{index}", type_=column.type) for index, column in enumerate(self.columns)]
            row, cursor = tuple_(*self.columns), tuple_(*values)
            statement = statement.where(row < cursor if descending else row > cursor)
        order = [column.desc() if descending else column.asc() for column in self.columns]
        return statement.order_by(*order).limit(bindparam("limit", type_=Integer))

    def page_params(self, request: PageRequest) -> dict[str, object]:
        """Return the parameters of `page_statement`; raise `Invalid` for a key of another list."""
        key = request.before if request.before is not None else request.after
        return cursor_params(() if key is None else decode_key(key, self.types), request.size + 1)


def cursor_params(cursor: Sequence[Any], limit: int) -> dict[str, object]:
    """Return the parameters of `Keyset.slice_statement`: sort values of the cursor's row, and the number of rows."""
    return {"limit": limit, **{f"key_{index}": value for index, value in enumerate(cursor)}}


def encode_key(values: Sequence[Any]) -> Key:
    """Return sort values as JSON scalars."""
    return tuple(value.isoformat() if isinstance(value, datetime) else value for value in values)


def decode_key(key: Key, types: Sequence[type]) -> list[Any]:
    """Return the sort values of a key; raise `Invalid` if they do not have these types."""
    if len(key) != len(types):
        raise cursor_mismatch()
    return [_decode_value(part, type_) for part, type_ in zip(key, types, strict=True)]


def _decode_value(part: object, type_: type) -> object:
    if type_ is datetime and isinstance(part, str):
        try:
            moment = datetime.fromisoformat(part)
        except ValueError:
            raise cursor_mismatch() from None
        if moment.tzinfo is not None:
            return moment
    elif type_ is int and isinstance(part, int) and not isinstance(part, bool) and part in BIGINT:
        return part
    raise cursor_mismatch()


def cursor_mismatch() -> Invalid:
    return Invalid.field("cursor", "This cursor does not belong to this list.")


def build_page(fetched: Sequence[R], request: PageRequest, view: Callable[[R], T], key: Callable[[R], Key]) -> Page[T]:
    """Return the page of the rows that `Keyset.page_statement` has fetched."""
    more = len(fetched) > request.size
    rows = list(fetched[: request.size])
    if request.before is not None:
        rows.reverse()
        has_previous, has_next = more, True
    else:
        has_previous, has_next = request.after is not None, more
    return Page(
        rows=tuple(map(view, rows)),
        next=key(rows[-1]) if rows and has_next else None,
        previous=key(rows[0]) if rows and has_previous else None,
    )


def page_statements(make: Callable[[PageRequest], T]) -> Mapping[str, T]:
    """Build the statements of the first page, of a page after a key and of a page before a key.

    `page_direction` chooses among them.
    """
    return {
        "first": make(PageRequest()),
        "after": make(PageRequest(after=())),
        "before": make(PageRequest(before=())),
    }


def page_direction(request: PageRequest) -> str:
    if request.before is not None:
        return "before"
    return "first" if request.after is None else "after"
