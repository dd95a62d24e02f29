"""A cache of built and compiled statements that is bounded by bytes.

Building and compiling a statement takes longer than PostgreSQL takes to plan it, and its objects take up to a
megabyte. Clients choose the shapes of searches, so the cache has one limit for all kinds of statements together.
"""

from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from attrs import field, frozen
from cachetools import LRUCache
from sqlalchemy import Select

STATEMENT_CACHE_BYTES: Final = 32 * 1024 * 1024
BASE_BYTES: Final = 120_000
"""Approximate size of a statement without texts: its objects, its key in SQLAlchemy's cache and its compiled form."""
BYTES_PER_TEXT: Final = 20_000
"""Approximate size that each alternative text of the search adds."""


class HasTexts(Hashable, Protocol):
    @property
    def text_count(self) -> int:
        """The number of alternative texts of all terms."""
        ...


P = ParamSpec("P")
Subject = TypeVar("Subject", bound=HasTexts)
Built = TypeVar("Built")


class _CompiledForms(dict[Any, Any]):
    """The compiled form of one statement, by SQLAlchemy's key; a process has one engine, so one form is enough."""

    def __setitem__(self, key: Any, compiled: Any) -> None:
        self.clear()
        super().__setitem__(key, compiled)


@frozen(eq=False)
class CachedStatement:
    """A statement with its compiled form, which is dropped with it."""

    select: Select[*tuple[Any, ...]]
    compiled: dict[Any, Any] = field(factory=_CompiledForms, init=False, repr=False)


class StatementCache:
    """Evicts the least recently used statements beyond `limit` bytes. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._built: LRUCache[Hashable, tuple[Any, int]] = LRUCache(limit, getsizeof=lambda entry: entry[1])
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        return int(self._built.currsize)

    def get(self, key: Hashable) -> Any:
        with self._lock:
            found = self._built.get(key)
        return None if found is None else found[0]

    def put(self, key: Hashable, value: object, text_count: int) -> None:
        """Keep a value with a statement that has this number of alternative texts, unless it exceeds the limit."""
        size = BASE_BYTES + BYTES_PER_TEXT * text_count
        if size <= self._built.maxsize:
            with self._lock:
                self._built[key] = value, size


STATEMENTS: Final = StatementCache(STATEMENT_CACHE_BYTES)
"""The statements of this process."""


def cached_by_shape(build: Callable[Concatenate[Subject, P], Built]) -> Callable[Concatenate[Subject, P], Built]:
    """Keep what a function builds for a shape, and for its other arguments, in `STATEMENTS`."""

    @wraps(build)
    def get_or_build(subject: Subject, /, *args: P.args, **options: P.kwargs) -> Built:
        key = build, subject, args, tuple(options.items())
        found: Built | None = STATEMENTS.get(key)
        if found is None:
            found = build(subject, *args, **options)
            STATEMENTS.put(key, found, subject.text_count)
        return found

    return get_or_build
