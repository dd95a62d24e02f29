"""Every failure prints a sentence and has a documented exit code."""

import errno
from datetime import timedelta

import pytest

from scalecommerce_core.domain.errors import ConnectionLost, Invalid, NotFound, TooManyAttempts, Unavailable
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime, ServerAway


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Unavailable("The database cannot be reached."), 3, "The database cannot be reached.\n"),
        (ConnectionLost("The connection to the database broke."), 3, "The connection to the database broke.\n"),
        (NotFound("account", 7), 1, "There is no account 7.\n"),
        (TooManyAttempts("Wait.", timedelta(1)), 1, "Wait.\n"),
        (Invalid({"email": ["Taken."], "name": ["Long.", "Odd."]}), 1, "email: Taken.\nname: Long. Odd.\n"),
        (FileNotFoundError(errno.ENOENT, "Gone", "x.csv"), 1, "x.csv: Gone.\n"),
        (ServerAway("[red]Redis[/]"), 3, "Away: [red]Redis[/]\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)  # fmt: skip
def test_expected_errors_end_in_a_sentence(
    cli: Cli, runtime: MemoryRuntime, error: BaseException, code: int, said: str
) -> None:
    runtime.fails_with = error
    for command in (["up"], ["stock", "verify"]):  # behind the runtime, and within a command of a group
        ended = cli(*command)
        assert (ended.code, ended.out, ended.err) == (code, "", said)


def test_unexpected_errors_are_not_hidden(cli: Cli, runtime: MemoryRuntime) -> None:
    runtime.fails_with = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        cli("worker")
