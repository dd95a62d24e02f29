"""Messages for failed connections to PostgreSQL, which say what to check.

Until a session is authenticated, the client library has no error codes, only texts: those of the client itself are
English, those of a server follow its `lc_messages`. Unknown texts get the general message. The
sentences are shown to clients of the HTTP API too, so they name no host, user or database.
"""

import re
from typing import Final

UNREACHABLE: Final = "The database cannot be reached."
WRONG_PASSWORD: Final = "The database refuses the user name or the password in DATABASE_URL."  # noqa: S105 - a sentence
NO_DATABASE: Final = (
    "The database server has no database with the name in DATABASE_URL: create it, or correct the name."
)
UNKNOWN_HOST: Final = "The database cannot be reached: the host name in DATABASE_URL is not known."
CONNECTION_REFUSED: Final = (
    "The database cannot be reached: nothing accepts connections at the host and port in DATABASE_URL."
)
TIMED_OUT: Final = "The database cannot be reached: the host in DATABASE_URL did not answer in time."
ENCRYPTION: Final = "The database and DATABASE_URL do not agree on encryption: check its sslmode and certificates."
WRONG_PARAMETER: Final = "DATABASE_URL has a parameter that PostgreSQL does not know, or a wrong value of one."

# The first match wins: errors of a server that was reached come before errors of other addresses.
_MESSAGES: Final = tuple(
    (re.compile(pattern), sentence)
    for pattern, sentence in (
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
            "the database system is|not yet accepting connections",
            "The database is starting up, recovering or shutting down.",
        ),
        (
            "too many clients|remaining connection slots|too many connections",
            "The database accepts no more connections: raise max_connections, or lower DATABASE_POOL_SIZE.",
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
    """The sentence for an error's text; None if the text is not known."""
    return next((sentence for pattern, sentence in _MESSAGES if pattern.search(text)), None)
