"""Connection parameters of PostgreSQL: the hosts of `DATABASE_URL`, time limits and settings of TCP.

Every connection of the engine uses them. Parameters in the URL take precedence over the defaults of this module. Three
parameters are the engine's own; the first two are for poolers such as PgBouncer:

- `pool_mode`: `session` or `transaction`, the mode of a pooler between the engine and PostgreSQL
- `prepare_threshold`: executions of a statement after which it is prepared, or `none`
- `schema`: the schema of the installation, the only one in the search path of its connections
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl

import psycopg
from attrs import frozen
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from adapters.db.core.driver_statements import PSYCOPG_DIALECT

DRIVER: Final = "postgresql+psycopg"
CONNECT_SECONDS: Final = 5
"""Time for connecting to the only host."""
CONNECT_SECONDS_OF_SEVERAL: Final = 2
"""Time for connecting to each of several hosts: another may be the primary. psycopg allows no shorter time."""
TCP_DEFAULTS: Final[Mapping[str, str]] = {
    # Sent data that the peer does not acknowledge breaks the connection after this many milliseconds. Linux only.
    "tcp_user_timeout": "5000",
    # A connection without traffic is probed after 5 s, and breaks about 6 s later.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}
PRIMARY_ONLY: Final = frozenset({"read-write", "primary"})
"""Values of `target_session_attrs` that exclude standbys."""
DEFAULT_SESSION_ATTRS: Final = "read-write"
"""The `target_session_attrs` of several hosts unless the URL has another: libpq's own default takes a standby too."""

PREPARE_THRESHOLD: Final = 5
"""psycopg's own default."""

_SCHEMA: Final = "schema"
# Names that need no quotes, so that SQL of operators and the search path can use them as they are.
_SCHEMA_NAME: Final = re.compile(r"(?!pg_|information_schema$)[a-z_][a-z0-9_]{0,62}")
_POOL_MODE: Final = "pool_mode"
_PREPARE_THRESHOLD: Final = "prepare_threshold"
_OWN: Final = (_POOL_MODE, _PREPARE_THRESHOLD, _SCHEMA)
# `-c name=value` and `--name=value`, as in PostgreSQL's command line; a backslash escapes a space in a value.
_OPTION: Final = re.compile(r"(?:-c\s*|--)(?P<name>[\w.-]+)=(?P<value>(?:\\.|[^\s\\])*)(?:\s+|$)")

# The parts before, at and after a list of hosts. The user name and password are found as SQLAlchemy finds them.
_HOST_LIST: Final = re.compile(
    r"(?P<begin>[\w+]+://(?:[^:/]*(?::[^@]*)?@)?)(?P<hosts>[^/?@]*,[^/?@]*)(?P<end>(?:[/?].*)?)", re.DOTALL
)
# The query of a URL; a "?" of the user name or password does not begin it.
_QUERY: Final = re.compile(r"[\w+]+://(?:[^:/]*(?::[^@]*)?@)?+[^?]*\?(?P<query>.*)", re.DOTALL)
_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<name>[^:]*))(?::(?P<port>\d*))?")


class InvalidParameter(ValueError):
    """One of the engine's own parameters in a URL is not valid. The message contains no part of the URL."""


class PoolMode(StrEnum):
    """How a pooler assigns connections to PostgreSQL: for a session of a client, or for a transaction."""

    SESSION = "session"
    TRANSACTION = "transaction"


@frozen
class PoolerParameters:
    """The engine's own parameters of a URL; `pool_mode` is None without a pooler.

    `prepare_threshold` is None if statements are not prepared.
    """

    pool_mode: PoolMode | None
    prepare_threshold: int | None


def pooler_parameters(url: URL) -> PoolerParameters:
    """The parameters for poolers of a URL of `database_url`."""
    mode = url.query.get(_POOL_MODE)
    pool_mode = None if mode is None else PoolMode(str(mode))
    default = None if pool_mode is PoolMode.TRANSACTION else PREPARE_THRESHOLD
    text = str(url.query.get(_PREPARE_THRESHOLD, default))
    return PoolerParameters(pool_mode, None if text.lower() == "none" else int(text))


def driver_url(url: URL) -> URL:
    """The URL without the engine's own parameters, which the driver does not know."""
    return url.difference_update_query(_OWN)


def schema_of(text: str) -> str | None:
    """The `schema` of a URL; None without this parameter. Raise `ValueError` as `database_url` does."""
    found = database_url(text).query.get(_SCHEMA)
    return None if found is None else str(found)


def _check_spelling(text: str) -> None:
    """Refuse the engine's own parameters without a value, which SQLAlchemy drops, and in upper case."""
    found = _QUERY.fullmatch(text)
    for given, value in parse_qsl(found["query"] if found else "", keep_blank_values=True):
        name = given.lower()
        if name not in _OWN:
            continue
        if given != name:
            raise InvalidParameter(f"Write its parameter {name} in lower case.")
        if not value:
            raise InvalidParameter(f"Its parameter {name} has no value: give it one, or remove the parameter.")


def _check_schema(url: URL, parameters: Mapping[str, str]) -> None:
    schema = url.query.get(_SCHEMA)
    if schema is None:
        return
    if not isinstance(schema, str) or not _SCHEMA_NAME.fullmatch(schema):
        raise InvalidParameter(
            f"{_SCHEMA} must be the name of one schema: up to 63 lower-case ASCII letters, digits and underscores,"
            " not beginning with a digit or pg_."
        )
    if "search_path" in split_options(parameters.get("options", ""))[0]:
        raise InvalidParameter(f"Remove search_path from its options: {_SCHEMA} sets the search path.")


def _check_pooler_parameters(url: URL) -> None:
    try:
        found = pooler_parameters(url)
    except ValueError:
        found = None
    if found is None or (found.prepare_threshold is not None and found.prepare_threshold < 0):
        raise InvalidParameter(
            f"{_POOL_MODE} must be session or transaction, and {_PREPARE_THRESHOLD} a number from 0, or none."
        )


def split_options(options: str) -> tuple[dict[str, str], str]:
    """The settings of libpq's parameter `options`, and the rest that is not a setting."""
    settings, place = dict[str, str](), 0
    options = options.strip()
    while found := _OPTION.match(options, place):
        settings[found["name"].replace("-", "_")] = re.sub(r"\\(.)", r"\1", found["value"])
        place = found.end()
    return settings, options[place:]


def separate_settings(parameters: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Libpq's parameters without the settings in `options`, and a statement that sets them; empty if there are none.

    A pooler may refuse or ignore `options`.
    """
    settings, options = split_options(parameters.get("options", ""))
    calls = [sql.SQL("set_config({}, {}, false)").format(*pair) for pair in settings.items()]
    statement = (sql.SQL("SELECT ") + sql.SQL(", ").join(calls)).as_bytes() if calls else b""
    return {**parameters, "options": options}, statement


def database_url(text: str) -> URL:
    """The URL with SQLAlchemy's driver name.

    Several hosts, `h1:5432,h2:5432`, become parameters of the query. Raise `ValueError` unless the text is a URL of
    PostgreSQL that begins with postgresql:// or postgres://.
    """
    try:
        url = _parse(text)
        parameters = _libpq_parameters(url)
    except (ArgumentError, ValueError):
        # The message does not contain the text, which may hold a password.
        raise ValueError("This is not a database URL such as postgresql://user:password@host:5432/name.") from None
    if url.drivername not in {"postgres", "postgresql", DRIVER}:
        raise ValueError(f"The database must be PostgreSQL (postgresql://user@host:5432/name), not {url.drivername}.")
    url = url.set(drivername=DRIVER)
    _check_spelling(text)
    _check_pooler_parameters(url)
    _check_schema(url, parameters)
    if "," in str(parameters.get("host", "")) and "target_session_attrs" not in url.query:
        url = url.update_query_dict({"target_session_attrs": DEFAULT_SESSION_ATTRS})
    return url


def _parse(text: str) -> URL:
    found = _HOST_LIST.fullmatch(text)
    if found is None:
        url = make_url(text)
    else:
        hosts = [_HOST.fullmatch(host) for host in found["hosts"].split(",")]
        pairs = [(host["ipv6"] or host["name"], host["port"] or "") for host in hosts if host is not None]
        if len(pairs) < len(hosts) or not all(name for name, _ in pairs):
            raise ValueError
        url = make_url(found["begin"] + found["end"])
        given = {"host": ",".join(name for name, _ in pairs), "port": ",".join(port for _, port in pairs)}
        url = url.update_query_dict({**given, **url.query})
    hosts_given, ports_given = url.query.get("host"), url.query.get("port")
    if isinstance(hosts_given, str) and isinstance(ports_given, str) and "," in hosts_given and "," not in ports_given:
        # One port is that of all hosts, as libpq has it.
        url = url.update_query_dict({"port": ",".join([ports_given] * len(hosts_given.split(",")))})
    return url


def connection_parameters(url: URL) -> dict[str, str]:
    """Libpq's parameters of a URL of `database_url`, completed by the defaults of this module."""
    given = _libpq_parameters(url)
    if (schema := url.query.get(_SCHEMA)) is not None:
        # Only this schema: without its tables, statements fail instead of using those of another installation.
        given["options"] = f"{given.get('options', '')} -csearch_path={schema}".strip()
    seconds = CONNECT_SECONDS if len(single_hosts(given)) == 1 else CONNECT_SECONDS_OF_SEVERAL
    return {"connect_timeout": str(seconds), **TCP_DEFAULTS, **given}


def _libpq_parameters(url: URL) -> dict[str, str]:
    dialect: Any = PSYCOPG_DIALECT
    found = dialect.create_connect_args(driver_url(url))[1]
    return {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in found.items()}


def single_hosts(parameters: Mapping[str, str]) -> list[dict[str, str]]:
    """The parameters of each host alone, in the order of the URL."""
    lists = {name: parameters[name].split(",") for name in ("host", "hostaddr", "port") if parameters.get(name)}
    count = max(map(len, lists.values()), default=1)
    return [
        {**parameters, **{name: values[number if len(values) > 1 else 0] for name, values in lists.items()}}
        for number in range(count)
    ]


def standby_urls(text: str) -> list[str]:
    """The URL of each host of `DATABASE_READ_URL`, in order.

    Raise `ValueError` as `database_url` does, if `target_session_attrs` excludes standbys, and for a pooler of
    transactions, which could run each transaction on another server than the polled one.
    """
    url = database_url(text)
    if pooler_parameters(url).pool_mode is PoolMode.TRANSACTION:
        raise ValueError("standbys cannot be read through a pooler of transactions: connect to them directly")
    if _parse(text).query.get("target_session_attrs") in PRIMARY_ONLY:
        raise ValueError("its target_session_attrs excludes standbys: remove this parameter")
    common = {"connect_timeout": str(CONNECT_SECONDS_OF_SEVERAL), **url.query, "target_session_attrs": "any"}
    return [
        url.set(
            host=None,
            port=None,
            query={**common, **{name: host[name] for name in ("host", "hostaddr", "port") if name in host}},
        ).render_as_string(hide_password=False)
        for host in single_hosts(connection_parameters(url))
    ]


def describe_database(text: str) -> str:
    """Name and hosts of the database of a URL, for messages: `shop on db1, db2`, `shop, schema eu, on db1`."""
    url = database_url(text)
    schema = url.query.get(_SCHEMA)
    hosts = [host["host"] for host in single_hosts(connection_parameters(url)) if "host" in host]
    hosts = [host for host in hosts if not host.startswith("/")]
    return f"{url.database or ''}{f', schema {schema},' if schema else ''} on {', '.join(hosts) or 'this machine'}"


def open_connection(text: str, *, autocommit: bool = False, **parameters: str) -> "psycopg.Connection[Any]":
    """A connection to the database of a URL, without a pool; `parameters` of libpq take precedence.

    Settings in its options are set by a statement, because a pooler may refuse them as parameters. Raise
    `psycopg.Error` if it fails, and `InvalidParameter` for a search path through a pooler of transactions, which would
    apply it to transactions of other clients.
    """
    url = database_url(text)
    given, set_settings = separate_settings({**connection_parameters(url), **parameters})
    if b"'search_path'" in set_settings and pooler_parameters(url).pool_mode is PoolMode.TRANSACTION:
        raise InvalidParameter(
            f"A connection without a pool cannot have a {_SCHEMA} with {_POOL_MODE}=transaction: connect to PostgreSQL"
            f" itself, or to a pooler with {_POOL_MODE}=session."
        )
    connection = psycopg.connect(make_conninfo("", **given), autocommit=True)
    try:
        if set_settings:
            connection.execute(set_settings)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection
