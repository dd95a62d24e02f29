"""The servers of `REDIS_URL`: one Redis or Valkey, or a master that Redis Sentinel names."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from attrs import field, frozen
from redis import Redis
from redis.sentinel import Sentinel

SCHEMES: Final[Mapping[str, str]] = {
    "redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"
}  # fmt: skip
"""Schemes of a single server and the schemes of the client libraries for them."""
SENTINEL: Final = "sentinel"
SENTINEL_PORT: Final = 26379
EXAMPLE: Final = "sentinel://:password@host1:26379,host2:26379/mymaster/0"
SENTINEL_PARAMETERS: Final = frozenset({"sentinel_username", "sentinel_password"})


@frozen
class RedisServers:
    """A parsed `REDIS_URL`. `sentinels` are (host, port) pairs; `master` is the server's name in their settings."""

    url: str = field(default="", repr=False)
    """The URL for redis-py and Celery; empty with Sentinel."""
    sentinels: Sequence[tuple[str, int]] = ()
    master: str = ""
    database: int = 0
    credentials: Mapping[str, str] = field(factory=dict, repr=False)
    """`username` and `password` of the servers."""
    sentinel_credentials: Mapping[str, str] = field(factory=dict, repr=False)
    """`username` and `password` of the Sentinels."""

    @classmethod
    def parse(cls, text: str) -> "RedisServers":
        """Raise ValueError, with a message that contains no part of the text, for another form."""
        scheme = text.partition("://")[0]
        if scheme == SENTINEL:
            return _parse_sentinel(text)
        if scheme not in SCHEMES:
            raise ValueError(_unknown_scheme(scheme))
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            if "," in text.rpartition("@")[2]:
                raise ValueError(_several_hosts()) from None
            # The error's text is not repeated: it may contain a part of the password.
            raise ValueError(
                "its host or port is invalid; special characters in a password must be %-encoded"
            ) from None
        if "," in (parts.hostname or ""):
            raise ValueError(_several_hosts())
        return cls(SCHEMES[scheme] + text.removeprefix(scheme))

    def client(self, **options: Any) -> Redis:
        """A client, with `options` of `redis.Redis` such as timeouts in seconds; it connects when it is first used."""
        if not self.sentinels:
            return Redis.from_url(self.url, **options)
        timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout") if name in options}
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
            list(self.sentinels), sentinel_kwargs={**timeouts, **self.sentinel_credentials}
        )
        master: Redis = sentinel.master_for(self.master, db=self.database, **self.credentials, **options)
        return master

    @property
    def broker_url(self) -> str:
        """The URL for Celery, which names all Sentinels."""
        if not self.sentinels:
            return self.url
        user, password = (quote(self.credentials.get(name, ""), safe="") for name in ("username", "password"))
        login = f"{user}:{password}@" if self.credentials else ""
        hosts = [(f"[{host}]" if ":" in host else host, port) for host, port in self.sentinels]
        return ";".join(f"{SENTINEL}://{login}{host}:{port}/{self.database}" for host, port in hosts)

    @property
    def broker_options(self) -> dict[str, Any]:
        """Celery's `broker_transport_options` for this form of the URL."""
        if not self.sentinels:
            return {}
        return {
            "master_name": self.master,
            "sentinel_kwargs": {"socket_timeout": 5, "socket_connect_timeout": 2, **self.sentinel_credentials},
        }


def _parse_sentinel(text: str) -> RedisServers:
    if ";" in text:
        raise ValueError(f"write the Sentinels in one URL, separated by commas, as in {EXAMPLE}")
    hosts, path, login, query = _split(text)
    sentinels = [_address(host) for host in hosts.split(",")]
    master, _, database = path.strip("/").partition("/")
    if not master or (database and not database.isdecimal()):
        raise ValueError(
            f"the path must be the name of the master and possibly the number of the database, as in {EXAMPLE}"
        )
    given = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := given.keys() - SENTINEL_PARAMETERS:
        raise ValueError(f"it has unknown parameters ({', '.join(sorted(unknown))}); known are"
                         f" {', '.join(sorted(SENTINEL_PARAMETERS))}")  # fmt: skip
    user, _, password = login.partition(":")
    return RedisServers(
        sentinels=sentinels,
        master=unquote(master),
        database=int(database or 0),
        credentials=_login(unquote(user), unquote(password)),
        sentinel_credentials=_login(given.get("sentinel_username", ""), given.get("sentinel_password", "")),
    )


def _split(text: str) -> tuple[str, str, str, str]:
    """Hosts, path, login and query. `urlsplit` checks no more than brackets, so several hosts are no error."""
    try:
        parts: SplitResult = urlsplit(text)
    except ValueError:
        raise ValueError(f"it is no URL such as {EXAMPLE}") from None
    login, _, hosts = parts.netloc.rpartition("@")
    return hosts, parts.path, login, parts.query


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", str(SENTINEL_PORT))
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ValueError(f"its Sentinels must be host:port pairs, separated by commas, as in {EXAMPLE}")
    return host, int(port)


def _login(user: str, password: str) -> dict[str, str]:
    return {name: value for name, value in (("username", user), ("password", password)) if value}


def _unknown_scheme(scheme: str) -> str:
    if "sentinel" in scheme.lower():
        return f"for Sentinel it must begin with sentinel://, without TLS, as in {EXAMPLE}"
    return f"it must begin with {', '.join(f'{known}://' for known in SCHEMES)} or {SENTINEL}://"


def _several_hosts() -> str:
    return f"it names several hosts, which only Sentinel can have, as in {EXAMPLE}"
