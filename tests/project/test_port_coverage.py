"""The contract suites call every method of every port.

The suites run here on recording proxies of the in-memory adapters, test by test, until every method was called.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, Final, cast, get_type_hints

import pytest

from scalecommerce_core import ports, queries
from scalecommerce_core.ports import AccessChange, CatalogChange, Store, Transaction
from scalecommerce_core.testing import (
    MemoryGateway,
    MemoryLoginLimiter,
    MemoryQueries,
    MemoryRateLimiter,
    MemoryStore,
    MemoryViewCounter,
    RememberedQuotes,
    RememberedTokens,
    ReversingCipher,
    SettableClock,
    SharedViews,
)
from scalecommerce_core.testing.contracts import (
    CatalogChangesContract,
    LoginLimiterContract,
    PaymentGatewayContract,
    QueriesContract,
    QuoteSignerContract,
    RateLimiterContract,
    SecretCipherContract,
    StoreContract,
    TokensContract,
    ViewCounterContract,
)
from scalecommerce_core.testing.contracts.stage import Stage

WITHOUT_SUITE: Final[Mapping[type, str]] = {
    ports.ChangeListener: "implemented by caches; a feed calls it",
    ports.CatalogFeed: "tests/integration/test_cache.py: its guarantees are about several processes",
    ports.Clock: "one method without arguments",
    ports.Ids: "random values",
    ports.Randomness: "random values",
    ports.Measurements: "tests/unit/adapters/metrics: its calls return nothing, and a figure may be lost",
    ports.Tracing: "tests/unit/adapters/tracing: its calls return nothing to the services, and a span may be lost",
    ports.OutgoingCall: "tests/unit/adapters/tracing: a part of Tracing",
    ports.WorkNotifier: "one method whose call may be lost",
    ports.SecurityLog: "one method whose record may be lost",
    ports.Passwords: "tests/unit/adapters/security: what it must refuse depends on the algorithm",
    ports.OneTimePasswords: "tests/unit/adapters/security/test_one_time_passwords.py: the vectors of RFC 6238",
    ports.EmailSender: "tests/integration/test_smtp.py: its guarantees are about the network",
    ports.WebhookSender: "tests/integration/test_webhook_sender.py: its guarantees are about the network",
}
"""Ports that no suite covers, and why, or where their adapters are tested."""


def _protocols(package: object) -> list[type]:
    return [each for each in vars(package).values() if isinstance(each, type) and getattr(each, "_is_protocol", False)]


def _methods(port: type) -> set[tuple[type, str]]:
    """The methods of a port, each with the Protocol that defines it."""
    return {
        (base, name)
        for base in port.__mro__
        if getattr(base, "_is_protocol", False)
        for name, value in vars(base).items()
        if callable(value) and not name.startswith("_")
    }


REPOSITORIES: Final[Mapping[str, type]] = {
    name: get_type_hints(getter.fget)["return"]
    for name, getter in vars(Transaction).items()
    if isinstance(getter, property)
}
SUITES: Final[Mapping[tuple[type, ...], frozenset[type]]] = {
    (CatalogChangesContract, StoreContract, QueriesContract): frozenset(
        {Store, *REPOSITORIES.values(), queries.Queries}
    ),
    (PaymentGatewayContract,): frozenset({ports.PaymentGateway}),
    (ViewCounterContract,): frozenset({ports.ViewCounter}),
    (SecretCipherContract,): frozenset({ports.SecretCipher}),
    (QuoteSignerContract,): frozenset({ports.QuoteSigner}),
    (TokensContract,): frozenset({ports.Tokens}),
    (LoginLimiterContract,): frozenset({ports.LoginLimiter}),
    (RateLimiterContract,): frozenset({ports.RateLimiter}),
}
"""Which ports the suites cover."""


class Recorder:
    """Wraps ports; `missing` holds the methods that were not called through a wrapper yet."""

    def __init__(self, covered: frozenset[type]) -> None:
        self.missing = {method for port in covered for method in _methods(port)}

    def wrap(self, inner: object, port: type) -> Any:
        return _Recorded(inner, {name: (base, name) for base, name in _methods(port)}, self.missing)

    def store(self, inner: Store) -> Store:
        return _RecordedStore(inner, self)


class _Recorded:
    def __init__(self, inner: object, methods: Mapping[str, tuple[type, str]], missing: set[tuple[type, str]]) -> None:
        self._inner = inner
        self._methods = methods
        self._missing = missing

    def __getattr__(self, name: str) -> Any:
        if name in self._methods:
            self._missing.discard(self._methods[name])
        return getattr(self._inner, name)


class _RecordedStore:
    def __init__(self, inner: Store, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def begin(self) -> AbstractContextManager[Transaction]:
        self._recorder.missing.discard((Store, "begin"))
        return self._recorded(self._inner.begin)

    def bulk(self) -> AbstractContextManager[Transaction]:
        self._recorder.missing.discard((Store, "bulk"))
        return self._recorded(self._inner.bulk)

    @contextmanager
    def _recorded(self, begin: Callable[[], AbstractContextManager[Transaction]]) -> Iterator[Transaction]:
        with begin() as tx:
            yield cast(Transaction, _RecordedTransaction(tx, self._recorder))


class _RecordedTransaction:
    def __init__(self, inner: Transaction, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        repository = self._recorder.wrap(getattr(self._inner, name), REPOSITORIES[name])
        setattr(self, name, repository)
        return repository


def _fixtures(recorder: Recorder, needed: Collection[str]) -> dict[str, Any]:
    """The fixtures of the suites, new ones for each test."""
    memory, clock, shared = MemoryStore(), SettableClock(), SharedViews()
    store = recorder.store(memory)
    stage = Stage(store)
    product = stage.product(stock=10) if "product" in needed else None
    reported: list[CatalogChange] = []
    access_reported: list[AccessChange] = []
    memory.changed, memory.access_changed = reported.append, access_reported.append

    def counters(window: Any) -> Any:
        return recorder.wrap(MemoryViewCounter(clock, window=window, shared=shared), ports.ViewCounter)

    return {
        "store": store,
        "stage": stage,
        "product": product,
        "reported": reported,
        "access_reported": access_reported,
        "queries": recorder.wrap(MemoryQueries(memory), queries.Queries),
        "gateway": recorder.wrap(MemoryGateway(), ports.PaymentGateway),
        "clock": clock,
        "counters": counters,
        "cipher": recorder.wrap(ReversingCipher(), ports.SecretCipher),
        "signer": recorder.wrap(RememberedQuotes(), ports.QuoteSigner),
        "tokens": recorder.wrap(RememberedTokens(), ports.Tokens),
        "rate_limiters": cache(lambda: recorder.wrap(MemoryRateLimiter(), ports.RateLimiter)),
        "limiters": cache(lambda *limits: recorder.wrap(MemoryLoginLimiter(*limits), ports.LoginLimiter)),
    }


def _run(suite: type, recorder: Recorder) -> Iterator[None]:
    """Run the tests of a suite on their first parameters, one test for each step."""
    for name, test in inspect.getmembers(suite, inspect.isfunction):
        if name.startswith("test_"):
            needed = list(inspect.signature(test).parameters)[1:]
            given = _fixtures(recorder, needed)
            for mark in getattr(test, "pytestmark", ()):
                names, (values, *_) = mark.args
                names = names.split(",") if isinstance(names, str) else names
                given |= zip(names, [values] if len(names) == 1 else values, strict=True)
            test(suite(), **{each: given[each] for each in needed})
            yield


@pytest.mark.parametrize("suites", SUITES, ids=lambda suites: suites[0].__name__)
def test_contract_suites_call_every_method_of_their_ports(suites: tuple[type, ...]) -> None:
    recorder = Recorder(SUITES[suites])
    assert recorder.missing
    for suite in suites:
        for _ in _run(suite, recorder):
            if not recorder.missing:
                return
    assert sorted(f"{port.__name__}.{method}" for port, method in recorder.missing) == []


def test_every_port_has_a_suite_or_a_reason() -> None:
    covered = {port for of_suite in SUITES.values() for port in of_suite}
    every = {port for port in (*_protocols(ports), *_protocols(queries)) if _methods(port)}
    assert {base for port in covered for base, _ in _methods(port)} | WITHOUT_SUITE.keys() == {
        base for port in every for base, _ in _methods(port)
    }
