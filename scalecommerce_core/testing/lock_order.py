"""Checks that transactions lock rows in the order of `ports.LockRank`.

`MemoryStore` checks all its transactions, so every test of a use case checks the order as well. For the contract
suites, wrap the store of another adapter in `LockOrderStore`. Without it an adapter records nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, cast, get_type_hints

from scalecommerce_core.ports import LOCKS, LockRank, Store, Transaction

_RANKS: Final[Mapping[str, Mapping[str, LockRank]]] = {
    repository: {
        method.__name__: LOCKS[method]
        for method in vars(get_type_hints(getter.fget)["return"]).values()
        if callable(method) and method in LOCKS
    }
    for repository, getter in vars(Transaction).items()
    if isinstance(getter, property)
}
"""The ranks of `LOCKS` by the name of the repository in `Transaction` and the name of the method."""


class LockOrderViolated(AssertionError):
    """A transaction locked rows of a lower rank than rows that it held: it may deadlock with another transaction."""


class LockOrderStore:
    """A store that raises `LockOrderViolated` when a transaction locks in another order than that of `LockRank`."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def begin(self) -> AbstractContextManager[Transaction]:
        return _checked(self._inner.begin)

    def bulk(self) -> AbstractContextManager[Transaction]:
        return _checked(self._inner.bulk)


@contextmanager
def _checked(begin: Callable[[], AbstractContextManager[Transaction]]) -> Iterator[Transaction]:
    with begin() as tx:
        yield check_lock_order(tx)


def check_lock_order(tx: Transaction) -> Transaction:
    """The same transaction, which raises `LockOrderViolated` when it locks in another order than `LockRank`'s."""
    return cast(Transaction, _CheckedTransaction(tx))


class _CheckedTransaction:
    """Passes repositories on, with their locking methods checked. `held` lists the locks taken; its ranks rise."""

    def __init__(self, inner: Transaction) -> None:
        self._inner = inner
        self.held: list[tuple[LockRank, str]] = []

    def __getattr__(self, name: str) -> Any:
        repository = getattr(self._inner, name)
        if ranks := _RANKS.get(name):
            repository = _CheckedRepository(repository, name, ranks, self.held)
        setattr(self, name, repository)
        return repository


class _CheckedRepository:
    def __init__(
        self, inner: object, name: str, ranks: Mapping[str, LockRank], held: list[tuple[LockRank, str]]
    ) -> None:
        self._inner = inner
        self._name = name
        self._ranks = ranks
        self._held = held

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        rank = self._ranks.get(name)
        if rank is not None:
            value = _recording(value, rank, f"{self._name}.{name}", self._held)
        setattr(self, name, value)
        return value


def _recording(
    method: Callable[..., Any], rank: LockRank, name: str, held: list[tuple[LockRank, str]]
) -> Callable[..., Any]:
    def lock(*args: Any, **kwargs: Any) -> Any:
        if held and held[-1][0] > rank:
            highest, holder = held[-1]
            raise LockOrderViolated(f"{name} locks {rank.name} after {holder} locked {highest.name}.")
        held.append((rank, name))
        return method(*args, **kwargs)

    return lock
