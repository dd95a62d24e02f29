"""Tests of accounts and log-in sessions."""

from datetime import datetime, timedelta
from typing import Final

import pytest
from attrs import evolve

from scalecommerce_core.domain.account import Account, Session
from scalecommerce_core.domain.identifiers import AccountId, SessionId
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
            account.edit(first_name="Kara", bio="Sells tea.")
            account.password_hash = "new"  # noqa: S105 - any text will do as a hash
            account.is_active = False
            tx.accounts.save([account])
        with store.begin() as tx:
            assert tx.accounts.lock([id_])[id_] == account

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


def _session(account: AccountId, name: str, revoked_at: datetime | None = None) -> Session:
    return Session(SessionId(name), account, "first", NOW, NOW + DAY, revoked_at)
