"""Tests of API keys."""

from datetime import datetime, timedelta
from typing import Final

from scalecommerce_core.domain.api_key import ApiKey, Scope
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.ports import Store
from scalecommerce_core.queries import ApiKeyState, Queries
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage

HOUR: Final = timedelta(hours=1)


class ApiKeysContract:
    def test_keys_are_stored_with_all_fields(self, store: Store) -> None:
        owner = Stage(store).account()
        key = _key(store, owner, expires_at=NOW + DAY)
        with store.begin() as tx:
            (found,) = tx.api_keys.lock_all(owner)
            assert found == key
            found.rotate("sk_" + "b" * 43, NOW, HOUR)
            tx.api_keys.save([found])
        with store.begin() as tx:
            assert list(tx.api_keys.lock_all(owner)) == [found]
            found.revoke(NOW)
            tx.api_keys.save([found])
        with store.begin() as tx:
            assert list(tx.api_keys.lock_all(owner)) == []

    def test_keys_of_others_are_not_found(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        owner, other = stage.account(), stage.account()
        keys = [_key(store, owner, letter) for letter in "ab"]
        theirs = _key(store, other, "c")
        assert list(queries.api_keys(owner)) == keys[::-1]
        with store.begin() as tx:
            assert list(tx.api_keys.lock_all(owner)) == keys
            tx.api_keys.delete_all(owner)
        assert list(queries.api_keys(owner)) == []
        assert list(queries.api_keys(other)) == [theirs]

    def test_the_last_use_only_moves_forward(self, store: Store, queries: Queries) -> None:
        owner = Stage(store).account()
        first, second = (_key(store, owner, letter) for letter in "ab")
        for moment in (NOW + HOUR, NOW, NOW + 2 * HOUR):
            with store.begin() as tx:
                tx.api_keys.record_uses({first.id: moment, ApiKeyId(10**15): moment})
        assert [key.used_at for key in queries.api_keys(owner)] == [second.used_at, NOW + 2 * HOUR]

    def test_the_state_of_a_key_says_what_decides_about_a_request(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        owner, staff, left = stage.account(), stage.account(is_staff=True), stage.account(is_active=False)
        key = _key(store, owner, "a", expires_at=NOW + DAY)
        with store.begin() as tx:
            (found,) = tx.api_keys.lock_all(owner)
            found.rotate("sk_" + "b" * 43, NOW, HOUR)
            tx.api_keys.save([found])
        with store.begin() as tx:
            tx.second_factors.put(
                [SecondFactor(staff, "secret", NOW, confirmed_at=NOW), SecondFactor(owner, "not confirmed", NOW)]
            )
        others = [_key(store, account, letter) for account, letter in ((staff, "c"), (left, "d"), (owner, "e"))]
        with store.begin() as tx:
            revoked = next(each for each in tx.api_keys.lock_all(owner) if each.id == others[2].id)
            revoked.revoke(NOW)
            tx.api_keys.save([revoked])
        states = queries.api_key_states([key.digest, found.digest, *(each.digest for each in others), "unknown"])
        scopes = frozenset({Scope.ORDERS_READ, Scope.STAFF})
        assert states == {
            key.digest: ApiKeyState(key.id, owner, scopes, True, False, NOW + HOUR),
            found.digest: ApiKeyState(key.id, owner, scopes, True, False, NOW + DAY),
            others[0].digest: ApiKeyState(others[0].id, staff, scopes, True, True, None, True),
            others[1].digest: ApiKeyState(others[1].id, left, scopes, False, False, None),
            others[2].digest: ApiKeyState(others[2].id, owner, scopes, False, False, None),
        }
        assert queries.api_key_states([]) == {}


def _key(store: Store, account: AccountId, letter: str = "a", expires_at: datetime | None = None) -> ApiKey:
    with store.begin() as tx:
        (id_,) = tx.api_keys.next_ids(1)
        key = ApiKey.created(
            id_,
            account,
            name=f"Key {letter}",
            scopes=[Scope.ORDERS_READ, Scope.STAFF],
            secret="sk_" + letter * 43,
            now=NOW,
            expires_at=expires_at,
        )
        tx.api_keys.add([key])
    return key
