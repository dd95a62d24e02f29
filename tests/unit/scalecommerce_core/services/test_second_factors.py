"""Second factors: enrolment, log-in with codes, recovery, and attacks on them."""

from collections.abc import Callable, Sequence

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.audit import AuditAction
from scalecommerce_core.domain.errors import (
    Invalid,
    MarketError,
    NotAuthenticated,
    NotFound,
    TokenNotValid,
    TooManyAttempts,
)
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.second_factor import RECOVERY_CODES
from scalecommerce_core.ports import AccessChange, SecurityEventKind
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.second_factor_check import SecondFactorRejected, SecondFactorRequired
from scalecommerce_core.services.second_factors import SecondFactorEnabled, SecondFactorNotEnabled, SecondFactorState
from scalecommerce_core.services.sessions import Identity, TokenPair
from scalecommerce_core.testing import (
    CountingOneTimePasswords,
    MemoryStore,
    RecordedSecurityEvents,
    RecordingEmailSender,
    SettableClock,
    in_memory_market,
)
from tests.unit.support.shop import PASSWORD, MarketActions

ADDRESS = "192.0.2.1"


class Guarded:
    """A market with an account, its authenticator app, and its e-mails."""

    def __init__(self, *, is_staff: bool = False, required: bool = False) -> None:
        self.clock, self.memory = SettableClock(), MemoryStore()
        self.mail, self.log = RecordingEmailSender(), RecordedSecurityEvents()
        self.market = in_memory_market(
            self.clock,
            memory=self.memory,
            email_sender=self.mail,
            security_log=self.log,
            require_staff_second_factor=required,
        )
        self.owner: Account = MarketActions(self.market).person("owner", is_staff=is_staff)
        self.factors = self.market.second_factors

    def code(self, step: int = 0) -> str:
        """What the app shows now, or `step` steps later."""
        return CountingOneTimePasswords().code(self.clock.now().timestamp() + 30 * step)

    def next_code(self) -> str:
        self.clock.advance(seconds=30)
        return self.code()

    def log_in(self, code: str = "", **more: str) -> TokenPair:
        return self.market.accounts.log_in(self.owner.email, PASSWORD, code=code, **{"address": ADDRESS, **more})

    def identity(self, pair: TokenPair) -> Identity:
        return self.market.sessions.identify(pair.access)

    def enrol(self) -> tuple[Identity, list[str]]:
        """Switch the second factor on; return the session and the recovery codes."""
        who = self.identity(self.log_in())
        self.factors.begin(who.account_id, PASSWORD)
        codes = list(self.factors.confirm(who, self.next_code()))
        self.clock.advance(seconds=30)
        return who, codes

    def subjects(self) -> list[str]:
        self.market.emails.deliver()
        return [email.subject for email in self.mail.sent]


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def test_a_log_in_needs_the_code_after_confirmation_only(guarded: Guarded) -> None:
    who = guarded.identity(guarded.log_in())
    enrolment = guarded.factors.begin(who.account_id, PASSWORD)
    assert enrolment.secret in enrolment.uri
    assert guarded.owner.email in enrolment.uri
    assert enrolment.secret not in repr(enrolment)
    guarded.log_in()
    assert guarded.factors.state(guarded.owner.id) == SecondFactorState(False, False, 0)
    codes = guarded.factors.confirm(who, guarded.code())
    assert len(set(codes)) == RECOVERY_CODES
    assert guarded.factors.state(guarded.owner.id) == SecondFactorState(True, False, RECOVERY_CODES)
    with pytest.raises(SecondFactorRequired):
        guarded.log_in()
    assert guarded.log.events[-1].detail != "second factor"
    guarded.log_in(guarded.next_code())
    event = guarded.log.events[-1]
    assert (event.kind, event.detail) == (SecurityEventKind.LOG_IN, "second factor")
    assert guarded.subjects() == ["Two-step log-in was switched on"]


def test_without_the_password_nobody_learns_of_a_second_factor(guarded: Guarded) -> None:
    guarded.enrol()
    for code in ("", guarded.code()):
        with pytest.raises(NotAuthenticated) as refused:
            guarded.market.accounts.log_in(guarded.owner.email, "wrong", code=code)
        assert type(refused.value) is NotAuthenticated


def test_confirmation_ends_the_other_sessions(guarded: Guarded) -> None:
    stolen = guarded.log_in()
    who, _ = guarded.enrol()
    with pytest.raises(TokenNotValid):
        guarded.market.sessions.identify(stolen.access)
    guarded.market.sessions.check(who)


def test_secrets_and_recovery_codes_are_not_stored_in_plain_text(guarded: Guarded) -> None:
    who = guarded.identity(guarded.log_in())
    secret = guarded.factors.begin(who.account_id, PASSWORD).secret
    codes = guarded.factors.confirm(who, guarded.code())
    (stored,) = guarded.memory.tables.second_factors.all()
    kept = f"{stored.encrypted_secret} {stored.recovery_codes}"
    assert not any(text in kept for text in (secret, *codes))
    assert "recovery_codes" not in repr(stored)


def test_a_code_is_accepted_once(guarded: Guarded) -> None:
    """Attack: replay a code that was seen or intercepted."""
    guarded.enrol()
    code = guarded.next_code()
    guarded.log_in(code)
    for replayed in (code, guarded.code(-1)):
        with pytest.raises(SecondFactorRejected):
            guarded.log_in(replayed)
    guarded.log_in(guarded.next_code())


def test_a_code_with_a_space_is_accepted(guarded: Guarded) -> None:
    guarded.enrol()
    code = guarded.next_code()
    guarded.log_in(f" {code[:3]} {code[3:]}")


def test_guesses_are_limited(guarded: Guarded) -> None:
    """Attack: somebody who knows the password guesses codes, from one address and from many."""
    guarded.enrol()
    outcomes: list[type[MarketError]] = []
    for number in range(200):
        with pytest.raises(MarketError) as refused:
            guarded.log_in("000000", address=f"198.51.100.{number // 10}")
        outcomes.append(refused.type)
    assert outcomes.count(SecondFactorRejected) == 30
    assert outcomes[:10] == [SecondFactorRejected] * 5 + [TooManyAttempts] * 5
    guarded.clock.advance(hours=1)
    with pytest.raises(TooManyAttempts):
        guarded.log_in(guarded.code(), address="198.51.100.99")
    guarded.clock.advance(days=1)
    guarded.log_in(guarded.code(), address="198.51.100.99")


def test_an_attacker_with_the_password_does_not_lock_out_a_known_device(guarded: Guarded) -> None:
    guarded.enrol()
    device = guarded.log_in(guarded.next_code()).device
    for number in range(40):
        with pytest.raises(NotAuthenticated if number < 30 else TooManyAttempts):
            guarded.log_in("000000", address=f"198.51.100.{number}")
    guarded.log_in(guarded.next_code(), device_token=device)


def test_devices_from_before_the_second_factor_count_as_unknown(guarded: Guarded) -> None:
    """Attack: somebody who knows the password collects device tokens, each of which would have a limit of its own."""
    devices = [guarded.log_in().device for _ in range(20)]
    guarded.enrol()
    outcomes: list[type[MarketError]] = []
    for number in range(100):
        with pytest.raises(MarketError) as refused:
            guarded.log_in("000000", device_token=devices[number % 20], address=f"198.51.100.{number}")
        outcomes.append(refused.type)
    assert outcomes.count(SecondFactorRejected) == 30


def test_wrong_codes_make_no_client_known(guarded: Guarded) -> None:
    """The address of an attacker who knows the password only gets no exemption from the limits of log-ins."""
    guarded.enrol()
    known = set(guarded.market.accounts._log_ins._limiter._known)  # type: ignore[attr-defined]
    with pytest.raises(SecondFactorRejected):
        guarded.log_in("000000", address="198.51.100.7")
    with pytest.raises(SecondFactorRequired):
        guarded.log_in(address="198.51.100.7")
    assert set(guarded.market.accounts._log_ins._limiter._known) == known  # type: ignore[attr-defined]


def test_a_recovery_code_works_once_and_is_reported(guarded: Guarded) -> None:
    _, codes = guarded.enrol()
    guarded.log_in(codes[0].lower().replace("-", " "))
    with pytest.raises(SecondFactorRejected):
        guarded.log_in(codes[0])
    assert guarded.factors.state(guarded.owner.id).recovery_codes_left == RECOVERY_CODES - 1
    assert guarded.subjects()[-1] == "A recovery code was used to log in"
    assert SecurityEventKind.SECOND_FACTOR_CHANGED in guarded.log.kinds


def test_new_recovery_codes_replace_the_old_ones(guarded: Guarded) -> None:
    who, codes = guarded.enrol()
    new = guarded.factors.renew_recovery_codes(who, PASSWORD, guarded.next_code())
    assert not set(new) & set(codes)
    with pytest.raises(SecondFactorRejected):
        guarded.log_in(codes[0])
    guarded.log_in(new[0])


def test_switching_off_needs_password_and_code(guarded: Guarded) -> None:
    who, _ = guarded.enrol()
    other = guarded.log_in(guarded.next_code())
    with pytest.raises(Invalid) as refused:
        guarded.factors.disable(who, "wrong", guarded.next_code())
    assert set(refused.value.errors) == {"password"}
    with pytest.raises(Invalid) as refused:
        guarded.factors.disable(who, PASSWORD, "000000")
    assert set(refused.value.errors) == {"code"}
    guarded.factors.disable(who, PASSWORD, guarded.next_code())
    guarded.market.sessions.check(who)
    with pytest.raises(TokenNotValid):
        guarded.market.sessions.identify(other.access)
    guarded.log_in()
    assert guarded.subjects()[-1] == "Two-step log-in was switched off"


def test_a_wrong_code_does_not_confirm(guarded: Guarded) -> None:
    who = guarded.identity(guarded.log_in())
    with pytest.raises(SecondFactorNotEnabled):
        guarded.factors.confirm(who, guarded.code())
    guarded.factors.begin(who.account_id, PASSWORD)
    with pytest.raises(Invalid) as refused:
        guarded.factors.confirm(who, "000000")
    assert set(refused.value.errors) == {"code"}
    guarded.log_in()


def test_a_secret_that_is_replaced_during_the_confirmation_is_not_confirmed(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = guarded.identity(guarded.log_in())
    guarded.factors.begin(who.account_id, PASSWORD)
    new_codes = guarded.factors._new_codes

    def begin_again() -> Sequence[str]:
        guarded.factors.begin(who.account_id, PASSWORD)
        return new_codes()

    monkeypatch.setattr(guarded.factors, "_new_codes", begin_again)
    with pytest.raises(Invalid, match="Another secret"):
        guarded.factors.confirm(who, guarded.next_code())
    assert not guarded.factors.state(who.account_id).is_enabled


def test_an_enabled_second_factor_cannot_be_replaced(guarded: Guarded) -> None:
    """Attack: a stolen session sets up the attacker's own app."""
    who, _ = guarded.enrol()
    with pytest.raises(SecondFactorEnabled):
        guarded.factors.begin(who.account_id, PASSWORD)
    with pytest.raises(SecondFactorEnabled):
        guarded.factors.confirm(who, guarded.next_code())


def reset_password(guarded: Guarded, password: str) -> None:
    guarded.market.password_reset.request(guarded.owner.email)
    guarded.market.emails.deliver()
    guarded.market.password_reset.confirm(newest_token(guarded), password)


def newest_token(guarded: Guarded) -> str:
    return guarded.mail.sent[-1].text.partition("Your token: ")[2].split()[0]


@pytest.mark.parametrize("proof", ["before", "after", "reset"])
def test_a_reset_password_keeps_the_second_factor_of_a_verified_address(guarded: Guarded, proof: str) -> None:
    """Attack: a thief of the mailbox resets the password of an account whose owner had verified the address."""
    if proof == "before":
        reset_password(guarded, PASSWORD)
    guarded.enrol()
    if proof == "after":
        guarded.market.email_verification.request(guarded.owner.id)
        guarded.market.emails.deliver()
        guarded.market.email_verification.confirm(newest_token(guarded))
    elif proof == "reset":
        reset_password(guarded, PASSWORD)
        guarded.enrol()
    reset_password(guarded, PASSWORD + "!")
    with pytest.raises(SecondFactorRequired):
        guarded.market.accounts.log_in(guarded.owner.email, PASSWORD + "!")
    assert "Two-step log-in was switched off" not in guarded.subjects()[-2:]


def test_the_first_proof_of_an_address_removes_what_a_stranger_set_up(guarded: Guarded) -> None:
    """Attack: a stranger opens an account at somebody's address, and keeps its owner out by a second factor."""
    _, codes = guarded.enrol()
    reset_password(guarded, PASSWORD + "!")
    guarded.market.accounts.log_in(guarded.owner.email, PASSWORD + "!", code=codes[0])
    assert guarded.factors.state(guarded.owner.id) == SecondFactorState(False, False, 0)
    assert guarded.subjects()[-2:] == ["Your password was reset", "Two-step log-in was switched off"]
    event = guarded.log.events[-2]
    assert (event.kind, event.detail) == (
        SecurityEventKind.SECOND_FACTOR_CHANGED,
        "removed by the first proof of the e-mail address",
    )


def test_the_first_proof_of_an_address_removes_a_factor_that_was_not_confirmed(guarded: Guarded) -> None:
    who = guarded.identity(guarded.log_in())
    guarded.factors.begin(who.account_id, PASSWORD)
    reset_password(guarded, PASSWORD + "!")
    pair = guarded.market.accounts.log_in(guarded.owner.email, PASSWORD + "!")
    with pytest.raises(SecondFactorNotEnabled):
        guarded.factors.confirm(guarded.identity(pair), guarded.next_code())
    assert guarded.subjects()[-1:] == ["Your password was reset"]


def test_staff_keep_their_second_factor_at_the_first_proof_of_the_address() -> None:
    """Attack: a thief of the mailbox of staff, who never verified the address, resets the password."""
    guarded = Guarded(is_staff=True)
    guarded.enrol()
    reset_password(guarded, PASSWORD + "!")
    with pytest.raises(SecondFactorRequired):
        guarded.market.accounts.log_in(guarded.owner.email, PASSWORD + "!")


def test_an_operator_can_reset_it(guarded: Guarded) -> None:
    who, _ = guarded.enrol()
    with pytest.raises(Invalid):
        guarded.factors.reset(guarded.owner.id, " ")
    assert guarded.factors.reset(guarded.owner.id, "Lost the telephone.").id == guarded.owner.id
    details = guarded.market.queries.account_details(guarded.owner.id)
    assert details is not None
    assert [(each.action, each.reason) for each in details.actions] == [
        (AuditAction.ACCOUNT_SECOND_FACTOR_RESET, "Lost the telephone.")
    ]
    with pytest.raises(TokenNotValid):
        guarded.market.sessions.check(who)
    guarded.log_in()
    with pytest.raises(SecondFactorNotEnabled, match="There is no second factor to remove"):
        guarded.factors.reset(guarded.owner.id, "Again.")
    with pytest.raises(NotFound):
        guarded.factors.reset(AccountId(999), "Nobody.")


def test_operations_without_a_second_factor_say_so(guarded: Guarded) -> None:
    who = guarded.identity(guarded.log_in())
    with pytest.raises(SecondFactorNotEnabled):
        guarded.factors.disable(who, PASSWORD, "123456")
    with pytest.raises(SecondFactorNotEnabled):
        guarded.factors.renew_recovery_codes(who, PASSWORD, "123456")


def test_appointed_staff_keep_no_second_factor_of_a_stranger(guarded: Guarded) -> None:
    guarded.enrol()
    guarded.market.accounts.appoint_staff(guarded.owner.email, "a new long password")
    guarded.market.accounts.log_in(guarded.owner.email, "a new long password")


def test_staff_get_their_rights_with_the_second_factor() -> None:
    guarded = Guarded(is_staff=True, required=True)
    pair = guarded.log_in()
    who = guarded.identity(pair)
    assert not who.is_staff
    assert guarded.factors.state(who.account_id) == SecondFactorState(False, True, 0)
    guarded.factors.begin(who.account_id, PASSWORD)
    guarded.factors.confirm(who, guarded.next_code())
    assert guarded.identity(guarded.market.sessions.refresh(pair.refresh)).is_staff
    with_code = guarded.identity(guarded.log_in(guarded.next_code()))
    assert with_code.is_staff
    key = guarded.market.api_keys.create(with_code, "Till", [Scope.STAFF, Scope.ORDERS_READ]).secret
    guarded.factors.disable(with_code, PASSWORD, guarded.next_code())
    with pytest.raises(TokenNotValid):
        guarded.market.sessions.check(with_code)
    with pytest.raises(TokenNotValid):
        guarded.market.api_keys.identify(key)
    assert not guarded.identity(guarded.log_in()).is_staff


def test_keys_of_staff_follow_the_rule_of_sessions() -> None:
    """A key that was created before the setting has rights of staff only while its owner has a second factor."""
    guarded = Guarded(is_staff=True)
    who = guarded.identity(guarded.log_in())
    key = guarded.market.api_keys.create(who, "Till", [Scope.STAFF, Scope.ORDERS_READ]).secret
    assert guarded.market.api_keys.identify(key).is_staff
    market = in_memory_market(guarded.clock, memory=guarded.memory, require_staff_second_factor=True)
    without = market.api_keys.identify(key)
    assert (without.is_staff, without.account_id) == (False, who.account_id)
    market.second_factors.begin(who.account_id, PASSWORD)
    assert not market.api_keys.identify(key).is_staff
    reported: list[AccessChange] = []
    guarded.memory.access_changed = reported.append
    market.second_factors.confirm(who, guarded.next_code())
    assert market.api_keys.identify(key).is_staff
    # Processes know the key without the rights: they must read it again.
    assert any(who.account_id in change.key_owners for change in reported)


@pytest.mark.parametrize(
    "act",
    [
        lambda market, who, code: market.accounts.change_password(who, PASSWORD, "another long password", code=code),
        lambda market, who, code: market.email_verification.request_change(
            who.account_id, "new@example.com", PASSWORD, code=code
        ),
        lambda market, who, code: market.accounts.check_owner(who.account_id, PASSWORD, code),
        lambda market, who, code: market.personal_data.delete(who.account_id, PASSWORD, code=code),
    ],
    ids=["password", "e-mail address", "API key", "deletion"],
)
def test_sensitive_changes_need_the_code(guarded: Guarded, act: Callable[[Market, Identity, str], object]) -> None:
    """Attack: somebody with the password and a session, but without the app."""
    who, codes = guarded.enrol()
    for code, complaint in (("", "second factor"), ("000000", "wrong"), ("x" * 100, "wrong")):
        with pytest.raises(Invalid, match=complaint) as refused:
            act(guarded.market, who, code)
        assert list(refused.value.errors) == ["code"]
    assert guarded.subjects() == ["Two-step log-in was switched on"]
    for _ in range(3):
        with pytest.raises(Invalid):
            act(guarded.market, who, "000000")
    with pytest.raises(TooManyAttempts):
        act(guarded.market, who, "000000")
    guarded.clock.advance(minutes=6)
    act(guarded.market, who, codes[0])


def test_a_weak_new_password_uses_up_no_code(guarded: Guarded) -> None:
    who, _ = guarded.enrol()
    code = guarded.next_code()
    with pytest.raises(Invalid) as refused:
        guarded.market.accounts.change_password(who, PASSWORD, "short", code=code)
    assert list(refused.value.errors) == ["new_password"]
    guarded.market.accounts.change_password(who, PASSWORD, "another long password", code=code)


def test_without_the_setting_staff_need_no_second_factor() -> None:
    guarded = Guarded(is_staff=True)
    assert guarded.identity(guarded.log_in()).is_staff


def test_a_secret_that_cannot_be_decrypted_leaves_the_recovery_codes(guarded: Guarded) -> None:
    _, codes = guarded.enrol()
    with guarded.market.store.begin() as tx:
        factor = tx.second_factors.lock([guarded.owner.id])[guarded.owner.id]
        tx.second_factors.put(
            [
                type(factor)(
                    factor.account_id, "other key", factor.created_at, factor.confirmed_at, 0, factor.recovery_codes
                )
            ]
        )
    with pytest.raises(SecondFactorRejected):
        guarded.log_in(guarded.next_code())
    guarded.log_in(codes[0])
