import pytest
from redis import Redis

from adapters.redis.servers import RedisServers


def address(url: str) -> tuple[str, int, int]:
    options = RedisServers.parse(url).client().connection_pool.connection_kwargs
    return options["host"], options["port"], options.get("db", 0)


def test_a_url_of_valkey_is_that_of_a_server_of_redis() -> None:
    assert address("valkey://:secret@cache:6380/2") == ("cache", 6380, 2)
    assert RedisServers.parse("valkeys://cache").broker_url == "rediss://cache"
    assert RedisServers.parse("redis://:secret@cache:6379/0").broker_url == "redis://:secret@cache:6379/0"
    assert RedisServers.parse("redis://cache").broker_options == {}


def test_a_url_of_sentinel_names_sentinels_master_database_and_credentials() -> None:
    url = "sentinel://shop:p%2Fw@a:26379,b,[::1]:5000/mymaster/3?sentinel_password=other"
    servers = RedisServers.parse(url)
    assert servers.sentinels == [("a", 26379), ("b", 26379), ("::1", 5000)]
    assert (servers.master, servers.database) == ("mymaster", 3)
    assert servers.credentials == {"username": "shop", "password": "p/w"}
    client = servers.client(decode_responses=True, socket_timeout=2)
    assert isinstance(client, Redis)
    options = client.connection_pool.connection_kwargs
    assert (options["db"], options["password"], options["socket_timeout"]) == (3, "p/w", 2)
    assert servers.broker_url == (
        "sentinel://shop:p%2Fw@a:26379/3;sentinel://shop:p%2Fw@b:26379/3;sentinel://shop:p%2Fw@[::1]:5000/3"
    )
    assert servers.broker_options["master_name"] == "mymaster"
    assert servers.broker_options["sentinel_kwargs"]["password"] == "other"
    assert "p/w" not in repr(servers)
    assert "other" not in repr(servers)


def test_a_sentinel_without_a_password_and_database() -> None:
    servers = RedisServers.parse("sentinel://a/mymaster")
    assert servers.broker_url == "sentinel://a:26379/0"
    assert servers.credentials == {}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "http://s3cret@redis",
            "it must begin with redis://, rediss://, unix://, valkey://, valkeys:// or sentinel://",
        ),
        ("redis+sentinel://:s3cret@a/m", "it must begin with sentinel://, without TLS"),
        ("sentinels://:s3cret@a/m", "it must begin with sentinel://, without TLS"),
        ("sentinel://:s3cret@a:1;sentinel://:s3cret@b:1/m", "separated by commas"),
        ("sentinel://:s3cret@a,b", "the path must be the name of the master"),
        ("sentinel://:s3cret@a/m/s3cret", "the path must be the name of the master"),
        ("sentinel://:s3cret@a:x/m", "host:port pairs"),
        ("sentinel://:s3cret@a,/m", "host:port pairs"),
        ("sentinel://:s3cret@a/m?tls=1", r"unknown parameters \(tls\)"),
        ("redis://:s3cret@a:6379,b:6379/0", "several hosts, which only Sentinel can have"),
        ("redis://:s3cret@a,b/0", "several hosts, which only Sentinel can have"),
        ("redis://:s3cret@a:99999/0", "host or port is invalid"),
    ],
)
def test_another_form_is_refused_with_a_message_that_quotes_no_password(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        RedisServers.parse(url)
    assert "s3cret" not in str(caught.value)
