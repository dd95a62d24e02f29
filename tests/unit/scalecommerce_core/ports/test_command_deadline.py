from collections.abc import Callable

import pytest

from scalecommerce_core.domain.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Effect,
    MarketError,
    NotFound,
    TransactionAborted,
)
from scalecommerce_core.ports import CommandDeadline, commit_in_time, use_deadline
from scalecommerce_core.services.retry import no_backoff, retry_on


class Commits:
    """A use case of one transaction. `outcome` is called when the commit has been sent."""

    def __init__(self, outcome: Callable[[], object]) -> None:
        self.sent = 0
        self._outcome = outcome

    @retry_on(TransactionAborted, ConnectionLost)
    def run(self) -> None:
        with commit_in_time() as begin_commit:
            begin_commit()
            self.sent += 1
            self._outcome()


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("error", "effect"),
    [
        # The connection broke while the commit was sent: the transaction may be committed.
        (ConnectionLost("The connection broke."), Effect.UNKNOWN),
        # The database has rolled back.
        (TransactionAborted("Deadlock."), Effect.NONE),
    ],
)
def test_a_use_case_is_not_repeated_after_its_deadline(error: MarketError, effect: Effect) -> None:
    clock = Time()

    def fail_at_deadline() -> None:
        clock.now = 10.0
        raise error

    use_case = Commits(fail_at_deadline)
    with no_backoff(), use_deadline(CommandDeadline(10.0, clock)), pytest.raises(DeadlineExceeded) as caught:
        use_case.run()
    assert caught.value.effect is effect
    assert use_case.sent == 1


def test_a_use_case_is_repeated_before_its_deadline() -> None:
    clock, failures = Time(), [ConnectionLost("The connection broke.")]

    def fail_once() -> None:
        clock.now = 9.0
        if failures:
            raise failures.pop()

    use_case = Commits(fail_once)
    with no_backoff(), use_deadline(CommandDeadline(10.0, clock)):
        use_case.run()
    assert use_case.sent == 2


def test_a_commit_is_not_sent_after_the_deadline_was_ended() -> None:
    deadline = CommandDeadline(10.0, Time())
    with use_deadline(deadline), commit_in_time() as begin_commit:
        assert deadline.expire() is Effect.NONE
        with pytest.raises(DeadlineExceeded):
            begin_commit()


def test_the_effect_is_unknown_from_the_commit_of_the_first_transaction_on() -> None:
    deadline = CommandDeadline(10.0, Time())
    with use_deadline(deadline):
        with commit_in_time() as begin_commit:
            begin_commit()
        with pytest.raises(NotFound), commit_in_time():
            raise NotFound("order", 1)
    assert deadline.expire() is Effect.UNKNOWN


def test_commands_without_a_deadline_are_repeated_at_any_time() -> None:
    failures = [ConnectionLost("The connection broke."), ConnectionLost("The connection broke.")]

    def fail_twice() -> None:
        if failures:
            raise failures.pop()

    use_case = Commits(fail_twice)
    with no_backoff():
        use_case.run()
    assert use_case.sent == 3
