"""Sessions of an account: their limits, list, revocation and purge. `test_accounts` tests tokens and their exchange."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import NotFound, TokenNotValid
from scalecommerce_core.domain.session import Lifetimes, SessionClient
from scalecommerce_core.ports import SecurityEventKind
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.sessions import Identity, Sessions
from scalecommerce_core.testing import CountingIds, RecordedSecurityEvents, RememberedTokens
from tests.unit.support.shop import PASSWORD, Shop

HOURS = timedelta(hours=1)
LIFETIMES = Lifetimes(
    access=HOURS / 6, refresh=10 * HOURS, session=25 * HOURS, staff_refresh=HOURS, staff_session=3 * HOURS
)


@pytest.fixture
def log() -> RecordedSecurityEvents:
    return RecordedSecurityEvents()


@pytest.fixture
def sessions(shop: Shop, log: RecordedSecurityEvents) -> Sessions:
    return Sessions(
        shop.store,
        shop.clock,
        shop.queries,
        ids=CountingIds(),
        tokens=RememberedTokens(),
        security_log=log,
        lifetimes=LIFETIMES,
        retention=timedelta(days=2),
    )


@pytest.fixture
def ann(shop: Shop) -> Account:
    return unwrap_single(shop.accounts.sign_up([SignUp("ann@example.com", PASSWORD)]))


@pytest.fixture
def omar(shop: Shop) -> Account:
    return unwrap_single(shop.accounts.sign_up([SignUp("omar@example.com", PASSWORD, is_staff=True)]))


def open_session(sessions: Sessions, account: Account, client: SessionClient = SessionClient()) -> Identity:  # noqa: B008
    return sessions.identify(sessions.open(account, client).access)


def is_open(sessions: Sessions, who: Identity) -> bool:
    try:
        sessions.check(who)
    except TokenNotValid:
        return False
    return True


def hours_until_the_end(shop: Shop, sessions: Sessions, account: Account, *, refresh_every: float) -> float:
    """How long a session lasts that is refreshed regularly."""
    pair, hours = sessions.open(account), 0.0
    while True:
        shop.clock.advance(hours=refresh_every)
        try:
            pair = sessions.refresh(pair.refresh)
        except TokenNotValid:
            return hours
        hours += refresh_every


def test_a_session_ends_after_a_time_without_use_and_at_the_latest_after_its_lifetime(
    shop: Shop, sessions: Sessions, ann: Account, omar: Account
) -> None:
    assert hours_until_the_end(shop, sessions, ann, refresh_every=9) == 18
    assert hours_until_the_end(shop, sessions, ann, refresh_every=10) == 0
    assert hours_until_the_end(shop, sessions, ann, refresh_every=1) == 24
    assert hours_until_the_end(shop, sessions, omar, refresh_every=0.5) == 2.5
    assert hours_until_the_end(shop, sessions, omar, refresh_every=1) == 0


def test_no_token_outlives_its_session(shop: Shop, sessions: Sessions, omar: Account) -> None:
    pair = sessions.open(omar)
    for _ in range(5):
        shop.clock.advance(hours=0.5)
        pair = sessions.refresh(pair.refresh)
    shop.clock.advance(hours=0.4)
    pair = sessions.refresh(pair.refresh)
    sessions.identify(pair.access)
    shop.clock.advance(hours=0.1)
    with pytest.raises(TokenNotValid):
        sessions.read(pair.access)


def test_open_sessions_are_listed_with_their_clients(
    shop: Shop, sessions: Sessions, ann: Account, omar: Account
) -> None:
    client = SessionClient.of("192.0.2.77", "Mozilla/5.0 " + "x" * 200)
    first = open_session(sessions, ann, client)
    shop.clock.advance(hours=1)
    second = open_session(sessions, ann)
    open_session(sessions, omar)
    listed = sessions.list_open(ann.id)
    assert [each.id for each in listed] == [second.session_id, first.session_id]
    assert (listed[1].network, len(listed[1].user_agent)) == ("192.0.2.0/24", 80)
    assert all(0 < each.number < 2**53 for each in listed), "JSON readers with 64-bit floats keep all digits"
    shop.clock.advance(hours=9)
    assert [each.id for each in sessions.list_open(ann.id)] == [second.session_id]


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::/64", "2001:db8:1::/48"), ("2001:db8::1", "2001:db8::/48"),
     ("", ""), ("testclient", "")],
)  # fmt: skip
def test_a_session_stores_no_whole_address(address: str, network: str) -> None:
    assert SessionClient.of(address, "").network == network


def test_one_session_is_revoked_by_its_owner_only(
    sessions: Sessions, ann: Account, omar: Account, log: RecordedSecurityEvents
) -> None:
    here, lost, others = open_session(sessions, ann), open_session(sessions, ann), open_session(sessions, omar)
    numbers = {each.id: each.number for account in (ann, omar) for each in sessions.list_open(account.id)}
    with pytest.raises(NotFound):
        sessions.revoke(here, numbers[others.session_id])
    sessions.revoke(here, numbers[lost.session_id], address="192.0.2.1")
    assert [is_open(sessions, who) for who in (here, lost, others)] == [True, False, True]
    with pytest.raises(NotFound):
        sessions.revoke(here, numbers[lost.session_id])
    (event,) = log.events
    assert (event.kind, event.account_id, event.address) == (SecurityEventKind.SESSION_REVOKED, ann.id, "192.0.2.1")


def test_all_other_sessions_are_revoked(sessions: Sessions, ann: Account, omar: Account) -> None:
    here, *rest = [open_session(sessions, ann) for _ in range(3)]
    others = open_session(sessions, omar)
    sessions.revoke_others(here)
    assert [is_open(sessions, who) for who in (here, *rest, others)] == [True, False, False, True]


def test_reuse_of_a_refresh_token_is_recorded(
    shop: Shop, sessions: Sessions, ann: Account, log: RecordedSecurityEvents
) -> None:
    stolen = sessions.open(ann)
    sessions.refresh(stolen.refresh)
    shop.clock.advance(minutes=1)
    for _ in range(2):
        with pytest.raises(TokenNotValid):
            sessions.refresh(stolen.refresh, address="192.0.2.1")
    assert [(event.kind, event.account_id) for event in log.events] == [
        (SecurityEventKind.REFRESH_TOKEN_REUSED, ann.id)
    ]


def test_ended_sessions_are_purged_after_the_retention(shop: Shop, sessions: Sessions, ann: Account) -> None:
    sessions.log_out(open_session(sessions, ann))
    for hours, purged in ((47, 0), (2, 1), (0, 0)):
        shop.clock.advance(hours=hours)
        assert sessions.purge() == purged


def test_a_revoked_session_is_kept_for_as_long_as_its_access_token_may_be_valid(shop: Shop, ann: Account) -> None:
    long = Lifetimes(access=timedelta(days=3))
    sessions = Sessions(
        shop.store,
        shop.clock,
        shop.queries,
        ids=CountingIds(),
        tokens=RememberedTokens(),
        security_log=RecordedSecurityEvents(),
        lifetimes=long,
        retention=timedelta(days=1),
    )
    sessions.log_out(open_session(sessions, ann))
    shop.clock.advance(days=3)
    assert sessions.purge() == 0
    assert len(sessions.recent_revocations()) == 1
    shop.clock.advance(minutes=6)
    assert sessions.recent_revocations() == []
    assert sessions.purge() == 1


class TestBrowserSessions:
    def test_the_cookie_gives_access_tokens_and_the_refresh_token_does_not(
        self, shop: Shop, sessions: Sessions, ann: Account
    ) -> None:
        pair = sessions.open(ann)
        who = sessions.identify(pair.access)
        cookie = sessions.bind_cookie(who)
        granted = sessions.continue_by_cookie(cookie)
        assert sessions.identify(granted.token) == granted.identity == who
        assert granted.expires_at == shop.clock.now() + LIFETIMES.access
        with pytest.raises(TokenNotValid):
            sessions.refresh(pair.refresh)

    def test_use_prolongs_the_session_up_to_its_longest_duration(
        self, shop: Shop, sessions: Sessions, ann: Account
    ) -> None:
        cookie = sessions.bind_cookie(open_session(sessions, ann))
        for _ in range(3):
            shop.clock.advance(hours=8)
            sessions.continue_by_cookie(cookie)
        shop.clock.advance(hours=1)
        with pytest.raises(TokenNotValid, match="log in again"):
            sessions.continue_by_cookie(cookie)

    def test_an_unused_session_ends(self, shop: Shop, sessions: Sessions, omar: Account) -> None:
        cookie = sessions.bind_cookie(open_session(sessions, omar))
        shop.clock.advance(hours=1)
        with pytest.raises(TokenNotValid):
            sessions.continue_by_cookie(cookie)

    def test_two_processes_that_continue_at_once_get_tokens_of_one_age(
        self, shop: Shop, sessions: Sessions, ann: Account
    ) -> None:
        cookie = sessions.bind_cookie(open_session(sessions, ann))
        first = sessions.continue_by_cookie(cookie)
        shop.clock.advance(minutes=2.5)
        assert sessions.continue_by_cookie(cookie).expires_at == first.expires_at
        shop.clock.advance(minutes=2.5)
        assert sessions.continue_by_cookie(cookie).expires_at == shop.clock.now() + LIFETIMES.access

    @pytest.mark.parametrize(
        "change", [lambda c: c + "x", lambda c: c[:-1], lambda c: "x" + c, lambda _: "", str.upper]
    )
    def test_another_cookie_is_refused(self, sessions: Sessions, ann: Account, change: Callable[[str], str]) -> None:
        cookie = sessions.bind_cookie(open_session(sessions, ann))
        with pytest.raises(TokenNotValid):
            sessions.continue_by_cookie(change(cookie))

    def test_the_id_of_a_session_with_a_refresh_token_is_not_a_cookie(self, sessions: Sessions, ann: Account) -> None:
        who = open_session(sessions, ann)
        with pytest.raises(TokenNotValid):
            sessions.continue_by_cookie(f"{who.session_id}.")

    def test_a_revoked_session_is_neither_bound_nor_continued(self, sessions: Sessions, ann: Account) -> None:
        who = open_session(sessions, ann)
        cookie = sessions.bind_cookie(who)
        sessions.log_out(who)
        with pytest.raises(TokenNotValid):
            sessions.continue_by_cookie(cookie)
        with pytest.raises(TokenNotValid):
            sessions.bind_cookie(who)

    def test_only_a_digest_of_the_cookie_is_stored(self, shop: Shop, sessions: Sessions, ann: Account) -> None:
        who = open_session(sessions, ann)
        secret = sessions.bind_cookie(who).partition(".")[2]
        with shop.store.begin() as tx:
            stored = tx.sessions.lock([who.session_id])[who.session_id]
        assert secret not in repr(stored)
