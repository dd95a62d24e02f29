import pytest

from adapters.db.core.connection_parameters import (
    PREPARE_THRESHOLD,
    InvalidParameter,
    PoolMode,
    connection_parameters,
    database_url,
    describe_database,
    driver_url,
    open_connection,
    pooler_parameters,
    schema_of,
    separate_settings,
    single_hosts,
    split_options,
    standby_urls,
)


def hosts(text: str) -> list[tuple[str | None, str | None]]:
    parameters = connection_parameters(database_url(text))
    return [(host.get("host"), host.get("port")) for host in single_hosts(parameters)]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_list_of_hosts_is_read_as_libpq_reads_it(scheme: str) -> None:
    url = f"{scheme}://ada:p%40,ss@db1:5433,[::1]:5434,db3/shop?sslmode=require"
    assert hosts(url) == [("db1", "5433"), ("::1", "5434"), ("db3", "")]
    parameters = connection_parameters(database_url(url))
    assert (parameters["user"], parameters["password"]) == ("ada", "p@,ss")
    assert (parameters["dbname"], parameters["sslmode"]) == ("shop", "require")


@pytest.mark.parametrize("query", ["host=db1,db2&port=5433,5434", "host=db1:5433&host=db2:5434"])
def test_hosts_can_be_parameters(query: str) -> None:
    assert hosts(f"postgresql://ada@/shop?{query}") == [("db1", "5433"), ("db2", "5434")]


def test_one_port_is_that_of_all_hosts() -> None:
    assert hosts("postgresql:///shop?host=db1,db2&port=5433") == [("db1", "5433"), ("db2", "5433")]


def test_a_single_host_and_a_socket_are_read() -> None:
    assert hosts("postgresql://ada:a,b@db1:5433/shop") == [("db1", "5433")]
    assert hosts("postgresql://ada@/shop?host=/run/postgresql") == [("/run/postgresql", None)]
    assert hosts("postgresql:///shop") == [(None, None)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://db1,db2/shop", "read-write"),
        ("postgresql:///shop?host=db1:1&host=db2:2", "read-write"),
        ("postgresql://db1,db2/shop?target_session_attrs=any", "any"),
        ("postgresql://db1/shop", None),
    ],
)
def test_several_hosts_mean_the_primary_unless_the_url_says_otherwise(url: str, expected: str | None) -> None:
    assert connection_parameters(database_url(url)).get("target_session_attrs") == expected


def test_a_lost_peer_is_detected_within_seconds() -> None:
    parameters = connection_parameters(database_url("postgresql://db1/shop"))
    assert int(parameters["tcp_user_timeout"]) <= 10_000
    assert int(parameters["connect_timeout"]) <= 5
    probes = int(parameters["keepalives_interval"]) * int(parameters["keepalives_count"])
    assert int(parameters["keepalives_idle"]) + probes <= 15


def test_parameters_of_the_url_take_precedence() -> None:
    given = {"connect_timeout": "9", "tcp_user_timeout": "700", "keepalives_idle": "60"}
    query = "&".join(f"{name}={value}" for name, value in given.items())
    parameters = connection_parameters(database_url(f"postgresql://db1/shop?{query}"))
    assert {name: parameters[name] for name in given} == given


@pytest.mark.parametrize(
    "url", ["postgresql://db1:x,db2/shop", "postgresql://db1,/shop", "postgresql:///s?host=a,b&port=1,2,3"]
)
def test_malformed_hosts_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError, match="not a database URL") as refused:
        database_url(url)
    assert "db1" not in str(refused.value)


def test_a_database_is_described_without_its_password() -> None:
    assert describe_database("postgresql://ada:secret@db1:5433,db2/shop") == "shop on db1, db2"
    assert describe_database("postgresql:///shop?host=/run/postgresql") == "shop on this machine"


def test_each_standby_has_a_url_of_its_own() -> None:
    urls = standby_urls("postgresql://ada:s%40cret@db2,db3:6432/shop?sslmode=require")
    found = [connection_parameters(database_url(url)) for url in urls]
    assert [(each["host"], each.get("port", "5432") or "5432") for each in found] == [("db2", "5432"), ("db3", "6432")]
    for each in found:
        assert each.items() >= {
            "user": "ada", "password": "s@cret", "dbname": "shop", "sslmode": "require", "target_session_attrs": "any",
            "connect_timeout": "2",
        }.items()  # fmt: skip


def test_standbys_are_not_read_through_a_pooler_of_transactions() -> None:
    assert len(standby_urls("postgresql://ada@db2:6432,db3:6432/shop?pool_mode=session")) == 2
    with pytest.raises(ValueError, match="through a pooler of transactions"):
        standby_urls("postgresql://ada@db2:6432/shop?pool_mode=transaction")


def test_the_url_of_standbys_must_not_exclude_them() -> None:
    with pytest.raises(ValueError, match="excludes standbys"):
        standby_urls("postgresql://ada@db2,db3/shop?target_session_attrs=read-write")


@pytest.mark.parametrize(
    ("query", "mode", "threshold"),
    [
        ("", None, PREPARE_THRESHOLD),
        ("?pool_mode=session", PoolMode.SESSION, PREPARE_THRESHOLD),
        ("?pool_mode=transaction", PoolMode.TRANSACTION, None),
        ("?pool_mode=transaction&prepare_threshold=3", PoolMode.TRANSACTION, 3),
        ("?prepare_threshold=none", None, None),
        ("?prepare_threshold=0", None, 0),
    ],
)
def test_parameters_for_poolers_are_read_and_not_passed_to_the_driver(
    query: str, mode: PoolMode | None, threshold: int | None
) -> None:
    url = database_url(f"postgresql://db1/shop{query}")
    found = pooler_parameters(url)
    assert (found.pool_mode, found.prepare_threshold) == (mode, threshold)
    own = {"pool_mode", "prepare_threshold", "schema"}
    assert not own & connection_parameters(url).keys()
    assert not own & driver_url(url).query.keys()


@pytest.mark.parametrize(
    "query",
    ["pool_mode=statement", "prepare_threshold=-1", "prepare_threshold=often", "pool_mode=a&pool_mode=b"],
)
def test_invalid_parameters_for_poolers_are_refused(query: str) -> None:
    with pytest.raises(ValueError, match="pool_mode must be session or transaction"):
        database_url(f"postgresql://db1/shop?{query}")


def test_options_are_split_into_settings_and_the_rest() -> None:
    assert split_options("") == ({}, "")
    options = r"-c work_mem=5MB -cjit=on --lock-timeout=1s -c search_path=a\ b,\\c -e -c x=1"
    settings = {"work_mem": "5MB", "jit": "on", "lock_timeout": "1s", "search_path": "a b,\\c"}
    assert split_options(options) == (settings, "-e -c x=1")


def test_a_schema_is_the_only_one_in_the_search_path() -> None:
    text = "postgresql://ada@db1/shop?schema=eu_1&options=-cwork_mem%3D5MB"
    url = database_url(text)
    assert schema_of(text) == "eu_1"
    assert schema_of("postgresql://ada@db1/shop") is None
    assert "schema" not in driver_url(url).query
    parameters = connection_parameters(url)
    assert split_options(parameters["options"]) == ({"work_mem": "5MB", "search_path": "eu_1"}, "")
    assert describe_database(text) == "shop, schema eu_1, on db1"
    assert [schema_of(each) for each in standby_urls("postgresql://db1,db2/shop?schema=eu")] == ["eu", "eu"]


def test_settings_are_separated_from_parameters_that_a_pooler_refuses() -> None:
    parameters = {"host": "db1", "options": "-csearch_path=eu --lock-timeout=1s -e"}
    assert separate_settings(parameters) == (
        {"host": "db1", "options": "-e"},
        b"SELECT set_config('search_path', 'eu', false), set_config('lock_timeout', '1s', false)",
    )
    assert separate_settings({"host": "db1"}) == ({"host": "db1", "options": ""}, b"")


@pytest.mark.parametrize(
    "schema", ["EU", "pg_eu", "1st", "a,public", "a%20b", "information_schema", "x" * 64, '"eu"', "eu&schema=us"]
)
def test_the_name_of_a_schema_needs_no_quotes(schema: str) -> None:
    with pytest.raises(InvalidParameter, match="schema must be the name of one schema"):
        database_url(f"postgresql://db1/shop?schema={schema}")


@pytest.mark.parametrize("name", ["schema", "pool_mode", "prepare_threshold"])
@pytest.mark.parametrize("place", ["db1/shop", "ada:why?@db1/shop", "ada:why?@db1,db2/shop", "ada:p@db1:5432", "/shop"])
def test_a_parameter_without_a_value_or_in_upper_case_is_refused(name: str, place: str) -> None:
    """SQLAlchemy drops a parameter without a value, so that the default would be used."""
    for query in (f"{name}=", name, f"connect_timeout=3&{name}=", f"{name}=session&{name}="):
        with pytest.raises(InvalidParameter, match=f"^Its parameter {name} has no value: give it one, or remove"):
            database_url(f"postgresql://{place}?{query}")
    for written in (name.capitalize(), name.upper()):
        for value in ("", "session"):
            with pytest.raises(InvalidParameter, match=f"^Write its parameter {name} in lower case"):
                database_url(f"postgresql://{place}?{written}={value}")


def test_a_password_may_look_like_a_parameter() -> None:
    for place in ("db1", "db1,db2"):
        assert database_url(f"postgresql://ada:?schema=@{place}/shop?schema=eu").password == "?schema="


@pytest.mark.parametrize("query", ["schema=eu", "options=-csearch_path%3Deu"])
def test_a_connection_without_a_pool_sets_no_search_path_through_a_pooler_of_transactions(query: str) -> None:
    with pytest.raises(InvalidParameter, match="connect to PostgreSQL itself, or to a pooler with pool_mode=session"):
        open_connection(f"postgresql://127.0.0.1:1/shop?pool_mode=transaction&{query}")


def test_a_schema_and_a_search_path_exclude_each_other() -> None:
    with pytest.raises(InvalidParameter, match="Remove search_path from its options"):
        database_url("postgresql://db1/shop?schema=eu&options=-csearch_path%3Dpublic")
