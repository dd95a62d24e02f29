from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from adapters.security.tokens import JwtTokens, secret_key
from adapters.system import RandomIds
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.account_token import AccountToken, TokenPurpose
from scalecommerce_core.domain.errors import (
    Invalid,
    MarketError,
    NotAuthenticated,
    NotFound,
    TokenNotValid,
    TooManyAttempts,
    TransactionAborted,
    Unavailable,
)
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.product_views import ViewerTrust
from scalecommerce_core.domain.session import Lifetimes
from scalecommerce_core.domain.webhook import WebhookEndpoint
from scalecommerce_core.ports import SecurityEvent, SecurityEventKind, Store, Transaction
from scalecommerce_core.services.accounts import Accounts, SignUp, SignUpLimits
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.sessions import Identity, Sessions, TokenPair
from scalecommerce_core.testing import (
    CountingIds,
    MemoryLoginLimiter,
    MemoryRateLimiter,
    PlainPasswords,
    RecordedSecurityEvents,
    RememberedTokens,
)
from tests.unit.support.shop import PASSWORD, Shop, line
from tests.unit.support.tampering import TamperedStore, failing, with_repository

EMAIL = "bea@example.com"
LIFETIMES = Lifetimes()


def sessions_over(store: Store, shop: Shop, lifetimes: Lifetimes = LIFETIMES, **more: Any) -> Sessions:
    ports: dict[str, Any] = {
        "ids": CountingIds(),
        "tokens": RememberedTokens(),
        "security_log": RecordedSecurityEvents(),
    }
    return Sessions(store, shop.clock, shop.queries, lifetimes=lifetimes, **ports | more)


def accounts_over(store: Store, shop: Shop, sessions: Sessions | None = None, **more: Any) -> Accounts:
    ports: dict[str, Any] = {
        "ids": CountingIds(),
        "passwords": PlainPasswords(),
        "tokens": RememberedTokens(),
        "limiter": MemoryLoginLimiter(),
        "rate_limiter": MemoryRateLimiter(),
        "security_log": RecordedSecurityEvents(),
        "sessions": sessions or sessions_over(store, shop),
    }
    return Accounts(store, shop.clock, **ports | more)


def errors(outcome: object) -> dict[str, list[str]]:
    assert isinstance(outcome, Invalid)
    return outcome.errors


# --- signing up


def test_an_account_begins_without_powers_and_in_lower_case(shop: Shop) -> None:
    account = unwrap_single(shop.accounts.sign_up([SignUp(" Ann@Example.COM ", PASSWORD, "Ann", "Lee", "Sells tea.")]))
    assert (account.email, account.first_name, account.last_name) == ("ann@example.com", "Ann", "Lee")
    assert (account.is_staff, account.is_active, account.created_at) == (False, True, shop.clock.now())
    assert PASSWORD not in repr(SignUp("ann@example.com", PASSWORD))
    assert shop.queries.account(account.id) is not None


def test_everything_that_is_wrong_is_said_at_once(shop: Shop) -> None:
    (outcome,) = shop.accounts.sign_up([SignUp("nobody", "short", "x" * 101, "\x00", "x" * 1001)])
    assert set(errors(outcome)) == {"email", "password", "first_name", "last_name", "bio"}


def test_a_password_close_to_the_person_is_refused(shop: Shop) -> None:
    (outcome,) = shop.accounts.sign_up([SignUp("annabelle@example.com", "annabelle")])
    assert set(errors(outcome)) == {"password"}


def test_an_address_is_taken_whatever_its_case(shop: Shop, buyer: Account) -> None:
    (outcome,) = shop.accounts.sign_up([SignUp(buyer.email.upper(), PASSWORD)])
    assert "exists already" in errors(outcome)["email"][0]


def test_a_refused_sign_up_fails_alone(shop: Shop, buyer: Account) -> None:
    wanted = ["a@example.com", "nobody", buyer.email, "A@example.com", "b@example.com"]
    outcomes = shop.accounts.sign_up([SignUp(email, PASSWORD) for email in wanted])
    made = [outcome.email if isinstance(outcome, Account) else None for outcome in outcomes]
    assert made == ["a@example.com", None, None, None, "b@example.com"]


def test_an_address_taken_between_read_and_write_is_refused_alone(shop: Shop, buyer: Account) -> None:
    blind = TamperedStore(shop.store, tamper=lambda tx: with_repository(tx, "accounts", by_email=lambda _: {}))
    accounts = accounts_over(blind, shop)
    taken, made = accounts.sign_up([SignUp(buyer.email, PASSWORD), SignUp("new@example.com", PASSWORD)])
    assert "email" in errors(taken)
    assert isinstance(made, Account)


def test_an_aborted_sign_up_is_tried_again(shop: Shop) -> None:
    accounts = accounts_over(TamperedStore(shop.store, before=failing(TransactionAborted())), shop)
    assert isinstance(accounts.sign_up([SignUp("new@example.com", PASSWORD)])[0], Account)


# --- logging in


def deactivate(shop: Shop, account: Account) -> None:
    with shop.store.begin() as tx:
        tx.accounts.save([evolve(account, is_active=False)])


def identity(shop: Shop, tokens: TokenPair) -> Identity:
    return shop.sessions.identify(tokens.access)


def test_a_token_identifies_its_session(shop: Shop, buyer: Account) -> None:
    tokens = shop.accounts.log_in(f" {EMAIL.upper()} ", PASSWORD)
    who = identity(shop, tokens)
    assert (who.account_id, who.is_staff) == (buyer.id, False)
    assert tokens.access not in repr(tokens)
    assert tokens.refresh not in repr(tokens)


@pytest.mark.usefixtures("buyer")
def test_refused_log_ins_have_one_message_for_all_reasons(shop: Shop) -> None:
    deactivate(shop, shop.person("ina"))
    shop.accounts.sign_up([SignUp("imported@example.com", None)])
    said = []
    for email, password in [
        ("unknown@example.com", PASSWORD),
        (EMAIL, "wrong password"),
        ("ina@example.com", PASSWORD),
        ("imported@example.com", ""),
        ("no address", PASSWORD),
        ("\x00\ud800", PASSWORD),
        ("", ""),
    ]:
        with pytest.raises(NotAuthenticated) as caught:
            shop.accounts.log_in(email, password)
        said.append((type(caught.value), str(caught.value)))
    assert len(set(said)) == 1


def guess(accounts: Accounts, email: str = EMAIL, *, times: int = 1, address: str = "1.1.1.1", **more: str) -> None:
    for _ in range(times):
        with pytest.raises(NotAuthenticated):
            accounts.log_in(email, "wrong password", address=address, **more)


@pytest.mark.usefixtures("buyer")
def test_wrong_guesses_of_a_stranger_do_not_stop_the_owner_elsewhere(shop: Shop) -> None:
    guess(shop.accounts, times=10)
    with pytest.raises(TooManyAttempts, match="try again in 300 s") as caught:
        shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1")
    assert caught.value.retry_after == timedelta(minutes=5)
    shop.accounts.log_in(EMAIL, PASSWORD, address="2.2.2.2")
    shop.clock.advance(minutes=5)
    shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1")


@pytest.mark.usefixtures("buyer")
def test_a_device_that_has_logged_in_is_not_stopped_by_guesses_from_its_own_address(shop: Shop) -> None:
    device = shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1").device
    guess(shop.accounts, times=10)
    tokens = shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1", device_token=device)
    # The device keeps its id, so that its failures count together.
    guess(shop.accounts, times=9, device_token=device)
    guess(shop.accounts, address="3.3.3.3", device_token=tokens.device)
    # A device with too many failures is an unknown one.
    with pytest.raises(TooManyAttempts):
        shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1", device_token=device)
    shop.accounts.log_in(EMAIL, PASSWORD, address="3.3.3.3", device_token=device)


@pytest.mark.usefixtures("buyer")
def test_a_device_token_of_another_account_or_an_old_password_is_no_better_than_none(shop: Shop) -> None:
    shop.person("cat")
    foreign = shop.accounts.log_in("cat@example.com", PASSWORD).device
    tokens = shop.accounts.log_in(EMAIL, PASSWORD, address="9.9.9.9")
    shop.accounts.change_password(identity(shop, tokens), PASSWORD, "another password")
    guess(shop.accounts, times=10)
    for token in (foreign, tokens.device, tokens.access, "made up"):
        with pytest.raises(TooManyAttempts):
            shop.accounts.log_in(EMAIL, "another password", address="1.1.1.1", device_token=token)
    device = shop.accounts.log_in(EMAIL, "another password", address="9.9.9.9", device_token=tokens.device).device
    shop.accounts.log_in(EMAIL, "another password", address="1.1.1.1", device_token=device)


def test_a_device_token_gives_no_access(shop: Shop, tokens: TokenPair) -> None:
    for use in (shop.sessions.identify, shop.sessions.verify, shop.sessions.refresh):
        assert refused(use, tokens.device)


@pytest.mark.usefixtures("buyer")
def test_distributed_guesses_close_an_account_to_unknown_clients_only(shop: Shop) -> None:
    shop.accounts.log_in(EMAIL, PASSWORD, address="home")
    device = shop.accounts.log_in(EMAIL, PASSWORD, address="office").device
    for number in range(10):
        guess(shop.accounts, times=10, address=f"bot {number}")
    with pytest.raises(TooManyAttempts) as caught:
        shop.accounts.log_in(EMAIL, PASSWORD, address="hotel")
    assert caught.value.retry_after == timedelta(hours=1)
    shop.accounts.log_in(EMAIL, PASSWORD, address="home")
    shop.accounts.log_in(EMAIL, PASSWORD, address="hotel", device_token=device)
    # A success of the owner does not make room for further guesses.
    with pytest.raises(TooManyAttempts):
        shop.accounts.log_in(EMAIL, "wrong password", address="another bot")


@pytest.mark.usefixtures("buyer")
def test_guesses_at_invented_addresses_do_not_stop_others_at_the_same_client_address(shop: Shop) -> None:
    for number in range(100):
        guess(shop.accounts, f"nobody{number}@example.com")
    shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1")
    ina = shop.person("ina")
    for number in range(400):
        guess(shop.accounts, f"none{number}@example.com")
    with pytest.raises(TooManyAttempts):
        shop.accounts.log_in(ina.email, PASSWORD, address="1.1.1.1")
    shop.accounts.log_in(ina.email, PASSWORD, address="2.2.2.2")
    # The buyer has logged in from there before.
    shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1")


@pytest.mark.parametrize("addresses", [[""] * 60, [f"2001:db8:1:{number:x}::/64" for number in range(501)]])
def test_clients_without_an_address_and_of_one_ipv6_site_are_limited_together(
    shop: Shop, addresses: Sequence[str]
) -> None:
    most = 500 if addresses[0] == "" else 5_000
    for number in range(most):
        guess(shop.accounts, f"nobody{number // 5}@example.com", address=addresses[number // 10 % len(addresses)])
    with pytest.raises(TooManyAttempts):
        shop.accounts.log_in("somebody@example.com", PASSWORD, address=addresses[-1])
    guess(shop.accounts, "somebody@example.com", address="2001:db8:2::/64")


@pytest.mark.usefixtures("buyer")
def test_a_success_resets_the_failures_of_its_client_address_only(shop: Shop) -> None:
    for address in ("1.1.1.1", "2.2.2.2"):
        guess(shop.accounts, times=9, address=address)
    shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1")
    guess(shop.accounts, times=10, address="1.1.1.1")
    guess(shop.accounts, times=1, address="2.2.2.2")
    with pytest.raises(TooManyAttempts):
        shop.accounts.log_in(EMAIL, PASSWORD, address="2.2.2.2")


@pytest.mark.usefixtures("buyer")
def test_unknown_and_known_accounts_are_limited_alike(shop: Shop) -> None:
    said = []
    for email in (EMAIL, "unknown@example.com"):
        guess(shop.accounts, email, times=10)
        with pytest.raises(TooManyAttempts) as caught:
            shop.accounts.log_in(email, "wrong password", address="1.1.1.1")
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_log_in_renews_a_hash_with_outdated_parameters(shop: Shop, buyer: Account) -> None:
    accounts = accounts_over(shop.store, shop, passwords=PlainPasswords(cost=2))
    guess(accounts)
    assert password_hash(shop, buyer) == buyer.password_hash
    accounts.log_in(EMAIL, PASSWORD)
    assert password_hash(shop, buyer) == PlainPasswords(cost=2).hash(PASSWORD)
    renewed = password_hash(shop, buyer)
    accounts.log_in(EMAIL, PASSWORD)
    assert password_hash(shop, buyer) is renewed


def password_hash(shop: Shop, account: Account) -> str | None:
    with shop.store.begin() as tx:
        return tx.accounts.lock([account.id])[account.id].password_hash


@pytest.mark.usefixtures("buyer")
def test_a_log_in_succeeds_although_its_hash_cannot_be_renewed(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    fail = failing(Unavailable("No database."))
    broken = TamperedStore(shop.store, tamper=lambda tx: with_repository(tx, "accounts", lock=lambda _ids: fail()))
    accounts = accounts_over(broken, shop, sessions_over(shop.store, shop), passwords=PlainPasswords(cost=2))
    assert accounts.log_in(EMAIL, PASSWORD).access
    assert "was not renewed" in caplog.text


def test_a_password_changed_during_a_log_in_is_not_overwritten_and_ends_it(shop: Shop, buyer: Account) -> None:
    class SlowPasswords(PlainPasswords):
        def hash(self, password: str) -> str:
            with shop.store.begin() as tx:
                tx.accounts.save([evolve(buyer, password_hash="changed meanwhile")])
            return super().hash(password)

    with pytest.raises(NotAuthenticated):
        accounts_over(shop.store, shop, passwords=SlowPasswords(cost=2)).log_in(EMAIL, PASSWORD)
    assert password_hash(shop, buyer) == "changed meanwhile"


def test_two_log_ins_may_renew_the_hash_at_once(shop: Shop, buyer: Account) -> None:
    class SlowPasswords(PlainPasswords):
        def hash(self, password: str) -> str:
            accounts_over(shop.store, shop, passwords=PlainPasswords(cost=3)).log_in(EMAIL, password)
            return super().hash(password)

    assert accounts_over(shop.store, shop, passwords=SlowPasswords(cost=2)).log_in(EMAIL, PASSWORD).access
    assert password_hash(shop, buyer) == PlainPasswords(cost=3).hash(PASSWORD)


@pytest.mark.parametrize("changes", [{"is_active": False}, {"password_hash": "changed meanwhile"}])
def test_a_log_in_that_a_deactivation_or_a_new_password_overtakes_opens_no_session(
    shop: Shop, buyer: Account, changes: dict[str, Any]
) -> None:
    class SlowPasswords(PlainPasswords):
        def verify(self, password_hash: str | None, password: str) -> bool:
            right = super().verify(password_hash, password)
            with shop.store.begin() as tx:
                tx.accounts.save([evolve(buyer, **changes)])
            return right

    with pytest.raises(NotAuthenticated):
        accounts_over(shop.store, shop, passwords=SlowPasswords()).log_in(EMAIL, PASSWORD)
    assert list(shop.tables.sessions.all()) == []


def test_log_ins_and_sign_ups_are_recorded_for_operators(shop: Shop) -> None:
    log = RecordedSecurityEvents()
    accounts = accounts_over(shop.store, shop, security_log=log)
    account = unwrap_single(accounts.sign_up([SignUp("ann@example.com", PASSWORD)], address="1.1.1.1"))
    accounts.log_in(account.email, PASSWORD, address="1.1.1.1")
    guess(accounts, account.email, times=10)
    guess(accounts, "unknown@example.com", address="2.2.2.2")
    with pytest.raises(TooManyAttempts):
        accounts.log_in(account.email, PASSWORD, address="1.1.1.1")
    accounts.appoint_staff(account.email, "another password")
    kinds = SecurityEventKind
    assert log.events == [
        SecurityEvent(kinds.SIGN_UP, account.id, "1.1.1.1"),
        SecurityEvent(kinds.LOG_IN, account.id, "1.1.1.1"),
        *[SecurityEvent(kinds.LOG_IN_FAILED, account.id, "1.1.1.1")] * 10,
        SecurityEvent(kinds.LOG_IN_FAILED, None, "2.2.2.2"),
        SecurityEvent(kinds.LOG_IN_LIMITED, account.id, "1.1.1.1"),
        SecurityEvent(kinds.STAFF_APPOINTED, account.id),
    ]


def test_accounts_that_operators_and_imports_add_are_no_sign_ups(shop: Shop) -> None:
    log = RecordedSecurityEvents()
    accounts = accounts_over(shop.store, shop, security_log=log)
    accounts.sign_up([SignUp("imported@example.com", None), SignUp("another@example.com", None)])
    assert log.events == []
    accounts.sign_up([SignUp("unknown-address@example.com", PASSWORD)], address="")
    assert [event.kind for event in log.events] == [SecurityEventKind.SIGN_UP]


# --- limits on signing up


def sign_ups(accounts: Accounts, names: str, address: str | None) -> list[str]:
    outcomes = [accounts.sign_up([SignUp(f"{name}@example.com", PASSWORD)], address=address)[0] for name in names]
    return [type(outcome).__name__ for outcome in outcomes]


def test_sign_ups_are_limited_per_address_and_in_total(shop: Shop) -> None:
    accounts = accounts_over(shop.store, shop, sign_up_limits=SignUpLimits(2, 3, timedelta(hours=1)))
    assert sign_ups(accounts, "abc", "1.1.1.1") == ["Account", "Account", "TooManyAttempts"]
    assert sign_ups(accounts, "de", "2.2.2.2") == ["Account", "TooManyAttempts"]
    with pytest.raises(TooManyAttempts, match="3600 s"):
        accounts.check_sign_up("1.1.1.1")
    accounts.check_sign_up("3.3.3.3")
    shop.clock.advance(hours=1)
    accounts.check_sign_up("1.1.1.1")
    assert sign_ups(accounts, "c", "1.1.1.1") == ["Account"]


def test_a_limited_sign_up_is_not_hashed(shop: Shop) -> None:
    hashed = []

    class WatchedPasswords(PlainPasswords):
        def hash(self, password: str) -> str:
            hashed.append(password)
            return super().hash(password)

    accounts = accounts_over(shop.store, shop, passwords=WatchedPasswords(), sign_up_limits=SignUpLimits(per_address=1))
    sign_ups(accounts, "abc", "1.1.1.1")
    accounts.sign_up([SignUp("d@example.com", "short")], address="2.2.2.2")
    assert hashed == [PASSWORD]


def test_attempts_at_taken_addresses_count_and_invalid_ones_do_not(shop: Shop, buyer: Account) -> None:
    accounts = accounts_over(shop.store, shop, sign_up_limits=SignUpLimits(per_address=2))
    for password in ("short", PASSWORD, PASSWORD):
        assert isinstance(accounts.sign_up([SignUp(buyer.email, password)], address="1.1.1.1")[0], Invalid)
    assert sign_ups(accounts, "a", "1.1.1.1") == ["TooManyAttempts"]


def test_attempts_are_limited_before_the_rules_are_checked(shop: Shop) -> None:
    accounts = accounts_over(shop.store, shop, sign_up_limits=SignUpLimits(per_address=2))
    weak = [SignUp("a@example.com", "short")]
    outcomes = [accounts.sign_up(weak, address="1.1.1.1")[0] for _ in range(21)]
    assert [type(outcome) for outcome in outcomes] == [Invalid] * 20 + [TooManyAttempts]
    with pytest.raises(TooManyAttempts):
        accounts.check_sign_up("1.1.1.1")
    assert isinstance(accounts.sign_up(weak, address="2.2.2.2")[0], Invalid)


def test_one_ipv6_site_has_the_sign_ups_of_ten_clients(shop: Shop) -> None:
    accounts = accounts_over(shop.store, shop, sign_up_limits=SignUpLimits(1, 0))
    sites = [f"2001:db8:1:{number}::/64" for number in range(12)]
    outcomes = [sign_ups(accounts, name, site)[0] for name, site in zip("abcdefghijkl", sites, strict=True)]
    assert outcomes == ["Account"] * 10 + ["TooManyAttempts"] * 2
    assert sign_ups(accounts, "xy", "2001:db8:2::/64") == ["Account", "TooManyAttempts"]


def test_clients_without_an_address_share_the_limit_of_one(shop: Shop) -> None:
    accounts = accounts_over(shop.store, shop, sign_up_limits=SignUpLimits(per_address=2))
    assert sign_ups(accounts, "abc", "") == ["Account", "Account", "TooManyAttempts"]
    with pytest.raises(TooManyAttempts):
        accounts.check_sign_up("")
    assert sign_ups(accounts, "c", "1.1.1.1") == ["Account"]


def test_sign_ups_of_operators_and_limits_of_zero_are_unlimited(shop: Shop) -> None:
    accounts = accounts_over(shop.store, shop, sign_up_limits=SignUpLimits(1, 1))
    assert sign_ups(accounts, "abc", None) == ["Account"] * 3
    accounts = accounts_over(shop.store, shop, sign_up_limits=SignUpLimits(0, 0))
    assert sign_ups(accounts, "def", "1.1.1.1") == ["Account"] * 3


# --- tokens


@pytest.fixture
def tokens(shop: Shop, buyer: Account) -> TokenPair:
    return shop.accounts.log_in(buyer.email, PASSWORD)


def refused(act: Callable[..., object], *args: Any) -> bool:
    with pytest.raises(TokenNotValid):
        act(*args)
    return True


def test_a_refresh_replaces_the_refresh_token(shop: Shop, tokens: TokenPair) -> None:
    second = shop.sessions.refresh(tokens.refresh)
    assert second.refresh != tokens.refresh
    third = shop.sessions.refresh(second.refresh)
    assert identity(shop, third) == identity(shop, tokens)


def test_reuse_of_an_old_refresh_token_revokes_the_session(shop: Shop, tokens: TokenPair) -> None:
    newest = shop.sessions.refresh(tokens.refresh)
    other = shop.accounts.log_in(EMAIL, PASSWORD)
    shop.clock.advance(seconds=10)
    assert refused(shop.sessions.refresh, tokens.refresh)
    assert refused(shop.sessions.refresh, newest.refresh)
    shop.sessions.refresh(other.refresh)


def test_trust_grows_with_the_age_of_an_account_and_of_its_first_purchase(shop: Shop, buyer: Account) -> None:
    def trust() -> tuple[ViewerTrust, ViewerTrust]:
        """Trust after a log-in, and after a refresh."""
        pair = shop.accounts.log_in(buyer.email, PASSWORD)
        refreshed = shop.sessions.refresh(pair.refresh)
        return identity(shop, pair).trust, identity(shop, refreshed).trust

    product = shop.list(shop.person("cem"))
    own = shop.list(buyer)
    shop.clock.advance(days=1)
    shop.buy(buyer, line(own))
    assert trust() == (ViewerTrust.UNKNOWN,) * 2
    shop.clock.advance(days=6)
    assert trust() == (ViewerTrust.ESTABLISHED,) * 2
    shop.buy(buyer, line(product))
    shop.clock.advance(days=7)
    assert trust() == (ViewerTrust.ESTABLISHED,) * 2, (
        "the purchase is not old enough, and that of an own product is none"
    )
    shop.clock.advance(seconds=1)
    assert trust() == (ViewerTrust.BUYER,) * 2


def test_a_token_used_twice_within_the_grace_gets_the_same_pair(shop: Shop, tokens: TokenPair) -> None:
    first = shop.sessions.refresh(tokens.refresh)
    shop.clock.advance(seconds=9.9)
    assert shop.sessions.refresh(tokens.refresh) == first
    assert identity(shop, first) == identity(shop, tokens)
    # The session continues with the new pair, and the grace period applies only to the last exchange.
    second = shop.sessions.refresh(first.refresh)
    assert shop.sessions.refresh(first.refresh) == second
    assert refused(shop.sessions.refresh, tokens.refresh)
    assert refused(shop.sessions.refresh, second.refresh)


def test_the_grace_is_not_prolonged_by_its_use(shop: Shop, tokens: TokenPair) -> None:
    shop.sessions.refresh(tokens.refresh)
    for _ in range(3):
        shop.clock.advance(seconds=3)
        shop.sessions.refresh(tokens.refresh)
    shop.clock.advance(seconds=1)
    assert refused(shop.sessions.refresh, tokens.refresh)


def test_without_a_grace_the_second_use_of_a_token_ends_the_session(shop: Shop, tokens: TokenPair) -> None:
    sessions = sessions_over(shop.store, shop, Lifetimes(refresh_grace=timedelta()))
    tokens = accounts_over(shop.store, shop, sessions).log_in(EMAIL, PASSWORD)
    newest = sessions.refresh(tokens.refresh)
    assert refused(sessions.refresh, tokens.refresh)
    assert refused(sessions.refresh, newest.refresh)


def test_logging_out_ends_the_grace(shop: Shop, tokens: TokenPair) -> None:
    newest = shop.sessions.refresh(tokens.refresh)
    shop.sessions.log_out(identity(shop, newest))
    assert refused(shop.sessions.refresh, tokens.refresh)


def test_a_new_password_ends_the_grace_of_the_session_that_is_kept(shop: Shop, tokens: TokenPair) -> None:
    newest = shop.sessions.refresh(tokens.refresh)
    shop.accounts.change_password(identity(shop, newest), PASSWORD, "another password")
    newest = shop.sessions.refresh(newest.refresh)
    shop.accounts.change_password(identity(shop, newest), "another password", PASSWORD)
    assert refused(shop.sessions.refresh, tokens.refresh)


def test_signed_tokens_of_one_exchange_are_the_same_bytes(shop: Shop, buyer: Account) -> None:
    """Issued by two API processes that share only the store and the signing key."""
    first, second = (
        sessions_over(shop.store, shop, ids=RandomIds(), tokens=JwtTokens(secret_key("s" * 32))) for _ in range(2)
    )
    tokens = accounts_over(shop.store, shop, first).log_in(buyer.email, PASSWORD)
    pair = first.refresh(tokens.refresh)
    shop.clock.advance(seconds=2.5)
    assert second.refresh(tokens.refresh) == pair
    assert pair != tokens


def test_access_and_refresh_tokens_are_not_interchangeable(shop: Shop, tokens: TokenPair) -> None:
    assert refused(shop.sessions.refresh, tokens.access)
    assert refused(shop.sessions.identify, tokens.refresh)
    assert refused(shop.sessions.verify, "made up")
    assert {shop.sessions.verify(token).account_id for token in (tokens.access, tokens.refresh)} == {
        identity(shop, tokens).account_id
    }


def test_tokens_expire(shop: Shop, tokens: TokenPair) -> None:
    shop.clock.advance(minutes=10)
    assert refused(shop.sessions.identify, tokens.access)
    tokens = shop.sessions.refresh(tokens.refresh)
    shop.clock.advance(days=14)
    assert refused(shop.sessions.refresh, tokens.refresh)


def test_each_refresh_prolongs_the_session(shop: Shop, tokens: TokenPair) -> None:
    for _ in range(3):
        shop.clock.advance(days=13)
        tokens = shop.sessions.refresh(tokens.refresh)


def test_an_inactive_account_refreshes_nothing(shop: Shop, buyer: Account, tokens: TokenPair) -> None:
    deactivate(shop, buyer)
    assert refused(shop.sessions.refresh, tokens.refresh)


def test_a_promoted_account_keeps_nothing_by_which_a_stranger_could_return(
    shop: Shop, buyer: Account, tokens: TokenPair
) -> None:
    shop.accounts.edit_profile(buyer.id, first_name="The", last_name="Boss", bio="Trust me.")
    with pytest.raises(Invalid, match="new password"):
        shop.accounts.appoint_staff(EMAIL)
    with pytest.raises(Invalid, match="password"):
        shop.accounts.appoint_staff(EMAIL, "short")
    assert not identity(shop, shop.accounts.log_in(EMAIL, PASSWORD)).is_staff
    account = shop.accounts.appoint_staff(EMAIL.upper(), "another password")
    assert (account.is_staff, account.first_name, account.last_name, account.bio) == (True, "", "", "")
    assert refused(shop.sessions.identify, tokens.access)
    assert refused(shop.sessions.refresh, tokens.refresh)
    with pytest.raises(NotAuthenticated):
        shop.accounts.log_in(EMAIL, PASSWORD, device_token=tokens.device)
    assert identity(shop, shop.accounts.log_in(EMAIL, "another password")).is_staff
    with pytest.raises(NotFound):
        shop.accounts.appoint_staff("unknown@example.com", PASSWORD)


def test_the_webhook_endpoints_of_a_promoted_account_are_disabled(shop: Shop, buyer: Account) -> None:
    others = unwrap_single(shop.accounts.sign_up([SignUp("staff@example.com", PASSWORD, is_staff=True)]))
    with shop.store.begin() as tx:
        ids = tx.webhooks.next_ids(2)
        for id_, owner in zip(ids, (buyer, others), strict=True):
            made = WebhookEndpoint(id_, owner.id, "https://hooks.example/", shop.clock.now(), all_events=owner.is_staff)
            tx.webhooks.add([made])
    shop.accounts.appoint_staff(EMAIL, "another password")
    with shop.store.begin() as tx:
        found = tx.webhooks.get_many(ids)
    assert [found[id_].is_active for id_ in ids] == [False, True]
    assert "became staff" in (found[ids[0]].disabled_because or "")


def test_a_promoted_account_with_a_verified_address_keeps_its_profile(shop: Shop, buyer: Account) -> None:
    with shop.store.begin() as tx:
        tx.accounts.save([evolve(buyer, email_verified_at=shop.clock.now())])
        (endpoint,) = tx.webhooks.next_ids(1)
        tx.webhooks.add([WebhookEndpoint(endpoint, buyer.id, "https://hooks.example/", shop.clock.now())])
        pending = AccountToken("digest", buyer.id, TokenPurpose.CHANGE_EMAIL, "new@example.com", "", shop.clock.now())
        tx.account_tokens.add([pending])
    assert shop.accounts.appoint_staff(EMAIL, "another password").first_name == "bea"
    with shop.store.begin() as tx:
        assert tx.webhooks.get_many([endpoint])[endpoint].is_active
        assert tx.account_tokens.get_many(["digest"]) == {}


def test_an_account_that_is_staff_already_keeps_its_profile(shop: Shop, buyer: Account) -> None:
    shop.accounts.appoint_staff(EMAIL, "another password")
    shop.accounts.edit_profile(buyer.id, bio="Looks after the market.")
    tokens = shop.accounts.log_in(EMAIL, "another password")
    assert shop.accounts.appoint_staff(EMAIL).is_staff
    shop.sessions.refresh(tokens.refresh)
    assert shop.accounts.appoint_staff(EMAIL, "third password").bio == "Looks after the market."
    assert refused(shop.sessions.refresh, tokens.refresh)


def test_an_account_without_a_password_is_made_staff_with_one(shop: Shop) -> None:
    imported = unwrap_single(shop.accounts.sign_up([SignUp("imported@example.com", None)]))
    assert shop.accounts.appoint_staff(imported.email, PASSWORD).is_staff
    assert identity(shop, shop.accounts.log_in(imported.email, PASSWORD)).is_staff


def test_logging_out_ends_this_session_and_can_be_repeated(shop: Shop, tokens: TokenPair) -> None:
    other = shop.accounts.log_in(EMAIL, PASSWORD)
    who = identity(shop, tokens)
    shop.sessions.log_out(who)
    shop.sessions.log_out(who)
    assert refused(shop.sessions.identify, tokens.access)
    assert refused(shop.sessions.refresh, tokens.refresh)
    shop.sessions.refresh(other.refresh)


# --- profile and password


def test_a_new_password_ends_the_other_sessions(shop: Shop, tokens: TokenPair) -> None:
    other = shop.accounts.log_in(EMAIL, PASSWORD)
    shop.accounts.change_password(identity(shop, tokens), PASSWORD, "another password")
    shop.sessions.refresh(tokens.refresh)
    assert refused(shop.sessions.refresh, other.refresh)
    with pytest.raises(NotAuthenticated):
        shop.accounts.log_in(EMAIL, PASSWORD)
    shop.accounts.log_in(EMAIL, "another password")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [("wrong password", "another password", "old_password"), (PASSWORD, "short", "new_password"),
     (PASSWORD, EMAIL, "new_password")],
)  # fmt: skip
def test_a_password_change_needs_the_old_password_and_a_strong_new_one(
    shop: Shop, tokens: TokenPair, old: str, new: str, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        shop.accounts.change_password(identity(shop, tokens), old, new)
    assert list(caught.value.errors) == [field]
    shop.accounts.log_in(EMAIL, PASSWORD)


def test_a_password_change_takes_no_guesses_without_limit(shop: Shop, tokens: TokenPair) -> None:
    who = identity(shop, tokens)
    for _ in range(10):
        with pytest.raises(Invalid):
            shop.accounts.change_password(who, "wrong password", "another password", address="1.1.1.1")
    for old in ("wrong password", PASSWORD):
        with pytest.raises(TooManyAttempts):
            shop.accounts.change_password(who, old, "another password", address="1.1.1.1")
    # Log-ins are counted apart, and other client addresses too.
    shop.accounts.log_in(EMAIL, PASSWORD, address="1.1.1.1")
    shop.accounts.change_password(who, PASSWORD, "another password", address="2.2.2.2")


def test_failed_log_ins_of_a_stranger_do_not_stop_a_password_change(shop: Shop, tokens: TokenPair) -> None:
    for number in range(10):
        guess(shop.accounts, times=10, address=f"bot {number}")
    shop.accounts.change_password(identity(shop, tokens), PASSWORD, "another password", address="bot 1")


def test_a_profile_is_edited_field_by_field(shop: Shop, buyer: Account) -> None:
    shop.accounts.edit_profile(buyer.id, last_name="Lee")
    shop.accounts.edit_profile(buyer.id, bio="Drinks tea.")
    with pytest.raises(Invalid):
        shop.accounts.edit_profile(buyer.id, first_name="Bo", bio="\x00")
    view = shop.queries.account(buyer.id)
    assert view is not None
    assert (view.first_name, view.last_name, view.bio) == ("bea", "Lee", "Drinks tea.")
    with pytest.raises(NotFound):
        shop.accounts.edit_profile(AccountId(999), bio="")


def test_sessions_of_a_missing_account_are_invalid(shop: Shop) -> None:
    def without_accounts(tx: Transaction) -> Transaction:
        return with_repository(tx, "accounts", lock=lambda _: {})

    gone = False

    def tamper(tx: Transaction) -> Transaction:
        return without_accounts(tx) if gone else tx

    store = TamperedStore(shop.store, tamper=tamper)
    sessions = sessions_over(store, shop)
    accounts = accounts_over(store, shop, sessions)
    signed_up: Sequence[Account | MarketError] = accounts.sign_up([SignUp("a@example.com", PASSWORD)])
    tokens = accounts.log_in(unwrap_single(signed_up).email, PASSWORD)
    who = sessions.identify(tokens.access)
    gone = True
    assert refused(sessions.refresh, tokens.refresh)
    with pytest.raises(NotFound):
        accounts.change_password(who, PASSWORD, "another password")


@pytest.mark.parametrize("address", ["\u212aara@example.com", "kara@example.com\u200b", "kara@e\uff58ample.com"])
def test_a_lookalike_email_address_is_refused(shop: Shop, address: str) -> None:
    unwrap_single(shop.accounts.sign_up([SignUp("kara@example.com", PASSWORD)]))
    (twin,) = shop.accounts.sign_up([SignUp(address, PASSWORD)])
    assert isinstance(twin, Invalid)
    assert twin.errors.keys() == {"email"}
    with pytest.raises(NotAuthenticated):
        shop.accounts.log_in(address, PASSWORD)
    with pytest.raises(Invalid):
        shop.accounts.appoint_staff(address, PASSWORD)
