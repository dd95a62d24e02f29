"""Whether a token still gives access: from memory while the feed runs, else from the store."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from adapters.http.authentication import HEARTBEAT_TIMEOUT, AccessListener, Authenticator, RevokedSessions
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import MarketError, TokenNotValid, Unavailable
from scalecommerce_core.domain.identifiers import SessionId
from scalecommerce_core.ports import AccessChange
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.sessions import Identity
from tests.unit.support.shop import PASSWORD, Shop

EMAIL = "bea@example.com"


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def session(number: int) -> SessionId:
    return SessionId(f"s{number}")


def known(revoked: RevokedSessions, count: int) -> list[int]:
    return [number for number in range(count) if session(number) in revoked]


# --- revoked sessions


def test_memory_decides_only_for_a_short_time_after_a_heartbeat(time: Time) -> None:
    revoked, requests = RevokedSessions(60, clock=time), list[float]()
    revoked.keep_alive = lambda: requests.append(time.now)
    assert not revoked.is_complete()
    assert requests == [100.0]
    revoked.on_heartbeat(time.now)
    assert revoked.is_complete()
    time.now += HEARTBEAT_TIMEOUT - 0.01
    assert revoked.is_complete()
    time.now += 0.01
    assert not revoked.is_complete()


def test_heartbeats_are_requested_while_tokens_are_read(time: Time) -> None:
    revoked, requests = RevokedSessions(60, clock=time), list[float]()
    revoked.on_heartbeat(time.now)
    revoked.keep_alive = lambda: requests.append(time.now)
    revoked.on_heartbeat(time.now)
    assert requests == []
    assert revoked.is_complete()
    revoked.on_heartbeat(time.now)
    revoked.on_heartbeat(time.now)
    assert len(requests) == 1


def test_memory_does_not_decide_between_a_restart_of_the_feed_and_its_first_heartbeat(time: Time) -> None:
    revoked = RevokedSessions(60, clock=time)
    revoked.on_heartbeat(time.now)
    revoked.add([session(0)])
    revoked.on_start()
    assert not revoked.is_complete()
    assert session(0) in revoked


def test_a_revocation_is_forgotten_when_no_token_of_its_session_is_valid(time: Time) -> None:
    revoked = RevokedSessions(60, clock=time)
    revoked.add([session(0)])
    time.now += 59
    revoked.add([session(0), session(1)])
    assert known(revoked, 3) == [0, 1]
    time.now += 1
    revoked.add([session(2)])
    assert known(revoked, 3) == [1, 2]
    time.now += 60
    revoked.add([])
    assert len(revoked) == 0


def test_beyond_its_limit_memory_does_not_decide_until_the_dropped_revocations_have_expired(time: Time) -> None:
    revoked = RevokedSessions(60, limit=2, clock=time)
    revoked.add([session(0)])
    time.now += 10
    revoked.add([session(1), session(2)])
    assert known(revoked, 3) == [1, 2]
    time.now += 49
    revoked.on_heartbeat(time.now)
    assert not revoked.is_complete()
    time.now += 1
    revoked.on_heartbeat(time.now)
    assert revoked.is_complete()


# --- authenticator


class Api:
    """One API process over a shop."""

    def __init__(self, shop: Shop) -> None:
        self.authenticator = Authenticator(shop.sessions, shop.market.api_keys)
        self.listener = AccessListener(asyncio.get_running_loop(), shop.sessions, self.authenticator)

    def beat(self) -> None:
        self.authenticator.revoked.on_heartbeat(asyncio.get_running_loop().time())

    async def identify(self, token: str) -> tuple[bool, Identity | MarketError]:
        """Whether memory decided, and the result."""
        try:
            found = self.authenticator(token)
        except MarketError as error:
            return True, error
        if isinstance(found, Identity):
            return True, found
        try:
            return False, await _awaited(found)
        except MarketError as error:
            return False, error


async def _awaited(found: Awaitable[Identity]) -> Identity:
    return await found


def run(scenario: Callable[[Api], Coroutine[Any, Any, None]], shop: Shop) -> None:
    async def begin() -> None:
        api = Api(shop)
        try:
            await scenario(api)
        finally:
            await api.authenticator.close()

    asyncio.run(begin())


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    unwrap_single(shop.accounts.sign_up([SignUp(EMAIL, PASSWORD)]))
    return shop


def access_of(shop: Shop) -> str:
    return shop.accounts.log_in(EMAIL, PASSWORD).access


def test_without_heartbeats_each_token_is_checked_in_the_store(shop: Shop) -> None:
    async def scenario(api: Api) -> None:
        token, other = access_of(shop), access_of(shop)
        who = shop.sessions.identify(token)
        assert await api.identify(token) == (False, who)
        assert api.authenticator.identify_from_memory(token) is None
        shop.sessions.log_out(who)
        in_memory, error = await api.identify(token)
        assert (in_memory, type(error)) == (False, TokenNotValid)
        assert isinstance((await api.identify(other))[1], Identity)

    run(scenario, shop)


def test_with_heartbeats_memory_decides(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(api: Api) -> None:
        token, other = access_of(shop), access_of(shop)
        who = shop.sessions.identify(token)
        api.beat()
        monkeypatch.delattr(type(shop.queries), "session_states")
        assert await api.identify(token) == (True, who)
        assert api.authenticator.identify_from_memory(token) == who
        api.listener.on_access_change(AccessChange(frozenset({who.session_id})))
        await asyncio.sleep(0)
        assert isinstance((await api.identify(token))[1], TokenNotValid)
        with pytest.raises(TokenNotValid):
            api.authenticator.identify_from_memory(token)
        assert (await api.identify(other))[0]

    run(scenario, shop)


def test_a_process_that_starts_knows_the_sessions_that_were_revoked_before(shop: Shop) -> None:
    async def scenario(api: Api) -> None:
        token = access_of(shop)
        shop.sessions.log_out(shop.sessions.identify(token))
        api.listener.on_start(1)
        await asyncio.sleep(0)
        api.beat()
        in_memory, error = await api.identify(token)
        assert (in_memory, type(error)) == (True, TokenNotValid)

    run(scenario, shop)


def test_access_is_refused_while_neither_feed_nor_store_answers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("PostgreSQL does not answer.")

    async def scenario(api: Api) -> None:
        token = access_of(shop)
        monkeypatch.setattr(type(shop.queries), "session_states", fail)
        assert isinstance((await api.identify(token))[1], Unavailable)

    run(scenario, shop)


def test_a_demoted_or_deactivated_account_has_no_access_in_the_store(shop: Shop) -> None:
    def change(account: Account, **facts: bool) -> None:
        with shop.store.begin() as tx:
            found = tx.accounts.lock([account.id])[account.id]
            for name, value in facts.items():
                setattr(found, name, value)
            tx.accounts.save([found])

    async def scenario(api: Api) -> None:
        with shop.store.begin() as tx:
            account = tx.accounts.by_email([EMAIL])[EMAIL]
        without_rights = access_of(shop)
        change(account, is_staff=True)
        # Such a token is issued to staff that need a second factor and have none.
        assert isinstance((await api.identify(without_rights))[1], Identity)
        token = access_of(shop)
        for facts in ({"is_active": False}, {"is_active": True, "is_staff": False}):
            change(account, **facts)
            assert isinstance((await api.identify(token))[1], TokenNotValid)
        change(account, is_staff=True)
        assert isinstance((await api.identify(token))[1], Identity)

    run(scenario, shop)


def test_changes_for_a_closed_loop_are_dropped(shop: Shop) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    authenticator = Authenticator(shop.sessions, shop.market.api_keys)
    AccessListener(loop, shop.sessions, authenticator).on_access_change(AccessChange(frozenset({session(1)})))
    assert len(authenticator.revoked) == 0
