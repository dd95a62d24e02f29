"""Password reset, verification and change of e-mail addresses, and the delivery of their e-mails."""

import contextlib
import itertools
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.account_token import TOKEN_BYTES
from scalecommerce_core.domain.errors import (
    Invalid,
    MarketError,
    NotAuthenticated,
    NotFound,
    TokenNotValid,
    TooManyAttempts,
)
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId
from scalecommerce_core.domain.outgoing_email import MAX_ATTEMPTS, RETRY_DELAYS
from scalecommerce_core.ports import EmailFailure, SecurityEventKind, Transaction
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.emails import EmailDisabled, EmailRules, EmailSummary
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.second_factors import SecondFactorNotEnabled
from scalecommerce_core.services.sessions import Identity
from scalecommerce_core.services.webhooks import CreateEndpoint
from scalecommerce_core.testing import (
    CountingOneTimePasswords,
    MemoryStore,
    RecordedSecurityEvents,
    RecordingEmailSender,
    SettableClock,
    in_memory_market,
)
from tests.unit.support.shop import PASSWORD, MarketActions

NEW = "another long password"
RULES = EmailRules(enabled=True, public_url="https://shop.example/")
ADDRESS = "192.0.2.1"


class Mailing:
    """A market with the e-mails that it has sent."""

    def __init__(self, rules: EmailRules = RULES) -> None:
        self.clock = SettableClock()
        self.memory = MemoryStore()
        self.sender = RecordingEmailSender()
        self.log = RecordedSecurityEvents()
        self.market: Market = in_memory_market(
            self.clock, memory=self.memory, email_sender=self.sender, email_rules=rules, security_log=self.log
        )
        self.owner = MarketActions(self.market).person("owner")

    def deliver(self) -> list[tuple[str, str]]:
        """Send due e-mails; return the recipients and subjects of new ones."""
        before = len(self.sender.sent)
        self.market.emails.deliver()
        return [(email.recipient, email.subject) for email in self.sender.sent[before:]]

    def token(self) -> str:
        """The token in the newest e-mail that has one."""
        found = [match[1] for email in self.sender.sent if (match := re.search(r"#token=([\w-]+)", email.text))]
        return found[-1]

    def reset_token(self) -> str:
        self.market.password_reset.request(self.owner.email)
        self.deliver()
        return self.token()

    def account(self) -> Account:
        with self.market.store.begin() as tx:
            return tx.accounts.get_many([self.owner.id])[self.owner.id]

    def can_log_in(self, password: str, email: str = "") -> bool:
        try:
            self.market.accounts.log_in(email or self.owner.email, password)
        except NotAuthenticated:
            return False
        return True


@pytest.fixture
def mailing() -> Mailing:
    return Mailing()


# --- password reset


def test_a_reset_sets_the_password_and_ends_all_sessions(mailing: Mailing) -> None:
    pair = mailing.market.accounts.log_in(mailing.owner.email, PASSWORD)
    token = mailing.reset_token()
    assert len(token) >= TOKEN_BYTES * 4 // 3
    assert "https://shop.example/reset-password#token=" in mailing.sender.sent[-1].text
    assert "30 minutes" in mailing.sender.sent[-1].text
    mailing.market.password_reset.confirm(token, NEW, address=ADDRESS)
    assert (mailing.can_log_in(NEW), mailing.can_log_in(PASSWORD)) == (True, False)
    assert mailing.account().email_verified_at == mailing.clock.now()
    with pytest.raises(TokenNotValid):
        mailing.market.sessions.refresh(pair.refresh)
    assert mailing.deliver() == [(mailing.owner.email, "Your password was reset")]
    assert SecurityEventKind.PASSWORD_RESET in mailing.log.kinds


def test_a_token_is_stored_as_a_digest_only(mailing: Mailing) -> None:
    token = mailing.reset_token()
    (stored,) = mailing.memory.tables.account_tokens.all()
    assert token not in str(stored)
    assert token not in repr(mailing.sender.sent)
    assert list(mailing.memory.tables.emails.all()) == []


def test_a_token_works_once(mailing: Mailing) -> None:
    token = mailing.reset_token()
    mailing.market.password_reset.confirm(token, NEW)
    with pytest.raises(Invalid) as refused:
        mailing.market.password_reset.confirm(token, PASSWORD)
    assert set(refused.value.errors) == {"token"}
    assert mailing.can_log_in(NEW)


def test_a_token_expires(mailing: Mailing) -> None:
    token = mailing.reset_token()
    mailing.clock.advance(minutes=30)
    with pytest.raises(Invalid):
        mailing.market.password_reset.confirm(token, NEW)
    mailing.clock.advance(minutes=1)
    assert mailing.market.emails.purge() == 1
    assert list(mailing.memory.tables.account_tokens.all()) == []


def test_a_reset_makes_the_other_tokens_invalid(mailing: Mailing) -> None:
    first, second = mailing.reset_token(), mailing.reset_token()
    mailing.market.password_reset.confirm(second, NEW)
    with pytest.raises(Invalid):
        mailing.market.password_reset.confirm(first, PASSWORD)


def test_a_changed_password_makes_tokens_invalid(mailing: Mailing) -> None:
    token = mailing.reset_token()
    pair = mailing.market.accounts.log_in(mailing.owner.email, PASSWORD)
    mailing.market.accounts.change_password(mailing.market.sessions.identify(pair.access), PASSWORD, NEW)
    with pytest.raises(Invalid):
        mailing.market.password_reset.confirm(token, "a third long password")
    assert mailing.deliver() == [(mailing.owner.email, "Your password was changed")]
    assert "API keys" not in mailing.sender.sent[-1].text


@pytest.mark.parametrize("change", ["email", "is_active"])
def test_a_changed_or_deactivated_account_makes_tokens_invalid(mailing: Mailing, change: str) -> None:
    token = mailing.reset_token()
    with mailing.market.store.begin() as tx:
        account = tx.accounts.lock([mailing.owner.id])[mailing.owner.id]
        setattr(account, change, {"email": "other@example.com", "is_active": False}[change])
        tx.accounts.save([account])
    with pytest.raises(Invalid):
        mailing.market.password_reset.confirm(token, NEW)


def test_a_weak_password_is_refused_and_the_token_stays_valid(mailing: Mailing) -> None:
    token = mailing.reset_token()
    for weak in ("short", mailing.owner.email):
        with pytest.raises(Invalid) as refused:
            mailing.market.password_reset.confirm(token, weak)
        assert set(refused.value.errors) == {"new_password"}
    mailing.market.password_reset.confirm(token, NEW)


def test_a_token_of_another_purpose_is_refused(mailing: Mailing) -> None:
    mailing.market.email_verification.request(mailing.owner.id)
    mailing.deliver()
    with pytest.raises(Invalid):
        mailing.market.password_reset.confirm(mailing.token(), NEW)
    reset = mailing.reset_token()
    with pytest.raises(Invalid):
        mailing.market.email_verification.confirm(reset)


def test_an_account_without_password_gets_one(mailing: Mailing) -> None:
    imported = unwrap_single(mailing.market.accounts.sign_up([SignUp("imported@example.com", None)]))
    mailing.market.password_reset.request(imported.email)
    mailing.deliver()
    mailing.market.password_reset.confirm(mailing.token(), NEW)
    assert mailing.can_log_in(NEW, imported.email)


def test_requests_for_known_and_unknown_addresses_do_the_same(mailing: Mailing) -> None:
    """Attack: find out which addresses have accounts. Both requests write one row, and only the worker looks it up."""
    rows = []
    for email in (mailing.owner.email, "nobody@example.com"):
        commits = mailing.memory.commits
        mailing.market.password_reset.request(email, address=ADDRESS)
        (row,) = mailing.memory.tables.emails.all()
        rows.append((row.kind, row.account_id, row.try_at, row.attempts, mailing.memory.commits - commits))
        mailing.deliver()
    assert rows[0] == rows[1]
    assert [email.recipient for email in mailing.sender.sent] == [mailing.owner.email]
    assert list(mailing.memory.tables.emails.all()) == []


def _refusal(mailing: Mailing, email: str) -> str:
    with pytest.raises(TooManyAttempts) as refused:
        mailing.market.password_reset.request(email)
    return str(refused.value)


def test_limits_are_the_same_for_known_and_unknown_addresses(mailing: Mailing) -> None:
    refusals = []
    for email in (mailing.owner.email, "nobody@example.com"):
        for _ in range(5):
            mailing.market.password_reset.request(email)
        refusals.append(_refusal(mailing, email.upper()))
    assert refusals[0] == refusals[1]
    mailing.clock.advance(hours=1)
    mailing.market.password_reset.request(mailing.owner.email)


def test_a_network_is_limited_over_all_addresses(mailing: Mailing) -> None:
    for number in range(50):
        mailing.market.password_reset.request(f"person-{number}@example.com", address=ADDRESS)
    with pytest.raises(TooManyAttempts):
        mailing.market.password_reset.request("one.more@example.com", address=ADDRESS)
    mailing.market.password_reset.request("one.more@example.com", address="192.0.2.2")


def test_an_ipv6_site_may_request_and_guess_ten_times_as_much_as_a_client(mailing: Mailing) -> None:
    for number in range(500):
        address = f"2001:db8:1:{number:x}::/64"
        mailing.market.password_reset.request(f"person-{number}@example.com", address=address)
        with pytest.raises(Invalid):
            mailing.market.password_reset.confirm("guess", NEW, address=address)
    with pytest.raises(TooManyAttempts):
        mailing.market.password_reset.request("one.more@example.com", address="2001:db8:1:ffff::/64")
    with pytest.raises(TooManyAttempts):
        mailing.market.password_reset.confirm("guess", NEW, address="2001:db8:1:ffff::/64")
    mailing.market.password_reset.request("one.more@example.com", address="2001:db8:2::/64")


def test_requests_and_guesses_of_clients_without_an_address_are_limited(mailing: Mailing) -> None:
    for number in range(50):
        mailing.market.password_reset.request(f"person-{number}@example.com", address="")
        with pytest.raises(Invalid):
            mailing.market.email_verification.confirm("guess", address="")
    with pytest.raises(TooManyAttempts):
        mailing.market.password_reset.request("one.more@example.com", address="")
    with pytest.raises(TooManyAttempts):
        mailing.market.email_verification.confirm("guess", address="")


def test_other_emails_do_not_prevent_a_reset(mailing: Mailing) -> None:
    """Attack: somebody requests changes to the victim's address, so that the victim cannot reset the password."""
    thief = MarketActions(mailing.market).person("thief")
    for _ in range(4):
        mailing.market.email_verification.request_change(thief.id, mailing.owner.email, PASSWORD)
    mailing.market.email_verification.request(mailing.owner.id)
    assert mailing.reset_token()


def test_nobody_gets_notices_without_limit(mailing: Mailing) -> None:
    """Attack: an account at somebody else's address changes its password again and again."""
    passwords = [PASSWORD, NEW]
    for _ in range(30):
        old, new = passwords
        pair = mailing.market.accounts.log_in(mailing.owner.email, old)
        mailing.market.accounts.change_password(mailing.market.sessions.identify(pair.access), old, new)
        passwords.reverse()
        mailing.deliver()
    assert len(mailing.sender.sent) == 10
    assert mailing.reset_token()
    mailing.clock.advance(hours=1)
    mailing.market.email_verification.request_change(mailing.owner.id, "new@example.com", PASSWORD)
    assert len(mailing.deliver()) == 2


def test_guesses_of_tokens_are_limited(mailing: Mailing) -> None:
    """Attack: guess tokens."""
    for _ in range(50):
        with pytest.raises(Invalid):
            mailing.market.password_reset.confirm("guess", NEW, address=ADDRESS)
    token = mailing.reset_token()
    with pytest.raises(TooManyAttempts):
        mailing.market.password_reset.confirm(token, NEW, address=ADDRESS)
    with pytest.raises(TooManyAttempts):
        mailing.market.email_verification.confirm(token, address=ADDRESS)


@pytest.mark.parametrize("email", ["nobody", "a@b.ch\r\nBcc: c@d.ch", "ä@example.com", ""])
def test_an_invalid_address_is_refused(mailing: Mailing, email: str) -> None:
    with pytest.raises(Invalid) as refused:
        mailing.market.password_reset.request(email)
    assert set(refused.value.errors) == {"email"}


def test_nothing_is_sent_to_deactivated_accounts(mailing: Mailing) -> None:
    with mailing.market.store.begin() as tx:
        account = tx.accounts.lock([mailing.owner.id])[mailing.owner.id]
        account.is_active = False
        tx.accounts.save([account])
    mailing.market.password_reset.request(mailing.owner.email)
    assert mailing.deliver() == []


# --- verification


def test_sign_up_sends_a_link_that_verifies_the_address(mailing: Mailing) -> None:
    commands = [SignUp("new@example.com", PASSWORD, verify_email=True), SignUp("imported@example.com", PASSWORD)]
    new, imported = mailing.market.accounts.sign_up(commands)
    assert isinstance(new, Account)
    assert isinstance(imported, Account)
    assert mailing.deliver() == [("new@example.com", "Confirm your e-mail address")]
    assert "https://shop.example/verify-email#token=" in mailing.sender.sent[-1].text
    confirmed = mailing.market.email_verification.confirm(mailing.token())
    assert (confirmed.id, confirmed.email_verified_at) == (new.id, mailing.clock.now())
    assert mailing.log.kinds[-1] is SecurityEventKind.EMAIL_VERIFIED
    mailing.market.email_verification.request(new.id)
    assert mailing.deliver() == []


def test_a_link_verifies_only_the_address_that_it_was_sent_to(mailing: Mailing) -> None:
    mailing.market.email_verification.request(mailing.owner.id)
    mailing.deliver()
    with mailing.market.store.begin() as tx:
        account = tx.accounts.lock([mailing.owner.id])[mailing.owner.id]
        account.email = "other@example.com"
        tx.accounts.save([account])
    with pytest.raises(Invalid):
        mailing.market.email_verification.confirm(mailing.token())
    with pytest.raises(NotFound):
        mailing.market.email_verification.request(AccountId(999))


# --- change of the address


def test_a_confirmed_change_replaces_the_address(mailing: Mailing) -> None:
    reset = mailing.reset_token()
    mailing.market.email_verification.request_change(mailing.owner.id, " New@Example.com", PASSWORD)
    assert mailing.deliver() == [
        ("new@example.com", "Confirm your new e-mail address"),
        (mailing.owner.email, "Your e-mail address is about to change"),
    ]
    assert mailing.account().email == mailing.owner.email
    mailing.market.email_verification.confirm(mailing.token())
    assert (mailing.account().email, mailing.account().email_verified_at) == ("new@example.com", mailing.clock.now())
    assert mailing.deliver() == [(mailing.owner.email, "Your e-mail address was changed")]
    assert mailing.log.kinds[-1] is SecurityEventKind.EMAIL_CHANGED
    with pytest.raises(Invalid):
        mailing.market.password_reset.confirm(reset, NEW)


@pytest.mark.parametrize(("email", "password", "field"), [
    ("new@example.com", "wrong", "password"), ("owner@example.com", PASSWORD, "email"), ("nobody", PASSWORD, "email"),
])  # fmt: skip
def test_a_change_needs_a_new_address_and_the_password(mailing: Mailing, email: str, password: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        mailing.market.email_verification.request_change(mailing.owner.id, email, password)
    assert set(refused.value.errors) == {field}
    assert mailing.deliver() == []


def test_guesses_of_the_password_are_limited(mailing: Mailing) -> None:
    """Attack: a stolen access token is used to guess the password."""
    outcomes: list[type[MarketError]] = []
    for number in range(12):
        with pytest.raises(MarketError) as refused:
            mailing.market.email_verification.request_change(mailing.owner.id, f"n{number}@example.com", "wrong")
        outcomes.append(refused.type)
    assert outcomes == [Invalid] * 10 + [TooManyAttempts] * 2


@pytest.mark.parametrize("act", ["change", "reset", "appoint"])
def test_a_new_password_drops_a_change_of_the_address_that_waits(mailing: Mailing, act: str) -> None:
    """Attack: somebody who knows the password requests a change; its token is made after the owner's new password."""
    mailing.market.email_verification.request_change(mailing.owner.id, "thief@example.com", PASSWORD)
    mailing.sender.answer = lambda email: EmailFailure("busy") if email.recipient == "thief@example.com" else None
    if act == "reset":
        mailing.market.password_reset.confirm(mailing.reset_token(), NEW)
    elif act == "appoint":
        mailing.market.accounts.appoint_staff(mailing.owner.email, NEW)
    else:
        pair = mailing.market.accounts.log_in(mailing.owner.email, PASSWORD)
        mailing.market.accounts.change_password(mailing.market.sessions.identify(pair.access), PASSWORD, NEW)
    mailing.sender.answer = lambda _email: None
    mailing.clock.advance(hours=1)
    assert "thief@example.com" not in [recipient for recipient, _ in mailing.deliver()]
    assert mailing.account().email == mailing.owner.email


def test_a_reset_of_an_unverified_account_ends_the_api_keys_of_a_stranger(mailing: Mailing) -> None:
    """Attack: a stranger opens an account at the address of somebody else, and keeps a key and a webhook."""
    market = mailing.market
    pair = market.accounts.log_in(mailing.owner.email, PASSWORD)
    key = market.api_keys.create(market.sessions.identify(pair.access), "Backdoor", ["orders:read"])
    made = unwrap_single(market.webhooks.create([CreateEndpoint(mailing.owner.id, "https://hooks.example/")]))
    market.password_reset.confirm(mailing.reset_token(), NEW)
    with pytest.raises(TokenNotValid):
        market.api_keys.identify(key.secret)
    with market.store.begin() as tx:
        endpoint = tx.webhooks.get_many([made.endpoint.id])[made.endpoint.id]
    assert (endpoint.is_active, "reset" in (endpoint.disabled_because or "")) == (False, True)


def test_a_reset_revokes_api_keys_and_the_notice_says_so(mailing: Mailing) -> None:
    """Attack: somebody who took an account over created a key; its owner resets the password."""
    market = mailing.market
    market.password_reset.confirm(mailing.reset_token(), NEW)
    pair = market.accounts.log_in(mailing.owner.email, NEW)
    thief = market.sessions.identify(pair.access)
    key = market.api_keys.create(thief, "Backdoor", ["orders:read"])
    market.password_reset.confirm(mailing.reset_token(), PASSWORD)
    with pytest.raises(TokenNotValid):
        market.api_keys.identify(key.secret)
    with pytest.raises(TokenNotValid):
        market.api_keys.rotate(thief, key.key.id)
    mailing.deliver()
    assert "all API keys revoked" in mailing.sender.sent[-1].text


@pytest.mark.parametrize(
    "act",
    [
        lambda market, who, _key: market.api_keys.create(who, "Backdoor", ["orders:read"]),
        lambda market, who, key: market.api_keys.rotate(who, key),
        lambda market, who, _key: market.accounts.change_password(who, PASSWORD, "the password of the thief"),
        lambda market, who, _key: market.email_verification.request_change(
            who.account_id, "thief@example.com", PASSWORD
        ),
        lambda market, who, _key: market.second_factors.confirm(
            who, CountingOneTimePasswords().code(market.clock.now().timestamp())
        ),
        lambda market, who, _key: market.personal_data.delete(who.account_id, PASSWORD),
    ],
    ids=["new key", "rotated key", "password", "e-mail address", "second factor", "deletion"],
)
def test_nothing_that_a_thief_began_before_a_reset_is_completed_after_it(
    act: Callable[[Market, Identity, ApiKeyId], object],
) -> None:
    """Attack: requests with the former password are in progress while the owner resets it."""
    for position in itertools.count():
        mailing = Mailing()
        if not reset_before_transaction(mailing, position, act):
            break
        assert mailing.can_log_in(NEW)
        assert mailing.market.api_keys.list_valid(mailing.owner.id) == []
        assert "Confirm your new e-mail address" not in [subject for _, subject in mailing.deliver()]
    assert position > 0


def reset_before_transaction(
    mailing: Mailing, position: int, act: Callable[[Market, Identity, ApiKeyId], object]
) -> bool:
    """Reset the password before the transaction of this number in `act`; return False if there are fewer, or if the
    account was deleted before.
    """
    market, begin, begun = mailing.market, mailing.memory.begin, itertools.count()
    thief = market.sessions.identify(market.accounts.log_in(mailing.owner.email, PASSWORD).access)
    key = market.api_keys.create(thief, "Backdoor", ["orders:read"]).key
    market.second_factors.begin(thief.account_id, PASSWORD)
    token, was_tried, was_reset = mailing.reset_token(), False, False

    def reset_first() -> AbstractContextManager[Transaction]:
        nonlocal was_tried, was_reset
        if not was_tried and next(begun) == position:
            was_tried = True
            with contextlib.suppress(Invalid):
                market.password_reset.confirm(token, NEW)
                was_reset = True
        return begin()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mailing.memory, "begin", reset_first)
        try:
            act(market, thief, key.id)
        except (Invalid, NotFound, SecondFactorNotEnabled, TokenNotValid):
            assert was_reset
        else:
            assert not was_reset
    return was_reset


@pytest.mark.parametrize("revoke", [False, True])
def test_a_change_of_the_password_keeps_api_keys_unless_the_owner_asks(mailing: Mailing, revoke: bool) -> None:
    market = mailing.market
    who = market.sessions.identify(market.accounts.log_in(mailing.owner.email, PASSWORD).access)
    key = market.api_keys.create(who, "Warehouse", ["orders:read"])
    market.accounts.change_password(who, PASSWORD, NEW, revoke_api_keys=revoke)
    with pytest.raises(TokenNotValid) if revoke else contextlib.nullcontext():
        assert market.api_keys.identify(key.secret).account_id == mailing.owner.id


def test_a_change_to_a_taken_address_fails_when_it_is_confirmed(mailing: Mailing) -> None:
    """The request does not reveal that the address has an account: only its owner gets the e-mail."""
    other = MarketActions(mailing.market).person("other")
    mailing.market.email_verification.request_change(mailing.owner.id, other.email, PASSWORD)
    mailing.deliver()
    with pytest.raises(Invalid, match="Another account"):
        mailing.market.email_verification.confirm(mailing.token())
    assert mailing.account().email == mailing.owner.email


# --- delivery


def test_a_failed_email_is_repeated_with_a_new_token(mailing: Mailing) -> None:
    mailing.sender.answer = lambda _email: EmailFailure("busy")
    mailing.market.password_reset.request(mailing.owner.email)
    assert mailing.market.emails.deliver() == EmailSummary(failed=1)
    first = mailing.token()
    assert mailing.market.emails.deliver() == EmailSummary()
    mailing.sender.answer = lambda _email: None
    mailing.clock.advance(seconds=30)
    assert mailing.market.emails.deliver() == EmailSummary(sent=1)
    assert mailing.token() != first
    # The first one may have been sent although the server did not confirm it.
    mailing.market.password_reset.confirm(first, NEW)


def test_an_email_is_given_up_after_the_last_attempt(mailing: Mailing) -> None:
    mailing.sender.answer = lambda _email: EmailFailure("busy")
    mailing.market.password_reset.request(mailing.owner.email)
    for delay in (*RETRY_DELAYS, timedelta(days=1)):
        mailing.market.emails.deliver()
        mailing.clock.advance(seconds=delay.total_seconds())
    assert len(mailing.sender.sent) == MAX_ATTEMPTS
    assert list(mailing.memory.tables.emails.all()) == []


def test_a_refused_email_is_given_up_at_once(mailing: Mailing) -> None:
    mailing.sender.answer = lambda _email: EmailFailure("no such mailbox", permanent=True)
    mailing.market.password_reset.request(mailing.owner.email)
    assert mailing.market.emails.deliver() == EmailSummary(failed=1)
    assert list(mailing.memory.tables.emails.all()) == []


def test_an_email_whose_sender_died_is_sent_again(mailing: Mailing) -> None:
    def die(_email: object) -> EmailFailure:
        raise KeyboardInterrupt

    mailing.sender.answer = die
    mailing.market.password_reset.request(mailing.owner.email)
    with pytest.raises(KeyboardInterrupt):
        mailing.market.emails.deliver()
    mailing.sender.answer = lambda _email: None
    assert mailing.market.emails.deliver().total == 0
    mailing.clock.advance(minutes=5)
    assert mailing.market.emails.deliver() == EmailSummary(sent=1)


def test_an_unknown_address_leaves_nothing_behind(mailing: Mailing) -> None:
    mailing.market.password_reset.request("nobody@example.com")
    assert mailing.market.emails.deliver() == EmailSummary(dropped=1)
    assert list(mailing.memory.tables.emails.all()) == []
    assert list(mailing.memory.tables.account_tokens.all()) == []


def test_without_public_url_the_email_contains_the_token_alone() -> None:
    mailing = Mailing(EmailRules(enabled=True))
    mailing.market.password_reset.request(mailing.owner.email)
    mailing.deliver()
    assert "Your token: " in mailing.sender.sent[-1].text
    assert "http" not in mailing.sender.sent[-1].text


@pytest.mark.parametrize(
    "request_email",
    [
        lambda market, owner: market.password_reset.request(owner.email),
        lambda market, owner: market.email_verification.request(owner.id),
        lambda market, owner: market.email_verification.request_change(owner.id, "new@example.com", PASSWORD),
    ],
    ids=["reset", "verification", "change"],
)
def test_without_email_the_operations_refuse(request_email: Callable[[Market, Account], object]) -> None:
    mailing = Mailing(EmailRules())
    with pytest.raises(EmailDisabled):
        request_email(mailing.market, mailing.owner)
    mailing.market.accounts.sign_up([SignUp("new@example.com", PASSWORD, verify_email=True)])
    assert mailing.market.emails.deliver() == EmailSummary()
    assert list(mailing.memory.tables.emails.all()) == []
