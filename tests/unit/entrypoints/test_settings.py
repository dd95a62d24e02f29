"""Settings are checked as a whole before anything starts."""

import re
from datetime import timedelta

import pytest

from entrypoints.settings import (
    RENAMED,
    SettingsError,
    _warn_of_former_name,
    describe_settings,
    load,
    to_environment,
)
from scalecommerce_core.domain.secret import Secret

SECRET = "s" * 32
GOOD = {
    "DATABASE_URL": "postgresql://shop:secret@db:5432/shop",
    "REDIS_URL": "redis://:secret@redis:6379/0",
    "JWT_SECRET": SECRET,
}


def test_missing_variables_have_defaults() -> None:
    settings = load(GOOD)
    assert (settings.market_currency, settings.intake_queue, settings.previous_secrets) == ("USD", 2_000, [])
    assert load(to_environment(settings)) == settings


def test_stored_secrets_are_encrypted_with_the_token_secret_unless_another_one_is_set() -> None:
    texts = [letter * 32 for letter in "abcd"]
    rotated = GOOD | {"JWT_PREVIOUS_SECRETS": texts[3]}
    assert load(rotated).encryption_secrets == [Secret(SECRET), Secret(texts[3])]
    own = {"ENCRYPTION_SECRET": texts[0], "ENCRYPTION_PREVIOUS_SECRETS": ",".join(texts[1:3])}
    assert load(rotated | own).encryption_secrets == [*map(Secret, texts[:3]), Secret(SECRET), Secret(texts[3])]


def test_previous_secrets_are_a_list() -> None:
    old = ["a" * 32, "b" * 40]
    assert load(GOOD | {"JWT_PREVIOUS_SECRETS": ",".join(old) + ","}).previous_secrets == [Secret(text) for text in old]


def test_the_view_window_and_the_bots_may_be_empty() -> None:
    settings = load(GOOD)
    assert settings.view_window == timedelta(seconds=30)
    assert settings.bots[:2] == ["(?<!cu)bot", "crawl"]
    none = load(GOOD | {"VIEW_WINDOW_SECONDS": "0", "VIEW_BOTS": ""})
    assert (none.view_window, none.bots) == (timedelta(), [])


def test_a_former_name_is_accepted_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    _warn_of_former_name.cache_clear()
    for _ in range(3):
        assert load(GOOD | {"STALL_SECONDS": "7"}).worker_stall_timeout_seconds == 7
    (record,) = caplog.records
    assert record.getMessage() == (
        "the setting STALL_SECONDS is now called WORKER_STALL_TIMEOUT_SECONDS;"
        " the next release will ignore the former name"
    )


def test_the_present_name_has_precedence_over_the_former_one() -> None:
    settings = load(GOOD | {"STALL_SECONDS": "7", "WORKER_STALL_TIMEOUT_SECONDS": "8"})
    assert settings.worker_stall_timeout_seconds == 8


def test_a_wrong_value_is_reported_under_the_name_that_was_set() -> None:
    with pytest.raises(SettingsError, match=r"^STALL_SECONDS: "):
        load(GOOD | {"STALL_SECONDS": "soon"})


@pytest.mark.parametrize(("former", "present"), RENAMED.items())
def test_former_names_lead_to_settings_that_exist(former: str, present: str) -> None:
    names = {name for name, _, _ in describe_settings()}
    assert present in names
    assert former not in names


def test_a_stall_is_longer_than_the_deadline_of_commands() -> None:
    with pytest.raises(SettingsError, match="API_STALL_TIMEOUT_SECONDS: must be more than COMMAND_DEADLINE_SECONDS"):
        load(GOOD | {"COMMAND_DEADLINE_SECONDS": "30"})
    longer = {"COMMAND_DEADLINE_SECONDS": "30", "API_STALL_TIMEOUT_SECONDS": "31"}
    assert load(GOOD | longer).api_stall_timeout_seconds == 31


def test_orders_stay_hot_for_longer_than_they_count_in_limits_per_buyer() -> None:
    assert load(GOOD).orders_hot_time is None
    assert load(GOOD | {"ORDERS_HOT_DAYS": "31"}).orders_hot_time == timedelta(days=31)
    for wrong in ({"ORDERS_HOT_DAYS": "30"}, {"ORDERS_HOT_DAYS": "90", "BUYER_LIMIT_DAYS": "90"}):
        with pytest.raises(SettingsError, match="ORDERS_HOT_DAYS: must be 0 or more than BUYER_LIMIT_DAYS"):
            load(GOOD | wrong)
    promise = {"ORDERS_HOT_DAYS": "40", "PRICE_PROMISE_SECONDS": str(40 * 86_400)}
    with pytest.raises(SettingsError, match="ORDERS_HOT_DAYS: must be 0 or longer than PRICE_PROMISE_SECONDS"):
        load(GOOD | promise)
    assert load(GOOD | promise | {"ORDERS_HOT_DAYS": "41"}).orders_hot_days == 41


def test_all_missing_variables_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load({})
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == list(GOOD)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DATABASE_URL", "mysql://shop:secret@db/shop"),
        ("DATABASE_URL", "postgresql://shop:secret@[::1/shop"),
        ("DATABASE_URL", "postgresql://shop:secret@db:port/shop"),
        ("DATABASE_URL", "postgresql://shop:secret/word@db/shop"),
        ("DATABASE_READ_URL", "mysql://shop:secret@db/shop"),
        ("DATABASE_READ_URL", "postgresql://shop:secret@db2,db3:port/shop"),
        ("DATABASE_READ_URL", "postgresql://shop:secret@db2,db3/shop?target_session_attrs=primary"),
        ("DATABASE_POOL_SIZE", "0"),
        ("VIEW_WINDOW_SECONDS", "-1"),
        ("VIEW_BOTS", "crawl,(bot"),
        ("VIEW_BOTS", "(?i)bot"),
        ("METRICS_PORT", "65536"),
        ("REDIS_URL", "http://redis:6379/0"),
        ("REDIS_URL", "redis://:secret@redis:99999/0"),
        ("REDIS_URL", "redis://:secret@redis,other/0"),
        ("REDIS_URL", "sentinel://:secret@redis"),
        ("JWT_SECRET", "secret"),
        ("JWT_PREVIOUS_SECRETS", f"{SECRET},secret"),
        ("ENCRYPTION_SECRET", "secret"),
        ("ENCRYPTION_PREVIOUS_SECRETS", f"{SECRET},secret"),
        ("MARKET_CURRENCY", "usd"),
        ("MARKET_CURRENCY", "ZZZ"),
        ("MARKET_CURRENCY", "XAU"),
        ("MARKET_CURRENCY", "HRK"),
        ("ACCESS_TOKEN_SECONDS", "soon"),
        ("ACCESS_TOKEN_SECONDS", "99999999999999"),
        *(("ACCESS_TOKEN_SECONDS", text) for text in ("6_00", "٦٠٠", "+600", " 600", "600.0", "6e2", "0600")),
        ("LOG_LEVEL", "LOUD"),
        ("PAYMENT_GATEWAY", "stripe"),
        ("FAILPOINTS", "commit:never@1"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
        ("PROXY_HEADERS", "both"),
        ("ALLOWED_HOSTS", "https://shop.example"),
        ("CORS_ORIGINS", "*"),
        ("READS_PER_CLIENT", "0"),
    ],
)
def test_a_wrong_value_is_reported_without_secrets(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
        load(GOOD | {variable: text})
    # The message may name Python's module `secrets`, which generates keys.
    assert "secret@" not in str(caught.value)
    assert "'secret'" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("?schema=EU", "DATABASE_URL: schema must be the name of one schema"),
        ("?schema=", "DATABASE_URL: Its parameter schema has no value"),
        ("?Schema=eu", "DATABASE_URL: Write its parameter schema in lower case"),
        ("?pool_mode=statement", "DATABASE_URL: pool_mode must be session or transaction"),
        ("?schema=eu&options=-csearch_path%3Dus", "DATABASE_URL: Remove search_path from its options"),
    ],
)
def test_a_wrong_parameter_of_the_database_url_is_named(parameters: str, message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)) as refused:
        load({**GOOD, "DATABASE_URL": GOOD["DATABASE_URL"] + parameters})
    assert "secret" not in str(refused.value)


def test_standbys_are_read_in_the_schema_of_the_primary() -> None:
    in_eu = {**GOOD, "DATABASE_URL": GOOD["DATABASE_URL"] + "?schema=eu"}
    standby = "postgresql://shop:secret@db2/shop"
    assert load({**in_eu, "DATABASE_READ_URL": standby + "?schema=eu"}).database_read_url
    for given, url in ((in_eu, standby), (GOOD, standby + "?schema=eu"), (in_eu, standby + "?schema=us")):
        with pytest.raises(SettingsError, match="DATABASE_READ_URL: its `schema` must be that of DATABASE_URL"):
            load({**given, "DATABASE_READ_URL": url})
