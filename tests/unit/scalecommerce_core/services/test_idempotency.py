from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest
from attrs import field, frozen

from scalecommerce_core.domain.errors import IdempotencyKeyInFlight, IdempotencyKeyReused, MarketError, NotFound
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.idempotency import KEY_LIFETIME, IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed
from scalecommerce_core.testing import MemoryStore, SettableClock
from tests.unit.support.tampering import with_repository

ANN, BOB = AccountId(1), AccountId(2)


@frozen
class Say:
    """A command; it fails if `word` is "no"."""

    owner: AccountId
    word: str
    idempotency: IdempotencyKey | None = field(default=None, eq=False)


def say(word: str, key: str | None = None, owner: AccountId = ANN) -> Say:
    if key is None:
        return Say(owner, word)
    return Say(owner, word, IdempotencyKey(key, word.encode(), lambda said: str(said).encode()))


class Speaker:
    """A use case that records the commands that it ran."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = SettableClock()
        self.said: list[str] = []

    def say(self, *commands: Say) -> list[str | Replayed | MarketError]:
        with self.store.begin() as tx:
            return run_idempotent(tx, commands, self.clock.now(), self._work)

    def _work(self, commands: Sequence[Say]) -> list[str | MarketError]:
        outcomes: list[str | MarketError] = []
        for command in commands:
            if command.word == "no":
                outcomes.append(NotFound("word", command.word))
            else:
                self.said.append(command.word)
                outcomes.append(command.word.upper())
        return outcomes


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


def test_without_keys_everything_is_done(speaker: Speaker) -> None:
    assert speaker.say(say("a"), say("a")) == ["A", "A"]
    assert speaker.said == ["a", "a"]


def test_the_same_request_again_is_answered_and_not_repeated(speaker: Speaker) -> None:
    assert speaker.say(say("a", "k")) == ["A"]
    assert speaker.say(say("a", "k")) == [Replayed(b"A")]
    assert speaker.said == ["a"]


def test_a_key_belongs_to_its_account(speaker: Speaker) -> None:
    assert speaker.say(say("a", "k"), say("b", "k", BOB)) == ["A", "B"]
    assert speaker.say(say("b", "k", BOB)) == [Replayed(b"B")]


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_a_key_of_another_request_is_refused(speaker: Speaker, in_one_batch: bool) -> None:
    if in_one_batch:
        _, outcome = speaker.say(say("a", "k"), say("b", "k"))
    else:
        speaker.say(say("a", "k"))
        (outcome,) = speaker.say(say("b", "k"))
    assert isinstance(outcome, IdempotencyKeyReused)
    assert speaker.said == ["a"]


def test_a_key_that_the_version_before_stored_is_replayed(speaker: Speaker) -> None:
    def now(word: str) -> Say:
        key = IdempotencyKey("k", b"2" + word.encode(), lambda said: str(said).encode(), word.encode)
        return Say(ANN, word, key)

    assert speaker.say(say("a", "k")) == ["A"]
    replayed, reused = speaker.say(now("a"), now("b"))
    assert replayed == Replayed(b"A")
    assert isinstance(reused, IdempotencyKeyReused)
    assert speaker.said == ["a"]


def test_the_former_fingerprint_is_not_computed_for_keys_of_this_version(speaker: Speaker) -> None:
    def never() -> bytes:
        raise AssertionError

    command = Say(ANN, "a", IdempotencyKey("k", b"2a", lambda said: str(said).encode(), never))
    assert speaker.say(command) == ["A"]
    assert speaker.say(command, command) == [Replayed(b"A")] * 2


def test_twins_in_one_batch_are_one(speaker: Speaker) -> None:
    assert speaker.say(say("a", "k"), say("c"), say("a", "k")) == ["A", "C", Replayed(b"A")]
    assert speaker.said == ["a", "c"]


def test_a_command_that_stands_in_a_batch_twice_is_its_own_twin(speaker: Speaker) -> None:
    command = say("a", "k")
    assert speaker.say(command, command) == ["A", Replayed(b"A")]
    without_key = say("b")
    assert speaker.say(without_key, without_key) == ["B", "B"]
    assert speaker.said == ["a", "b", "b"]


def test_a_refusal_frees_the_key(speaker: Speaker) -> None:
    (refused,) = speaker.say(say("no", "k"))
    assert isinstance(refused, NotFound)
    assert speaker.say(say("a", "k")) == ["A"]


def test_the_twin_of_a_refused_command_is_refused_alike(speaker: Speaker) -> None:
    first, twin = speaker.say(say("no", "k"), say("no", "k"))
    assert isinstance(first, NotFound)
    assert twin is first


def test_another_request_with_the_key_of_a_refused_one_may_have_it_next(speaker: Speaker) -> None:
    first, other = speaker.say(say("no", "k"), say("a", "k"))
    assert isinstance(first, NotFound)
    assert isinstance(other, IdempotencyKeyInFlight)
    assert speaker.say(say("a", "k")) == ["A"]


def test_a_key_that_another_transaction_holds_concerns_its_own_commands_alone(speaker: Speaker) -> None:
    def claim(keys: Mapping[tuple[AccountId, str], bytes], now: datetime) -> Mapping[tuple[AccountId, str], object]:
        held = {(ANN, "held"): None} if (ANN, "held") in keys else {}
        return {**tx.idempotency.claim({key: keys[key] for key in keys if key not in held}, now), **held}

    commands = [say("a", "held"), say("b", "k"), say("c"), say("d", "held"), say("e", "held", BOB)]
    with speaker.store.begin() as tx:
        held, *free, other, of_bob = run_idempotent(
            with_repository(tx, "idempotency", claim=claim), commands, speaker.clock.now(), speaker._work
        )
    assert isinstance(held, IdempotencyKeyInFlight)
    assert isinstance(other, IdempotencyKeyInFlight)
    assert [*free, of_bob] == ["B", "C", "E"]
    assert speaker.said == ["b", "c", "e"]


def test_an_error_frees_the_keys_of_the_whole_batch(speaker: Speaker) -> None:
    def fail(_: Sequence[Say]) -> list[str]:
        raise RuntimeError("bad data")

    with pytest.raises(RuntimeError), speaker.store.begin() as tx:
        run_idempotent(tx, [say("a", "k")], speaker.clock.now(), fail)
    assert speaker.say(say("a", "k")) == ["A"]


def test_a_key_in_flight_is_to_be_asked_for_again(speaker: Speaker) -> None:
    with speaker.store.begin() as tx:
        tx.idempotency.claim({(ANN, "k"): b"a"}, speaker.clock.now())
    (outcome,) = speaker.say(say("a", "k"))
    assert isinstance(outcome, IdempotencyKeyInFlight)
    assert speaker.said == []


def test_a_key_is_kept_for_a_day(speaker: Speaker) -> None:
    speaker.say(say("a", "k"))
    speaker.clock.advance(seconds=(KEY_LIFETIME - timedelta(seconds=1)).total_seconds())
    assert speaker.say(say("a", "k")) == [Replayed(b"A")]
    speaker.clock.advance(seconds=1)
    assert speaker.say(say("b", "k")) == ["B"]
    assert speaker.say(say("b", "k")) == [Replayed(b"B")]
