"""Requests whose result is final, and requests whose result is unknown."""

import random
from typing import Any

import pytest

from entrypoints.torture.client import Answer, Client


class Scripted(Client):
    """Returns prepared responses instead of using the network."""

    def __init__(self, *answers: Answer | None) -> None:
        super().__init__([], "kara@shop.example", random.Random(1), lambda _sentence: None)
        self.answers = list(answers)
        self.keys: list[str | None] = []

    def send(self, *_request: Any, key: str | None = None, **_more: Any) -> Answer | None:
        self.keys.append(key)
        return self.answers.pop(0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


IN_FLIGHT = Answer(409, {"code": "idempotency_key_in_flight"})


@pytest.mark.parametrize("unknown", [None, Answer(503, {}), Answer(500, {}), Answer(429, {}), IN_FLIGHT])
def test_a_request_without_a_final_answer_is_repeated_with_the_same_key(unknown: Answer | None) -> None:
    client = Scripted(unknown, unknown, Answer(202, {"id": 1}))
    result = client.send_until_final("POST", "/", {}, key="k")
    assert result.answer == Answer(202, {"id": 1})
    assert result.unanswered_attempts == 2
    assert client.keys == ["k", "k", "k"]


@pytest.mark.parametrize(
    "final", [Answer(202, {}), Answer(400, {}), Answer(409, {"code": "price_moved"}), Answer(422, {})]
)
def test_a_request_with_a_final_answer_is_not_repeated(final: Answer) -> None:
    result = Scripted(final).send_until_final("POST", "/", {})
    assert (result.answer, result.may_have_happened) == (final, False)


def test_a_request_that_is_given_up_may_have_taken_effect() -> None:
    result = Scripted(None, None).send_until_final("POST", "/", {}, attempts=2)
    assert (result.answer, result.may_have_happened) == (None, True)


def test_an_expired_token_is_renewed_and_the_request_sent_again() -> None:
    client = Scripted(Answer(401, {}), None, Answer(200, {"access": "new", "refresh": "renewed"}), Answer(202, {}))
    result = client.send_until_final("POST", "/", {}, key="k")
    assert result.answer == Answer(202, {})
    assert not result.may_have_happened
    assert client.refresh_token == "renewed"
