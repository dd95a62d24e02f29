"""Tokens and codes that work once also do so for concurrent requests, on PostgreSQL."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from adapters.db.core.engine import database_engine
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.account_token import AccountToken, TokenPurpose, account_state, token_digest
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.ports import Transaction
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.second_factor_check import SecondFactorRejected
from scalecommerce_core.testing import CountingOneTimePasswords, SettableClock
from tests.integration.engine_process import PATIENCE
from tests.integration.real_market import real_market

PASSWORD = "a long password"
NEW = "another long password"
THREADS = 8
SUCCESS = "success"


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def market(database: str, clock: SettableClock) -> Iterator[Market]:
    with real_market(database, clock) as made:
        yield made


@pytest.fixture
def owner(market: Market) -> Account:
    return unwrap_single(market.accounts.sign_up([SignUp("owner@example.com", PASSWORD)]))


@pytest.fixture
def codes(market: Market, owner: Account, clock: SettableClock) -> list[str]:
    """Two codes of the owner's second factor: a one-time password and a recovery code."""
    who = market.sessions.identify(market.accounts.log_in(owner.email, PASSWORD).access)
    market.second_factors.begin(owner.id, PASSWORD)
    recovery_codes = market.second_factors.confirm(who, _one_time_password(clock))
    clock.advance(seconds=30)
    return [_one_time_password(clock), recovery_codes[0]]


def _one_time_password(clock: SettableClock) -> str:
    return CountingOneTimePasswords().code(clock.now().timestamp())


def outcomes(
    market: Market, database: str, act: Callable[[int], object], block: Callable[[Transaction], object]
) -> Counter[str]:
    """The names of the errors of `THREADS` concurrent calls of `act`, or `SUCCESS`.

    `block` takes the lock that all of them need. It is released when all of them wait for it, so each has read the
    state before any of them changes it.
    """

    def outcome(number: int) -> str:
        try:
            act(number)
        except (Invalid, SecondFactorRejected) as error:
            return type(error).__name__
        return SUCCESS

    with ThreadPoolExecutor(THREADS) as threads:
        with market.store.begin() as tx:
            block(tx)
            calls = [threads.submit(outcome, number) for number in range(THREADS)]
            _wait_until_all_wait(database)
        return Counter(call.result(timeout=PATIENCE) for call in calls)


def _wait_until_all_wait(database: str) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    engine, deadline = database_engine(database), time.monotonic() + PATIENCE
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while (connection.scalar(waiting) or 0) < THREADS:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    finally:
        engine.dispose()


def test_concurrent_uses_of_a_reset_token_succeed_once(market: Market, database: str, owner: Account) -> None:
    """Attack: a reader of the mailbox uses the link at the moment when the owner does."""
    expires_at = market.clock.now() + timedelta(minutes=30)
    token = AccountToken(
        token_digest("secret"), owner.id, TokenPurpose.RESET_PASSWORD, owner.email, account_state(owner), expires_at
    )
    with market.store.begin() as tx:
        tx.account_tokens.add([token])
    found = outcomes(
        market,
        database,
        lambda number: market.password_reset.confirm("secret", f"{NEW} {number}", address=f"192.0.2.{number}"),
        lambda tx: tx.accounts.lock([owner.id]),
    )
    assert found == {SUCCESS: 1, "Invalid": THREADS - 1}
    with market.store.begin() as tx:
        stored = tx.accounts.get_many([owner.id])[owner.id].password_hash
        assert tx.account_tokens.get_many([token.digest]) == {}
    assert stored is not None
    assert sum(stored.endswith(f"{NEW} {number}") for number in range(THREADS)) == 1


@pytest.mark.parametrize("kind", [0, 1], ids=["one-time password", "recovery code"])
def test_concurrent_uses_of_a_code_succeed_once(
    market: Market, database: str, owner: Account, codes: list[str], kind: int
) -> None:
    """Attack: an observer of the password and the code logs in at the moment when the owner does."""
    before = len(market.sessions.list_open(owner.id))
    found = outcomes(
        market,
        database,
        lambda number: market.accounts.log_in(owner.email, PASSWORD, code=codes[kind], address=f"192.0.2.{number}"),
        lambda tx: tx.second_factors.lock([owner.id]),
    )
    assert found == {SUCCESS: 1, "SecondFactorRejected": THREADS - 1}
    assert len(market.sessions.list_open(owner.id)) == before + 1
    with pytest.raises(SecondFactorRejected):
        market.accounts.log_in(owner.email, PASSWORD, code=codes[kind], address="198.51.100.1")
