"""Tests of idempotency keys."""

import threading
from functools import partial

import pytest

from scalecommerce_core.ports import Store, StoredOutcome
from scalecommerce_core.services.idempotency import KEY_LIFETIME
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage
from scalecommerce_core.testing.contracts.transactions import IntentionalRollback, run_in_threads

PRINT, OTHER_PRINT = b"\x00\xffprint", b"another"


class IdempotencyContract:
    def test_a_key_can_be_claimed_once(self, store: Store) -> None:
        one, other = Stage(store).account(), Stage(store).account()
        with store.begin() as tx:
            assert tx.idempotency.claim({(one, "k"): PRINT, (one, "l"): PRINT}, NOW) == {}
            tx.idempotency.store({(one, "k"): b"answer\x00\\", (one, "l"): b""})
        with store.begin() as tx:
            known = tx.idempotency.claim({(one, "k"): OTHER_PRINT, (one, "new"): PRINT, (other, "k"): PRINT}, NOW)
            assert known == {(one, "k"): StoredOutcome(PRINT, b"answer\x00\\")}
            assert tx.idempotency.claim({(one, "l"): PRINT}, NOW) == {(one, "l"): StoredOutcome(PRINT, b"")}
            assert tx.idempotency.claim({}, NOW) == {}

    def test_stored_outcomes_are_found_without_a_claim(self, store: Store) -> None:
        one, other = Stage(store).account(), Stage(store).account()
        with store.begin() as tx:
            tx.idempotency.claim({(one, "k"): PRINT, (one, "old"): PRINT}, NOW)
            tx.idempotency.store({(one, "k"): b"answer"})
        with store.begin() as tx:
            wanted = [(one, "k"), (one, "old"), (one, "new"), (other, "k")]
            found = {(one, "k"): StoredOutcome(PRINT, b"answer"), (one, "old"): StoredOutcome(PRINT, None)}
            assert tx.idempotency.find(wanted, NOW) == found
            assert tx.idempotency.find(wanted, NOW + KEY_LIFETIME) == {}
            assert tx.idempotency.find([], NOW) == {}
        with store.begin() as tx:
            assert tx.idempotency.claim({(one, "new"): PRINT, (other, "k"): PRINT}, NOW) == {}

    def test_a_claimed_key_without_an_outcome_has_no_body(self, store: Store) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            tx.idempotency.claim({(owner, "k"): PRINT}, NOW)
        with store.begin() as tx:
            assert tx.idempotency.claim({(owner, "k"): PRINT}, NOW) == {(owner, "k"): StoredOutcome(PRINT, None)}

    def test_a_released_key_can_be_claimed_again(self, store: Store) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            tx.idempotency.claim({(owner, "k"): PRINT, (owner, "kept"): PRINT}, NOW)
            tx.idempotency.release([(owner, "k")])
            tx.idempotency.release([])
        with store.begin() as tx:
            assert tx.idempotency.claim({(owner, "k"): OTHER_PRINT}, NOW) == {}
            assert tx.idempotency.claim({(owner, "kept"): OTHER_PRINT}, NOW).keys() == {(owner, "kept")}

    def test_a_rollback_releases_the_key(self, store: Store) -> None:
        owner = Stage(store).account()

        def fail() -> None:
            with store.begin() as tx:
                tx.idempotency.claim({(owner, "k"): PRINT}, NOW)
                tx.idempotency.store({(owner, "k"): b"never sent"})
                raise IntentionalRollback

        with pytest.raises(IntentionalRollback):
            fail()
        with store.begin() as tx:
            assert tx.idempotency.claim({(owner, "k"): PRINT}, NOW) == {}

    def test_an_expired_key_can_be_claimed_again(self, store: Store) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            tx.idempotency.claim({(owner, "k"): PRINT}, NOW)
            tx.idempotency.store({(owner, "k"): b"old"})
        with store.begin() as tx:
            assert tx.idempotency.claim({(owner, "k"): PRINT}, NOW + KEY_LIFETIME - SECOND).keys() == {(owner, "k")}
            assert tx.idempotency.claim({(owner, "k"): OTHER_PRINT}, NOW + KEY_LIFETIME) == {}
            tx.idempotency.store({(owner, "k"): b"new"})
        with store.begin() as tx:
            known = tx.idempotency.claim({(owner, "k"): PRINT}, NOW + KEY_LIFETIME)
            assert known == {(owner, "k"): StoredOutcome(OTHER_PRINT, b"new")}

    def test_old_keys_are_purged_in_batches(self, store: Store) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            for second in range(5):
                tx.idempotency.claim({(owner, f"key {second}"): PRINT}, NOW + second * SECOND)
        with store.begin() as tx:
            assert tx.idempotency.purge(NOW + 3 * SECOND, 2) == 2
            assert tx.idempotency.purge(NOW + 3 * SECOND, 2) == 1
            assert tx.idempotency.purge(NOW + 3 * SECOND, 2) == 0
        with store.begin() as tx:
            known = tx.idempotency.claim({(owner, f"key {second}"): PRINT for second in range(5)}, NOW)
            assert known.keys() == {(owner, "key 3"), (owner, "key 4")}

    def test_concurrent_requests_with_one_key_have_one_effect(self, store: Store) -> None:
        owner = Stage(store).account()
        effects: list[int] = []
        answers: list[bytes | None] = []
        start = threading.Barrier(6)

        def request(number: int) -> None:
            start.wait(10)
            while True:  # until the other request has ended
                with store.begin() as tx:
                    known = tx.idempotency.claim({(owner, "k"): PRINT}, NOW)
                    if not known:
                        effects.append(number)
                        tx.idempotency.store({(owner, "k"): b"%d" % number})
                        return
                if (stored := known[owner, "k"]) is not None:
                    answers.append(stored.body)
                    return

        run_in_threads(*[partial(request, number) for number in range(6)])
        assert len(effects) == 1
        assert answers == [b"%d" % effects[0]] * 5
