"""Keyset pages: where a page begins is a comparison with a row's sort values, so that page 5,000 costs as much as 1.

Rows that are inserted or deleted meanwhile move nothing that stood still.
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
    """What a list is sorted by, the id last; all in one direction, so that one row comparison finds the place."""

    columns: tuple[ColumnElement[Any], ...]
    descending: bool = False
    kinds: tuple[type, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(column.type.python_type for column in self.columns))

    def page(self, statement: Select[*tuple[Any, ...]], request: PageRequest) -> Select[*tuple[Any, ...]]:
        """The page's rows and one more, which tells whether the list goes on; backwards for `before`."""
        backwards = request.before is not None
        return self.slice(statement, marked=backwards or request.after is not None, backwards=backwards)

    def slice(self, statement: Select[*tuple[Any, ...]], *, marked: bool, backwards: bool) -> Select[*tuple[Any, ...]]:
        """Rows behind a mark, or before it, from the nearest on; from the start without any. See `marks`."""
        descending = self.descending is not backwards
        if marked:
            values = [bindparam(f"key_{index}", type_=column.type) for index, column in enumerate(self.columns)]
            place, mark = tuple_(*self.columns), tuple_(*values)
            statement = statement.where(place < mark if descending else place > mark)
        order = [column.desc() if descending else column.asc() for column in self.columns]
        return statement.order_by(*order).limit(bindparam("limit", type_=Integer))

    def parameters(self, request: PageRequest) -> dict[str, object]:
        """What `page` needs; raise `Invalid` for a key of another list."""
        key = request.before if request.before is not None else request.after
        return marks(() if key is None else values_of(key, self.kinds), request.size + 1)


def marks(mark: Sequence[Any], limit: int) -> dict[str, object]:
    """What a slice needs: so many rows, from these sort values on."""
    return {"limit": limit, **{f"key_{index}": value for index, value in enumerate(mark)}}


def key_of(values: Sequence[Any]) -> Key:
    """Sort values as JSON scalars."""
    return tuple(value.isoformat() if isinstance(value, datetime) else value for value in values)


def values_of(key: Key, kinds: Sequence[type]) -> list[Any]:
    """Sort values out of a key; raise `Invalid` if they are not of these kinds."""
    if len(key) != len(kinds):
        raise foreign_key()
    return [_value(part, kind) for part, kind in zip(key, kinds, strict=True)]


def _value(part: object, kind: type) -> object:
    if kind is datetime and isinstance(part, str):
        try:
            moment = datetime.fromisoformat(part)
        except ValueError:
            raise foreign_key() from None
        if moment.tzinfo is not None:
            return moment
    elif kind is int and isinstance(part, int) and not isinstance(part, bool) and part in BIGINT:
        return part
    raise foreign_key()


def foreign_key() -> Invalid:
    return Invalid.field("cursor", "This cursor does not belong to this list.")


def page_of(fetched: Sequence[R], request: PageRequest, view: Callable[[R], T], key: Callable[[R], Key]) -> Page[T]:
    """The page out of what `Keyset.page` has fetched."""
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


def three(make: Callable[[PageRequest], T]) -> Mapping[str, T]:
    """Statements for the first page, one after and one before a key, built once."""
    return {
        "first": make(PageRequest()),
        "after": make(PageRequest(after=())),
        "before": make(PageRequest(before=())),
    }


def which(request: PageRequest) -> str:
    if request.before is not None:
        return "before"
    return "first" if request.after is None else "after"
