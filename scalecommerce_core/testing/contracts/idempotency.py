"""Idempotency keys: taken once, answered the same ever after, and free again in time."""

import threading
from functools import partial

import pytest

from scalecommerce_core.ports import Store, StoredOutcome
from scalecommerce_core.services.idempotency import KEY_LIFETIME
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage
from scalecommerce_core.testing.contracts.transactions import ChangedMyMind, together

PRINT, OTHER_PRINT = b"\x00\xffprint", b"another"


class IdempotencyContract:
    def test_a_key_is_taken_once(self, store: Store) -> None:
        one, other = Stage(store).account(), Stage(store).account()
        with store.begin() as tx:
            assert tx.idempotency.claim({(one, "k"): PRINT, (one, "l"): PRINT}, NOW) == {}
            tx.idempotency.store({(one, "k"): b"answer\x00\\", (one, "l"): b""})
        with store.begin() as tx:
            known = tx.idempotency.claim({(one, "k"): OTHER_PRINT, (one, "new"): PRINT, (other, "k"): PRINT}, NOW)
            assert known == {(one, "k"): StoredOutcome(PRINT, b"answer\x00\\")}
            assert tx.idempotency.claim({(one, "l"): PRINT}, NOW) == {(one, "l"): StoredOutcome(PRINT, b"")}
            assert tx.idempotency.claim({}, NOW) == {}

    def test_a_key_without_an_answer_is_shown_so(self, store: Store) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            tx.idempotency.claim({(owner, "k"): PRINT}, NOW)
        with store.begin() as tx:
            assert tx.idempotency.claim({(owner, "k"): PRINT}, NOW) == {(owner, "k"): StoredOutcome(PRINT, None)}

    def test_a_released_key_is_free(self, store: Store) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            tx.idempotency.claim({(owner, "k"): PRINT, (owner, "kept"): PRINT}, NOW)
            tx.idempotency.release([(owner, "k")])
            tx.idempotency.release([])
        with store.begin() as tx:
            assert tx.idempotency.claim({(owner, "k"): OTHER_PRINT}, NOW) == {}
            assert tx.idempotency.claim({(owner, "kept"): OTHER_PRINT}, NOW).keys() == {(owner, "kept")}

    def test_a_rollback_frees_the_key(self, store: Store) -> None:
        owner = Stage(store).account()

        def fail() -> None:
            with store.begin() as tx:
                tx.idempotency.claim({(owner, "k"): PRINT}, NOW)
                tx.idempotency.store({(owner, "k"): b"never sent"})
                raise ChangedMyMind

        with pytest.raises(ChangedMyMind):
            fail()
        with store.begin() as tx:
            assert tx.idempotency.claim({(owner, "k"): PRINT}, NOW) == {}

    def test_an_expired_key_is_free(self, store: Store) -> None:
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

    def test_old_keys_are_forgotten_a_batch_at_a_time(self, store: Store) -> None:
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

    def test_twins_at_the_same_time_have_one_effect(self, store: Store) -> None:
        owner = Stage(store).account()
        effects: list[int] = []
        answers: list[bytes | None] = []
        start = threading.Barrier(6)

        def request(number: int) -> None:
            start.wait(10)
            while True:  # the one that was first is not waited for, but it ends
                with store.begin() as tx:
                    known = tx.idempotency.claim({(owner, "k"): PRINT}, NOW)
                    if not known:
                        effects.append(number)
                        tx.idempotency.store({(owner, "k"): b"%d" % number})
                        return
                if (stored := known[owner, "k"]) is not None:
                    answers.append(stored.body)
                    return

        together(*[partial(request, number) for number in range(6)])
        assert len(effects) == 1
        assert answers == [b"%d" % effects[0]] * 5
