"""Translation of database errors to the errors of the ports, by one context manager around all database access."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from adapters.db.core.connect_errors import (
    NO_PRIMARY,
    READ_ONLY,
    TIMED_OUT,
    UNDECLARED_POOLER,
    UNKNOWN_HOST,
    UNREACHABLE,
    WRONG_POOL_MODE,
    explain_connect_error,
)
from adapters.db.core.primary_monitor import NoPrimary
from adapters.db.schema_version import read_mismatch
from scalecommerce_core.domain.errors import (
    ConnectionLost,
    MarketError,
    NotAuthenticated,
    SchemaMismatch,
    TransactionAborted,
    Unavailable,
)
from scalecommerce_core.ports import Duplicate

logger = logging.getLogger(__name__)

FIELD_OF_CONSTRAINT: Final[Mapping[str, str]] = {
    "accounts_email_key": "email",
    "categories_name_key": "name",
    "categories_slug_key": "name",
    "orders_command_id_key": "command_id",
    "payments_captured_key": "order_id",
    "payments_open_key": "order_id",
    "products_seller_id_sku_key": "sku",
}
"""The field of `Duplicate` for each violated unique constraint."""

OWNER_CONSTRAINTS: Final = frozenset(
    {
        "idempotency_keys_owner_fk",
        "orders_buyer_id_fk",
        "products_seller_id_fk",
        "sessions_account_id_fk",
        "webhook_endpoints_owner_id_fk",
    }
)
"""Foreign keys that fail if the caller's account is missing, as after restoring a backup while its tokens are valid."""

_RETRYABLE: Final = (errors.SerializationFailure, errors.DeadlockDetected)
_UNAVAILABLE: Final = (
    errors.QueryCanceled,
    # These classes share the SQLSTATE class 53 but no Python base class.
    errors.InsufficientResources,
    errors.OutOfMemory,
    errors.DiskFull,
    errors.TooManyConnections,
    errors.ConfigurationLimitExceeded,
    errors.CannotConnectNow,
)
_UNDEFINED_OBJECT: Final = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.UndefinedObject,
    errors.InvalidSchemaName,
)
"""Errors caused by the tables of another release, or by a wrong statement."""


class LockTimeout(TransactionAborted):
    """The transaction waited for a lock for longer than `lock_timeout`."""


@contextmanager
def translate_errors(engine: Engine | None = None) -> Iterator[None]:
    """Translate errors of the block to `Unavailable` or a subclass, `Duplicate` or `NotAuthenticated`.

    Other errors are re-raised unchanged. With the `engine` of the statements, an error about a missing table or column
    becomes `SchemaMismatch` if the database has the tables of another release.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("All database connections are in use.") from error
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        meaning = _translate(cause)
        if meaning is None and engine is not None and isinstance(cause, _UNDEFINED_OBJECT):
            meaning = _find_schema_mismatch(engine)
        if meaning is None:
            raise
        raise meaning from error


def check_schema(engine: Engine) -> None:
    """Raise `SchemaMismatch` unless this release can use the tables of the database; raise `Unavailable`."""
    with translate_errors(), engine.connect() as connection:
        wrong = read_mismatch(connection)
    if wrong is not None:
        raise wrong


def _find_schema_mismatch(engine: Engine) -> SchemaMismatch | None:
    try:
        check_schema(engine)
    except SchemaMismatch as wrong:
        return wrong
    except Unavailable:
        pass
    return None


def _translate(error: BaseException | None) -> MarketError | None:
    match error:
        case errors.UniqueViolation():
            field = FIELD_OF_CONSTRAINT.get(error.diag.constraint_name or "")
            return Duplicate(field) if field else None
        case errors.ForeignKeyViolation() if error.diag.constraint_name in OWNER_CONSTRAINTS:
            return NotAuthenticated("This account does not exist any more.")
        case errors.LockNotAvailable():
            return LockTimeout("The transaction waited too long for another one.")
        case _ if isinstance(error, _RETRYABLE):
            return TransactionAborted("The transaction conflicted with another one.")
        case _ if isinstance(error, _UNAVAILABLE):
            return Unavailable("The database did not answer in time, or has no free resources.")
        case psycopg.errors.ConnectionTimeout():
            return Unavailable(TIMED_OUT)
        case errors.ReadOnlySqlTransaction():
            return Unavailable(READ_ONLY)
        case errors.ObjectNotInPrerequisiteState() if error.diag.source_function == "pg_current_wal_insert_lsn":
            # Statements read the timeline of a primary from this position, which standbys refuse to return.
            return Unavailable(READ_ONLY)
        case errors.InvalidSqlStatementName() | errors.DuplicatePreparedStatement():
            return Unavailable(WRONG_POOL_MODE)
        case psycopg.OperationalError() if str(error) == UNDECLARED_POOLER:
            return Unavailable(UNDECLARED_POOLER)
        case NoPrimary():
            return Unavailable(explain_connect_error(str(error)) or NO_PRIMARY)
        case psycopg.OperationalError() if error.pgconn is not None:
            # `pgconn` is set only on errors of connecting, so nothing was written.
            return Unavailable(explain_connect_error(str(error)) or UNREACHABLE)
        case psycopg.OperationalError() if str(error).startswith("failed to resolve host"):
            return Unavailable(UNKNOWN_HOST)
        case psycopg.ProgrammingError() if error.sqlstate is None and (sentence := explain_connect_error(str(error))):
            # A wrong parameter of the URL, found before connecting.
            return Unavailable(sentence)
        case errors.InsufficientPrivilege():
            logger.error("the database refuses a statement: %s", error.diag.message_primary)
            return Unavailable("The database user in DATABASE_URL lacks a privilege that the engine needs.")
        case psycopg.OperationalError() | psycopg.InterfaceError() | errors.IdleInTransactionSessionTimeout():
            return ConnectionLost("The connection to the database broke.")
        case _:
            return None
