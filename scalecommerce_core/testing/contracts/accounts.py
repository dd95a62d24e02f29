"""Tests of accounts and log-in sessions."""

from datetime import datetime, timedelta
from typing import Final

import pytest
from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.account_token import AccountToken, TokenPurpose
from scalecommerce_core.domain.identifiers import AccountId, EmailId, SessionId
from scalecommerce_core.domain.outgoing_email import EmailKind, OutgoingEmail
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.domain.session import Session
from scalecommerce_core.ports import Duplicate, Store
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage

HOUR: Final = timedelta(hours=1)


class AccountsContract:
    def test_accounts_are_stored_with_all_fields(self, store: Store) -> None:
        with store.begin() as tx:
            (id_,) = tx.accounts.next_ids(1)
            account = Account(
                id_,
                "kara@example.com",
                "$argon2$",
                NOW,
                "Ка́ра",
                'O"Neil\\',
                "two\nlines",
                is_staff=True,
                is_active=False,
                display_name="Ка́ра & Co",
            )
            tx.accounts.add([account])
        with store.begin() as tx:
            assert tx.accounts.lock([id_]) == {id_: account}
            assert tx.accounts.by_email(["kara@example.com", "nobody@example.com"]) == {account.email: account}

    def test_an_email_address_belongs_to_one_account(self, store: Store) -> None:
        stage = Stage(store)
        stage.account("kara@example.com")
        with pytest.raises(Duplicate) as refused:
            stage.account("kara@example.com")
        assert refused.value.field == "email"

    def test_an_email_address_cannot_be_added_twice_in_one_batch(self, store: Store) -> None:
        with pytest.raises(Duplicate), store.begin() as tx:
            tx.accounts.add([Account(id_, "kara@example.com", None, NOW) for id_ in tx.accounts.next_ids(2)])
        with store.begin() as tx:
            assert tx.accounts.by_email(["kara@example.com"]) == {}

    def test_staff_among_accounts_are_found(self, store: Store) -> None:
        stage = Stage(store)
        staff, other, further = stage.account(is_staff=True), stage.account(), stage.account(is_staff=True)
        with store.begin() as tx:
            assert tx.accounts.staff_among([staff, other, AccountId(further + 1)]) == {staff}
            assert tx.accounts.staff_among([]) == set()

    def test_account_changes_are_saved(self, store: Store) -> None:
        stage = Stage(store)
        id_ = stage.account("kara@example.com")
        with store.begin() as tx:
            account = tx.accounts.lock([id_])[id_]
            account.edit(first_name="Kara", bio="Sells tea.", display_name="Kara's Teas")
            account.password_hash = "new"  # noqa: S105 - any text will do as a hash
            account.is_active = False
            account.email, account.email_verified_at = "kara@example.org", NOW
            tx.accounts.save([account])
        with store.begin() as tx:
            assert tx.accounts.lock([id_])[id_] == account
            assert tx.accounts.get_many([id_, AccountId(10**30)]) == {id_: account}

    def test_an_address_in_use_cannot_be_taken_over(self, store: Store) -> None:
        stage = Stage(store)
        stage.account("kara@example.com")
        id_ = stage.account("lea@example.com")

        def take_over() -> None:
            with store.begin() as tx:
                account = tx.accounts.lock([id_])[id_]
                account.email = "kara@example.com"
                tx.accounts.save([account])

        with pytest.raises(Duplicate) as refused:
            take_over()
        assert refused.value.field == "email"

    def test_an_account_is_locked_together_with_the_active_staff(self, store: Store) -> None:
        stage = Stage(store)
        ann, omar, former = stage.account(), stage.account(is_staff=True), stage.account(is_staff=True, is_active=False)
        stage.account()
        with store.begin() as tx:
            assert set(tx.accounts.lock_with_staff(ann)) == {ann, omar}
        with store.begin() as tx:
            assert set(tx.accounts.lock_with_staff(former)) == {former, omar}
        with store.begin() as tx:
            assert set(tx.accounts.lock_with_staff(AccountId(10**15))) == {omar}

    def test_unknown_accounts_are_not_found(self, store: Store) -> None:
        with store.begin() as tx:
            assert tx.accounts.lock([AccountId(10**30), AccountId(-1)]) == {}
            assert tx.accounts.lock([]) == {}

    def test_sessions_are_stored_with_all_fields(self, store: Store) -> None:
        session = _session(Stage(store).account(), "family")
        with store.begin() as tx:
            tx.sessions.add([session])
        with store.begin() as tx:
            found = tx.sessions.lock([session.id, SessionId("unknown")])
            assert found == {session.id: session}
            exchanged = found[session.id]
            assert exchanged.exchange("first", "second", NOW + HOUR, ends_at=NOW + HOUR + 2 * DAY, grace=HOUR)
            exchanged.revoke(NOW)
            tx.sessions.save([exchanged])
        with store.begin() as tx:
            assert tx.sessions.lock([session.id])[session.id] == evolve(
                session,
                current="second",
                previous="first",
                rotated_at=NOW + HOUR,
                expires_at=NOW + HOUR + 2 * DAY,
                revoked_at=NOW,
            )

    def test_ended_sessions_are_purged(self, store: Store) -> None:
        owner = Stage(store).account()
        kept = [_session(owner, "open"), _session(owner, "revoked later", revoked_at=NOW + HOUR)]
        dead = [_session(owner, f"revoked {n}", revoked_at=NOW - HOUR) for n in range(2)]
        dead += [Session(SessionId(f"expired {n}"), owner, "first", NOW - DAY, NOW - HOUR) for n in range(2)]
        with store.begin() as tx:
            tx.sessions.add([*kept, *dead])
        with store.begin() as tx:
            assert tx.sessions.purge(NOW, 3) == 3
        with store.begin() as tx:
            assert tx.sessions.purge(NOW, 3) == 1
            assert tx.sessions.purge(NOW, 3) == 0
            assert set(tx.sessions.lock([each.id for each in (*kept, *dead)])) == {each.id for each in kept}

    def test_revoke_all_keeps_the_given_session(self, store: Store) -> None:
        stage = Stage(store)
        owner, other = stage.account(), stage.account()
        mine = [_session(owner, name) for name in "abc"]
        earlier = _session(owner, "revoked before", revoked_at=NOW - DAY)
        theirs = _session(other, "somebody else's")
        with store.begin() as tx:
            tx.sessions.add([*mine, earlier, theirs])
        with store.begin() as tx:
            tx.sessions.revoke_all(owner, NOW, keep=mine[1].id)
        with store.begin() as tx:
            found = tx.sessions.lock([s.id for s in (*mine, earlier, theirs)])
            assert [found[s.id].revoked_at for s in mine] == [NOW, None, NOW]
            assert found[earlier.id].revoked_at == NOW - DAY
            assert found[theirs.id].revoked_at is None
            tx.sessions.revoke_all(owner, NOW)
            assert tx.sessions.lock([mine[1].id])[mine[1].id].revoked_at == NOW
            assert [s.id for s in tx.sessions.of_account(other)] == [theirs.id]
            assert {s.id for s in tx.sessions.of_account(owner)} == {s.id for s in (*mine, earlier)}

    def test_what_sessions_tell_about_clients_is_erased(self, store: Store) -> None:
        stage = Stage(store)
        owner, other = stage.account(), stage.account()
        mine, theirs = (
            evolve(_session(account, name), network="192.0.2.0/24", user_agent="Firefox")
            for account, name in ((owner, "a"), (other, "b"))
        )
        with store.begin() as tx:
            tx.sessions.add([mine, theirs])
        with store.begin() as tx:
            tx.sessions.erase_clients(owner)
        with store.begin() as tx:
            assert tx.sessions.of_account(owner) == [evolve(mine, network="", user_agent="")]
            assert tx.sessions.of_account(other) == [theirs]

    def test_tokens_are_stored_with_all_fields_and_deleted_by_account(self, store: Store) -> None:
        stage = Stage(store)
        owner, other = stage.account(), stage.account()
        mine = [_token(owner, digest, purpose) for digest, purpose in zip("abc", TokenPurpose, strict=True)]
        theirs = _token(other, "d")
        with store.begin() as tx:
            tx.account_tokens.add([*mine, theirs])
        with store.begin() as tx:
            assert tx.account_tokens.get_many("abcde") == {token.digest: token for token in (*mine, theirs)}
            tx.account_tokens.delete_of(owner)
            assert tx.account_tokens.get_many("abcd") == {"d": theirs}

    def test_expired_tokens_are_purged(self, store: Store) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            tx.account_tokens.add([_token(owner, each, expires_at=NOW - DAY) for each in "abc"])
            tx.account_tokens.add([_token(owner, "d", expires_at=NOW)])
        with store.begin() as tx:
            assert [tx.account_tokens.purge(NOW, 2) for _ in range(3)] == [2, 1, 0]
            assert tx.account_tokens.get_many("abcd").keys() == {"d"}

    def test_second_factors_are_stored_with_all_fields(self, store: Store) -> None:
        stage = Stage(store)
        owner, other = stage.account(), stage.account()
        factor = SecondFactor(owner, "encrypted", NOW)
        confirmed = SecondFactor(other, "encrypted too", NOW, NOW + HOUR, 2**40, ("a", "b"))
        with store.begin() as tx:
            tx.second_factors.put([factor, confirmed])
        with store.begin() as tx:
            assert tx.second_factors.lock([owner, AccountId(10**30)]) == {owner: factor}
            assert tx.second_factors.get_many([owner, other]) == {owner: factor, other: confirmed}
            tx.second_factors.put([evolve(confirmed, account_id=owner)])
            tx.second_factors.delete([other])
        with store.begin() as tx:
            assert tx.second_factors.get_many([owner, other]) == {owner: evolve(confirmed, account_id=owner)}

    def test_second_factors_are_locked_in_the_order_of_accounts(self, store: Store) -> None:
        stage = Stage(store)
        owners = sorted(stage.account() for _ in range(4))
        factors = [SecondFactor(owner, f"secret of {owner}", NOW) for owner in owners]
        with store.begin() as tx:
            tx.second_factors.put(factors[::-1])
        with store.begin() as tx:
            assert list(tx.second_factors.lock_after(owners[0], 2)) == factors[1:3]
            assert list(tx.second_factors.lock_after(owners[2], 2)) == factors[3:]
            tx.second_factors.put([evolve(factors[3], last_step=7)])
        with store.begin() as tx:
            assert [each.last_step for each in tx.second_factors.lock_after(owners[2], 1)] == [7]
            assert list(tx.second_factors.lock_after(owners[3], 1)) == []

    def test_emails_are_stored_with_all_fields(self, store: Store) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            ids = tx.emails.next_ids(len(EmailKind))
            emails = [
                OutgoingEmail(id_, kind, "a@b.ch", owner, NOW, NOW) for id_, kind in zip(ids, EmailKind, strict=True)
            ]
            emails[0] = OutgoingEmail(ids[0], EmailKind.RESET_PASSWORD, "c@d.ch", None, NOW, NOW)
            tx.emails.add(emails)
        with store.begin() as tx:
            assert tx.emails.lock([*ids, EmailId(10**30)]) == {email.id: email for email in emails}
            assert tx.emails.of_account(owner) == emails[1:]
            emails[1].lease(NOW + HOUR)
            emails[2].lease(NOW + HOUR)
            emails[2].retry(NOW, "451 try again later")
            tx.emails.save(emails[1:3])
            tx.emails.delete([ids[0]])
        with store.begin() as tx:
            assert tx.emails.lock(ids[:3]) == {ids[1]: emails[1], ids[2]: emails[2]}

    def test_due_emails_are_claimed_oldest_first(self, store: Store) -> None:
        with store.begin() as tx:
            ids = tx.emails.next_ids(4)
            times = (NOW + HOUR, NOW, NOW - HOUR, NOW + 2 * HOUR)
            tx.emails.add(
                [
                    OutgoingEmail(id_, EmailKind.RESET_PASSWORD, "a@b.ch", None, NOW, at)
                    for id_, at in zip(ids, times, strict=True)
                ]
            )
        with store.begin() as tx:
            assert [email.id for email in tx.emails.claim_due(2, NOW + HOUR)] == [ids[2], ids[1]]
        with store.begin() as tx:
            assert [email.id for email in tx.emails.claim_due(10, NOW)] == [ids[2], ids[1]]


def _token(
    account: AccountId, digest: str, purpose: TokenPurpose = TokenPurpose.VERIFY_EMAIL, expires_at: datetime = NOW
) -> AccountToken:
    return AccountToken(digest, account, purpose, "a@b.ch", "state", expires_at)


def _session(account: AccountId, name: str, revoked_at: datetime | None = None) -> Session:
    return Session(SessionId(name), account, "first", NOW, NOW + DAY, revoked_at)
