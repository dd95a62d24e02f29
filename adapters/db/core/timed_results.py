"""Awaits the results of a query for a limited time, as psycopg waits for results without a limit."""

import select
import time

import psycopg
from psycopg import errors
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult


def await_results(pgconn: PGconn, seconds: float) -> list[PGresult]:
    """The results of the query that was sent last, one for each statement.

    Raise `ConnectionTimeout` if the server does not answer in time, and another `psycopg.Error` if a statement failed.
    The connection must be closed then.
    """
    deadline, results = time.monotonic() + seconds, list[PGresult]()
    poll = select.poll()
    while True:
        while (unsent := pgconn.flush()) or pgconn.is_busy():
            poll.register(pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise errors.ConnectionTimeout("the server did not answer in time")
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return results
        if result.status not in {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}:
            raise _error(result)
        results.append(result)


def _error(result: PGresult) -> psycopg.Error:
    if result.error_field(DiagnosticField.SQLSTATE) is None:
        # The connection broke.
        return psycopg.OperationalError(result.error_message.decode(errors="replace"))
    return errors.error_from_result(result)
