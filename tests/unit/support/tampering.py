"""Stores with injected faults, for errors that tests cannot cause otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from scalecommerce_core.ports import Store, Transaction


class Instead:
    """Answers the names in `own` itself and leaves all others to `inner`."""

    def __init__(self, inner: object, **own: object) -> None:
        self._inner = inner
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return self._own[name] if name in self._own else getattr(self._inner, name)


def with_repository(tx: Transaction, repository: str, **methods: object) -> Transaction:
    """The same transaction, with some methods of one repository replaced."""
    tampered = Instead(getattr(tx, repository), **methods)
    return cast(Transaction, Instead(tx, **{repository: tampered}))


class TamperedStore:
    """Calls `before` before each transaction and `after` after its commit; use cases get the transaction that `tamper`
    returns."""

    def __init__(
        self,
        inner: Store,
        *,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
        tamper: Callable[[Transaction], Transaction] = lambda tx: tx,
    ) -> None:
        self._inner = inner
        self._before = before
        self._after = after
        self._tamper = tamper

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        self._before()
        with self._inner.begin() as tx:
            yield self._tamper(tx)
        self._after()

    bulk = begin


def failing(*errors: Exception | None) -> Callable[[], None]:
    """Raises the errors one call at a time (None: lets the call pass), then lets every call pass."""
    left = list(errors)

    def fail() -> None:
        if left and (error := left.pop(0)) is not None:
            raise error

    return fail
