from datetime import timedelta

import pytest

from scalecommerce_core.domain.errors import (
    ConnectionLost,
    MarketError,
    NotFound,
    Overloaded,
    TransactionAborted,
    Unavailable,
)
from scalecommerce_core.services.results import Replayed, apply_each, succeeded, unwrap_single
from scalecommerce_core.services.retry import BACKOFF, MAX_ATTEMPTS, backoff, retry_on
from tests.unit.support.tampering import failing


class UseCase:
    """Counts its attempts; fails with the given errors first."""

    def __init__(self, *errors: Exception) -> None:
        self.attempts = 0
        self._fail = failing(*errors)

    @retry_on(TransactionAborted)
    def attempt(self, answer: str) -> str:
        self.attempts += 1
        self._fail()
        return answer


def test_an_aborted_transaction_is_tried_again() -> None:
    use_case = UseCase(TransactionAborted(), TransactionAborted())
    assert use_case.attempt("done") == "done"
    assert use_case.attempts == MAX_ATTEMPTS


def test_a_use_case_is_called_max_attempts_times_at_most() -> None:
    use_case = UseCase(*[TransactionAborted()] * (MAX_ATTEMPTS + 1))
    with pytest.raises(TransactionAborted):
        use_case.attempt("done")
    assert use_case.attempts == MAX_ATTEMPTS


@pytest.mark.parametrize("error", [ConnectionLost(), Unavailable(), Overloaded(), NotFound("order", 1), ValueError()])
def test_only_the_named_errors_are_tried_again(error: Exception) -> None:
    use_case = UseCase(error)
    with pytest.raises(type(error)):
        use_case.attempt("done")
    assert use_case.attempts == 1


def test_delays_of_retries_double_and_are_jittered() -> None:
    assert [backoff(retry, 1) for retry in (1, 2, 3)] == [BACKOFF, 2 * BACKOFF, 4 * BACKOFF]
    assert backoff(1, 0) == timedelta(0)
    assert backoff(2, 0.25) == BACKOFF / 2


def test_apply_each_returns_a_result_or_an_error_per_command() -> None:
    def half(number: int) -> int:
        if number % 2:
            raise NotFound("half of", number)
        return number // 2

    results = apply_each([4, 3, 2], half)
    assert results[0] == 2
    assert isinstance(results[1], NotFound)
    assert results[2] == 1
    assert succeeded(results) == [2, 1]


def test_apply_each_passes_other_exceptions_on() -> None:
    with pytest.raises(ZeroDivisionError):
        apply_each([1, 0], lambda number: 1 // number)


def test_succeeded_lists_an_object_once() -> None:
    order: list[int] = []
    assert succeeded([order, NotFound("order", 1), order]) == [order]


def test_unwrap_single_returns_the_result_or_raises_the_error() -> None:
    outcomes: list[str | Replayed | MarketError] = ["done"]
    assert unwrap_single(outcomes) == "done"
    with pytest.raises(NotFound, match="no order 7"):
        unwrap_single([NotFound("order", 7)])
    with pytest.raises(TypeError, match="was replayed"):
        unwrap_single([Replayed(b"{}")])
    with pytest.raises(ValueError, match="too many values"):
        unwrap_single(["a", "b"])
