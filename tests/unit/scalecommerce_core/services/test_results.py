import pytest

from scalecommerce_core.domain.errors import (
    ConnectionLost,
    MarketError,
    NotFound,
    Overloaded,
    TransactionAborted,
    Unavailable,
)
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.services.retry import MAX_ATTEMPTS, retry_on
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


def test_but_not_for_ever() -> None:
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


def test_one_is_the_outcome_of_a_batch_of_one_or_its_error() -> None:
    outcomes: list[str | Replayed | MarketError] = ["done"]
    assert unwrap_single(outcomes) == "done"
    with pytest.raises(NotFound, match="no order 7"):
        unwrap_single([NotFound("order", 7)])
    with pytest.raises(TypeError, match="may be a replay"):
        unwrap_single([Replayed(b"{}")])
    with pytest.raises(ValueError, match="too many values"):
        unwrap_single(["a", "b"])
