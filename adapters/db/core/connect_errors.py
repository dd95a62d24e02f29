"""Messages for failed connections to PostgreSQL that say what to check.

Before a session is authenticated, errors have no codes, only texts. Texts of the client library are English, texts of
the server depend on its `lc_messages`; an unknown text gets the general message. Clients of the HTTP API see the
messages, so they name no host, user or database.
"""

import re
from typing import Final

UNREACHABLE: Final = "The database cannot be reached."
WRONG_PASSWORD: Final = "The database refuses the user name or the password in DATABASE_URL."  # noqa: S105 - a sentence
NO_DATABASE: Final = (
    "The database server has no database with the name in DATABASE_URL: create it, or correct the name."
)
UNKNOWN_HOST: Final = "The database cannot be reached: the host name in DATABASE_URL cannot be resolved."
CONNECTION_REFUSED: Final = (
    "The database cannot be reached: nothing accepts connections at the host and port in DATABASE_URL."
)
NO_PRIMARY: Final = "No host in DATABASE_URL is the primary: all are standbys, or cannot be reached."
READ_ONLY: Final = "The database is a standby, or read-only: name the primary in DATABASE_URL, or all hosts."
TIMED_OUT: Final = "The database cannot be reached: the host in DATABASE_URL did not answer in time."
ENCRYPTION: Final = (
    "The encryption settings of the database and of DATABASE_URL do not match: check sslmode and certificates."
)
WRONG_PARAMETER: Final = (
    "DATABASE_URL has a parameter that PostgreSQL does not support, or a parameter with an invalid value."
)
UNDECLARED_POOLER: Final = (
    "DATABASE_URL leads to a connection pooler: add pool_mode=session or pool_mode=transaction to its parameters, as"
    " the pooler is configured."
)
WRONG_POOL_MODE: Final = (
    "The connection pooler does not keep prepared statements: add pool_mode=transaction to DATABASE_URL, and"
    " prepare_threshold only if the pooler supports it (PgBouncer 1.21 with max_prepared_statements)."
)
REFUSED_OPTIONS: Final = (
    "The connection pooler refuses a parameter of DATABASE_URL: remove its options, except settings of the form"
    " -c name=value."
)
POOLER_IS_FULL: Final = (
    "The connection pooler has no free connections: raise its max_client_conn and default_pool_size, or lower"
    " DATABASE_POOL_SIZE."
)
POOLER_CANNOT_CONNECT: Final = (
    "The connection pooler cannot connect to PostgreSQL: check its configuration of this database and user."
)

# The first match is used: errors of a reached server precede errors of its other addresses.
_MESSAGES: Final = tuple(
    (re.compile(pattern), sentence)
    for pattern, sentence in (
        ("leads to a connection pooler", UNDECLARED_POOLER),
        ("unsupported startup parameter", REFUSED_OPTIONS),
        ("no more connections allowed|query_wait_timeout", POOLER_IS_FULL),
        (
            "no such (database|user)|pgbouncer cannot connect to server|server login (has been )?fail",
            POOLER_CANNOT_CONNECT,
        ),
        ("password authentication failed|no password supplied|role .* does not exist", WRONG_PASSWORD),
        ("database .* does not exist", NO_DATABASE),
        (
            "no pg_hba.conf entry|pg_hba.conf rejects",
            "The database refuses this user, database or address: its pg_hba.conf has no entry that allows them.",
        ),
        (
            "permission denied for database|is not permitted to log in",
            "The database does not let the user in DATABASE_URL connect: grant CONNECT and LOGIN.",
        ),
        (
            "session is read-only|server is in hot standby mode|server is not in hot standby mode",
            NO_PRIMARY,
        ),
        (
            "the database system is|not yet accepting connections",
            "The database is starting up, recovering or shutting down.",
        ),
        (
            "too many clients|remaining connection slots|too many connections",
            "The database has no free connections: raise max_connections, or lower DATABASE_POOL_SIZE.",
        ),
        (
            "SSL|sslmode|certificate",
            ENCRYPTION,
        ),
        (
            "invalid .* value|invalid connection option|invalid URI|unrecognized configuration parameter",
            WRONG_PARAMETER,
        ),
        ("failed to resolve host|could not translate host name", UNKNOWN_HOST),
        ("Connection refused|No such file or directory", CONNECTION_REFUSED),
        ("timeout|timed out", TIMED_OUT),
    )
)


def explain_connect_error(text: str) -> str | None:
    """The message for the text of an error; None for an unknown text."""
    return next((sentence for pattern, sentence in _MESSAGES if pattern.search(text)), None)
