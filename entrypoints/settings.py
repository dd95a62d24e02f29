"""Settings from environment variables, which have the names of the fields in capitals; checked when they are loaded.

`scalecommerce settings` prints the table in docs/operations.md from this class.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from email.utils import parseaddr
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import typed_settings as ts
from attrs import Attribute, field, fields, frozen

from scalecommerce_core.domain.currencies import NotCurrency, check_market_currency
from scalecommerce_core.domain.numbers import NotNumber, parse_integer
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.domain.product_views import ViewCap, ViewCaps
from scalecommerce_core.domain.secret import Secret
from scalecommerce_core.domain.session import Lifetimes

logger = logging.getLogger(__name__)

MIN_SECRET_BYTES: Final = 32
MEMORY_INDEX: Final = "memory"
"""The value of `SEARCH_INDEX` with which API processes have an index."""
EMAIL_CONSOLE: Final = "console:"
"""The value of `SMTP_URL` that writes e-mails to the log."""
MAX_SENDER_LENGTH: Final = 320
MAX_DAYS: Final = 36_500
MAX_NUMBER: Final = 1_000_000_000
"""The limit of every number; as seconds, 31 years. It keeps dates in the range of `datetime`."""
MAX_PORT: Final = 65_535
MAX_VIEW_CAP: Final = 60_000
DEFAULT_BOTS: Final = (
    # Crawlers name themselves like this by convention. Cubot is a brand of telephones.
    "(?<!cu)bot,crawl,spider,slurp,archiver,"
    # Programs that fetch a preview for a link, a feed or an advertisement
    "preview,facebookexternalhit,whatsapp/,feedfetcher,mediapartners,googleother,inspectiontool,"
    # Programs that measure availability or speed
    "headlesschrome,lighthouse,pagespeed,pingdom,uptime,monitor"
)


RENAMED: Final[Mapping[str, str]] = {"STALL_SECONDS": "WORKER_STALL_TIMEOUT_SECONDS"}
"""Former names of variables and the present ones. A former name is accepted for one release, with a warning."""


class SettingsError(ValueError):
    """Settings are missing or wrong; the message has one line per setting, with the remedy."""


NO_SECRET: Final = Secret("")


def _setting(default: Any, help: str, *, validator: Any = None) -> Any:  # noqa: A002 - it is the help text
    return field(default=default, validator=validator, metadata={"help": help})


def _secret(_settings: object, _attribute: "Attribute[Any]", value: Secret) -> None:
    if len(value.reveal().encode()) < MIN_SECRET_BYTES:
        raise ValueError(
            f"it must have at least {MIN_SECRET_BYTES} bytes; generate it with"
            " `python -c 'import secrets; print(secrets.token_urlsafe(48))'`"
        )


def _optional_secret(settings: object, attribute: "Attribute[Any]", value: Secret) -> None:
    if value:
        _secret(settings, attribute, value)


def _url(*schemes: str) -> Any:
    def check(_settings: object, _attribute: "Attribute[Any]", value: Secret) -> None:
        if value.reveal().partition("://")[0] not in schemes:
            raise ValueError(f"it must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        try:
            _ = urlsplit(value.reveal()).port
        except ValueError:
            # The error's text is not repeated: it may contain a part of the password.
            raise ValueError(
                "its host or port is invalid; special characters in a password must be %-encoded"
            ) from None

    return check


def _database_url(_settings: object, _attribute: "Attribute[Any]", value: Secret) -> None:
    from adapters.db.core.connection_parameters import (  # noqa: PLC0415 - loads the database driver
        InvalidParameter,
        database_url,
    )

    schemes = ("postgresql", "postgres", "postgresql+psycopg")
    if value.reveal().partition("://")[0] not in schemes:
        raise ValueError(f"it must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    try:
        database_url(value.reveal())
        for host in urlsplit(value.reveal()).netloc.rpartition("@")[2].split(","):
            _ = urlsplit(f"//{host}").port
    except InvalidParameter as error:
        raise ValueError(str(error).removesuffix(".")) from None
    except ValueError:
        # The error's text is not repeated: it may contain a part of the password.
        raise ValueError("its host or port is invalid; special characters in a password must be %-encoded") from None


def _database_read_url(settings: object, attribute: "Attribute[Any]", value: Secret) -> None:
    from adapters.db.core.connection_parameters import standby_urls  # noqa: PLC0415 - loads the database driver

    if value:
        _database_url(settings, attribute, value)
        standby_urls(value.reveal())


def _redis_url(_settings: object, _attribute: "Attribute[Any]", value: Secret) -> None:
    from adapters.redis.servers import RedisServers  # noqa: PLC0415 - loads the client of Redis

    RedisServers.parse(value.reveal())


def _previous_secrets(settings: object, attribute: "Attribute[Any]", value: Secret) -> None:
    for secret in _split(value.reveal()):
        _secret(settings, attribute, Secret(secret))


def _split(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _split_list(text: str) -> list[str]:
    return [entry for part in text.split(",") if (entry := part.strip())]


def _failpoints(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    if value:
        from scalecommerce_core.testing.failpoints import parse_failpoints  # noqa: PLC0415 - for self-tests only

        parse_failpoints(value, "settings")


def _positive(_settings: object, _attribute: "Attribute[Any]", value: int) -> None:
    if not 1 <= value <= MAX_NUMBER:
        raise ValueError(f"it must be a whole number from 1 to {MAX_NUMBER}")


def _from_zero(_settings: object, _attribute: "Attribute[Any]", value: int) -> None:
    if not 0 <= value <= MAX_NUMBER:
        raise ValueError(f"it must be a whole number from 0 to {MAX_NUMBER}")


def _port(_settings: object, _attribute: "Attribute[Any]", value: int) -> None:
    if not 0 <= value <= MAX_PORT:
        raise ValueError(f"it must be a whole number from 0 to {MAX_PORT}")


def _view_cap(_settings: object, _attribute: "Attribute[Any]", value: int) -> None:
    # The counts in Redis have 16 bits.
    if not 0 <= value <= MAX_VIEW_CAP:
        raise ValueError(f"it must be a whole number from 0 to {MAX_VIEW_CAP}")


def _percent(_settings: object, _attribute: "Attribute[Any]", value: int) -> None:
    if not 0 <= value <= 100:
        raise ValueError("it must be a whole number from 0 to 100")


def _patterns(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    for pattern in _split(value):
        try:
            re.compile(f"(?:{pattern})")
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None


def _days(_settings: object, _attribute: "Attribute[Any]", value: int) -> None:
    if not 1 <= value <= MAX_DAYS:
        raise ValueError(f"it must be a whole number from 1 to {MAX_DAYS}")


def _days_or_zero(settings: object, attribute: "Attribute[Any]", value: int) -> None:
    if value:
        _days(settings, attribute, value)


def _choice(*words: str) -> Any:
    def check(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
        if value not in words:
            raise ValueError(f"{value!r} is not one of {', '.join(words)}")

    return check


def _proxies(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    if value:
        from adapters.http.framework.client_address import TrustedProxies  # noqa: PLC0415 - it loads Starlette

        TrustedProxies.parse(value)


def _hosts(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    if value:
        from adapters.http.framework.host import Hosts  # noqa: PLC0415 - it loads Starlette

        Hosts(_split_list(value))


def _origins(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    if value:
        from adapters.http.framework.cors import CorsPolicy  # noqa: PLC0415 - it loads Starlette

        CorsPolicy(_split_list(value))


def _gateway(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    from entrypoints.gateways import SANDBOX, known_gateways  # noqa: PLC0415 - it reads package metadata

    if value != SANDBOX and value not in (known := known_gateways()):
        raise ValueError(f"there is no gateway {value!r}; known are {', '.join(known)}")


def _policies(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    if value:
        from entrypoints.policies import load_named  # noqa: PLC0415 - it loads numpy

        load_named(value)


def _smtp_url(_settings: object, _attribute: "Attribute[Any]", value: Secret) -> None:
    if value and value.reveal() != EMAIL_CONSOLE:
        from adapters.email.smtp import SmtpServer  # noqa: PLC0415 - loads the email package

        SmtpServer.from_url(value.reveal())


def _email_from(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    _, address = parseaddr(value)
    if not value.isprintable() or "@" not in address or len(value) > MAX_SENDER_LENGTH:
        raise ValueError(f"{value!r} is not an address such as `Shop <noreply@shop.example>`")


def _public_url(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    if not value:
        return
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or "@" in value:
        raise ValueError(f"{value!r} is not a URL such as `https://shop.example`")


def _demo_market(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    if value:
        from adapters.web.framework.demo import DemoMarket  # noqa: PLC0415 - it loads Starlette

        DemoMarket.from_text(value)


def _currency(_settings: object, _attribute: "Attribute[Any]", value: str) -> None:
    try:
        check_market_currency(value)
    except NotCurrency as error:
        raise ValueError(str(error).removesuffix(".")) from None


@frozen(kw_only=True)
class Settings:
    database_url: Secret = _setting(
        NO_SECRET,
        "URL of PostgreSQL: `postgresql://user:password@host/name`; with standbys `postgresql://user:password@h1,h2/name`;"
        " through PgBouncer with `?pool_mode=session` or `?pool_mode=transaction`; for tables outside of the schema"
        " `public` with `?schema=name`.",
        validator=_database_url,
    )
    database_read_url: Secret = _setting(
        NO_SECRET,
        "URL of standbys, such as `postgresql://user:password@h1,h2/name`, that answer reads of the catalog if they are"
        " recent enough; the first host that can be used is. Empty: the primary answers all reads.",
        validator=_database_read_url,
    )
    database_pool_size: int = _setting(
        10, "Connections that one process keeps open; under load it opens up to ten more.", validator=_positive
    )
    redis_url: Secret = _setting(
        NO_SECRET,
        "URL of Redis or Valkey: `redis://:password@host:6379/0`, `valkey://…`; `rediss://` or `valkeys://` for TLS;"
        " `sentinel://:password@host1:26379,host2:26379/mymaster/0` for Sentinel.",
        validator=_redis_url,
    )
    jwt_secret: Secret = _setting(
        NO_SECRET,
        f"Key that signs tokens (HS256) and cursors; at least {MIN_SECRET_BYTES} random bytes.",
        validator=_secret,
    )
    jwt_previous_secrets: Secret = _setting(
        NO_SECRET, "Former keys that still verify tokens, comma-separated, for rotation.", validator=_previous_secrets
    )
    encryption_secret: Secret = _setting(
        NO_SECRET,
        "Key that encrypts stored secrets, such as those of webhooks; empty: a key derived from `JWT_SECRET`.",
        validator=_optional_secret,
    )
    encryption_previous_secrets: Secret = _setting(
        NO_SECRET,
        "Former keys that still decrypt stored secrets, comma-separated, for rotation.",
        validator=_previous_secrets,
    )
    jwt_issuer: str = _setting("scalecommerce", "The `iss` and `aud` of tokens.")
    market_currency: str = _setting(
        "USD",
        "Currency of all prices, as an ISO 4217 code; it determines the number of decimals.",
        validator=_currency,
    )
    access_token_seconds: int = _setting(600, "Lifetime of an access token.", validator=_positive)
    refresh_token_seconds: int = _setting(1_209_600, "Lifetime of a session that is not used.", validator=_positive)
    session_seconds: int = _setting(
        7_776_000, "Lifetime of a session from log-in on, however much it is used.", validator=_positive
    )
    staff_refresh_token_seconds: int = _setting(
        3_600, "Lifetime of a staff session that is not used.", validator=_positive
    )
    staff_session_seconds: int = _setting(43_200, "Lifetime of a staff session from log-in on.", validator=_positive)
    refresh_grace_seconds: int = _setting(
        10,
        "Time after its exchange in which a refresh token returns the same new pair again; 0: none.",
        validator=_from_zero,
    )
    session_retention_days: int = _setting(30, "How long ended sessions are kept.", validator=_days)
    api_key_rotation_hours: int = _setting(
        24, "How long the former secret of a rotated API key is valid; 0: not at all.", validator=_from_zero
    )
    price_promise_seconds: int = _setting(
        600, "How long a former price is honoured after a price change.", validator=_positive
    )
    price_promise_min_seconds: int = _setting(
        5, "A former price is honoured only if it was in force for this long; 0: any.", validator=_from_zero
    )
    price_promise_units: int = _setting(
        10,
        "Units of a product that one buyer may order at a former price below the current one; 0: none.",
        validator=_from_zero,
    )
    price_quote_units: int = _setting(
        100,
        "Most units of a price quote, which a buyer requests and which is valid for `PRICE_PROMISE_SECONDS`; 0: no"
        " quotes.",
        validator=_from_zero,
    )
    reservation_seconds: int = _setting(900, "How long stock is reserved for an unpaid order.", validator=_positive)
    decide_at_intake: bool = _setting(
        True,
        "Whether API processes decide orders in the transaction that stores them, if it gets all locks without waiting."
        " `false`: workers decide all orders, which leaves more processor time to the API processes.",
    )
    open_orders_per_account: int = _setting(
        50, "Undecided and unpaid orders that an account may have; 0: any number.", validator=_from_zero
    )
    unpaid_share_percent: int = _setting(
        50,
        "Share of a product's units on hand that the unpaid orders of one account may reserve; 0: all of them.",
        validator=_percent,
    )
    unpaid_units: int = _setting(
        20,
        "Units of a product that the unpaid orders of one account may reserve whatever their share.",
        validator=_positive,
    )
    buyer_limit_days: int = _setting(
        30, "Age of the paid orders that count against a seller's limit per buyer (`max_per_buyer`).", validator=_days
    )
    orders_hot_days: int = _setting(
        0,
        "How long settled orders stay in the hot tables after their last change; older ones move to the archive, where"
        " lists still find them. More than `BUYER_LIMIT_DAYS` and `PRICE_PROMISE_SECONDS`; 0: for ever.",
        validator=_days_or_zero,
    )
    payment_gateway: str = _setting("sandbox", "Payment gateway; `sandbox` moves no money.", validator=_gateway)
    payment_seconds: int = _setting(
        60, "Age at which the state of an open payment attempt is requested from the gateway.", validator=_positive
    )
    intake_queue: int = _setting(
        2_000, "Orders that may wait in one API process; further ones are answered by 503.", validator=_positive
    )
    max_decision_wait_seconds: int = _setting(
        30,
        "How long orders may wait for their decision. If a new one would wait for longer, or none has been decided for"
        " so long, or orders have waited for more than 1 s continuously for 10 s, new ones are refused with 503. 0:"
        " none are refused.",
        validator=_from_zero,
    )
    reads_per_client: int = _setting(
        500,
        "Lists, searches and other reads of one account or network that may wait in one API process; further ones are"
        " answered by 503.",
        validator=_positive,
    )
    cache_megabytes: int = _setting(
        64, "Size of the response cache of one API process; 0 switches it off.", validator=_from_zero
    )
    cache_seconds: int = _setting(
        5,
        "Maximum age of a cached response, also without a change; view counts are as old as that.",
        validator=_positive,
    )
    search_index: str = _setting(
        "postgresql",
        "`memory`: searches by relevance use an index in the memory of the API processes (about 150 MB for a million"
        " products, shared by the processes of a host). `postgresql`: all searches run in PostgreSQL.",
        validator=_choice("postgresql", MEMORY_INDEX),
    )
    search_index_dir: str = _setting(
        "",
        "Directory of the index files: on a local disk, owned by the user that runs the API, and writable by no other."
        " Empty: `scalecommerce-search-<uid>` in the temporary directory.",
    )
    event_retention_days: int = _setting(
        30, "How long the event feed keeps events; a request for older ones is answered with 410.", validator=_days
    )
    decision_retention_days: int = _setting(
        90, "How long runs of pricing policies and their decisions are kept.", validator=_days
    )
    audit_retention_days: int = _setting(730, "How long the audit log is kept.", validator=_days)
    policies_per_account: int = _setting(
        20, "Active pricing policies of an account; 0: no limit but 100 policies.", validator=_from_zero
    )
    min_epoch_seconds: int = _setting(
        60,
        "Shortest interval between runs of a pricing policy, except of staff. Policies with a shorter one run at this"
        " interval.",
        validator=_positive,
    )
    pricing_approval_prices: int = _setting(
        0,
        "Runs of pricing policies that would change more prices wait for the approval of a second person of staff;"
        " 0: none waits.",
        validator=_from_zero,
    )
    pricing_approval_basis_points: int = _setting(
        0,
        "Runs of pricing policies with a larger mean change of their prices, up or down, in hundredths of a percent,"
        " wait for the approval of a second person of staff; 0: none waits.",
        validator=_from_zero,
    )
    pricing_policies: str = _setting(
        "",
        "Additional pricing policies, comma-separated: modules (`my_shop.policies`), classes in them"
        " (`my_shop.policies:Markup`) or files (`markup.py`). The API, workers and commands load them;"
        " policies of installed packages are always loaded.",
        validator=_policies,
    )
    login_attempts: int = _setting(
        10,
        "Wrong passwords per window for an account from one client address, and from one device that has logged in to"
        " the account before.",
        validator=_positive,
    )
    login_attempts_per_address: int = _setting(
        500, "Wrong passwords per window from one client address, for all accounts together.", validator=_positive
    )
    login_window_seconds: int = _setting(
        300, "Length of the window of `LOGIN_ATTEMPTS` and `LOGIN_ATTEMPTS_PER_ADDRESS`.", validator=_positive
    )
    login_attempts_per_account: int = _setting(
        100,
        "Wrong passwords per hour for an account, from all clients together that have not logged in to it before.",
        validator=_positive,
    )
    device_token_days: int = _setting(
        180, "How long a device is recognised after its last log-in, by its device token.", validator=_days
    )
    seller_email_public: bool = _setting(
        False,
        "Shows the e-mail address of the seller in each product to everybody, as v1 does; otherwise only the seller"
        " and staff see it.",
    )
    shop: bool = _setting(
        False,
        "Serves the storefront at `/shop/`, which `up --demo` turns on. The back office `/admin/` and the pages of"
        " sellers `/seller/` are always served.",
    )
    demo_market: str = _setting(
        "",
        "Written by `up --demo` for its API process: the accounts that `/` offers to log in as, on this machine only,"
        " and the products whose prices it shows. Empty: no demo.",
        validator=_demo_market,
    )
    live_streams: int = _setting(
        5_000, "Open streams of live figures that one API process has at most.", validator=_positive
    )
    live_streams_per_client: int = _setting(
        50, "Open streams of live figures from one network address (IPv6: /64) in one API process.", validator=_positive
    )
    sign_ups_per_address: int = _setting(
        20,
        "Accounts that one client address may create per window, with ten times as many attempts; 0: no limit.",
        validator=_from_zero,
    )
    sign_ups_total: int = _setting(
        1_000, "Accounts that all clients together may create per window; 0: no limit.", validator=_from_zero
    )
    sign_up_window_seconds: int = _setting(
        3_600, "Length of the window of `SIGN_UPS_PER_ADDRESS` and `SIGN_UPS_TOTAL`.", validator=_positive
    )
    smtp_url: Secret = _setting(
        NO_SECRET,
        "Mail server: `smtp://user:password@host:587` (STARTTLS is required), `smtps://…:465` (TLS) or"
        " `smtp+insecure://…:25` (no TLS). Empty: no e-mail is sent. For development: `console:`, which writes"
        " e-mails to the log.",
        validator=_smtp_url,
    )
    smtp_timeout_seconds: int = _setting(10, "How long the mail server may take for an answer.", validator=_positive)
    email_from: str = _setting(
        "ScaleCommerce <noreply@localhost>",
        "Sender of e-mails: an address, or a name and an address.",
        validator=_email_from,
    )
    public_url: str = _setting(
        "",
        "URL of the shop's pages, `https://shop.example`. Links in e-mails lead to `/verify-email` and"
        " `/reset-password` there. Empty: e-mails contain tokens without links.",
        validator=_public_url,
    )
    email_verification_seconds: int = _setting(
        259_200, "How long the link to confirm an e-mail address is valid.", validator=_positive
    )
    password_reset_seconds: int = _setting(
        1_800, "How long the link to reset a password is valid.", validator=_positive
    )
    email_requests_per_hour: int = _setting(
        5,
        "Requests for an e-mail with a link, per recipient and hour; ten times as many per client address.",
        validator=_positive,
    )
    require_staff_second_factor: bool = _setting(
        False, "Staff without a second factor have the rights of other accounts only, until they set one up."
    )
    require_verified_email: bool = _setting(
        False, "Accounts may not order, sell or create webhooks before their e-mail address is confirmed."
    )
    view_window_seconds: int = _setting(
        30,
        "Time in which repeated requests of a client for a product count as one view; 0: each counts.",
        validator=_from_zero,
    )
    views_per_address_and_product: int = _setting(
        10,
        "Views of one product from one network address (IPv6: /64) that count in a day (UTC), of all visitors there"
        " who have bought nothing yet, and views of one product by one buyer; 0: no limit.",
        validator=_view_cap,
    )
    views_per_address: int = _setting(2_000, "The same for all products together; 0: no limit.", validator=_view_cap)
    views_per_network_and_product: int = _setting(
        50,
        "Views of one product from one network (IPv4: /24, IPv6: /48) that count in a day, as above; 0: no limit.",
        validator=_view_cap,
    )
    views_per_network: int = _setting(20_000, "The same for all products together; 0: no limit.", validator=_view_cap)
    view_bots: str = _setting(
        DEFAULT_BOTS,
        "User agents whose requests are not counted as views: regular expressions, comma-separated,"
        " case-insensitive; empty: none.",
        validator=_patterns,
    )
    trusted_proxies: str = _setting(
        "",
        "Reverse proxies whose headers are read: addresses and networks, comma-separated, `unix` for those on a Unix"
        " socket; or the number of proxies in front of the API. Empty: none.",
        validator=_proxies,
    )
    proxy_headers: str = _setting(
        "x-forwarded",
        "Headers that the `TRUSTED_PROXIES` set: `x-forwarded` (X-Forwarded-For, -Proto and -Host) or `forwarded`"
        " (RFC 7239).",
        validator=_choice("x-forwarded", "forwarded"),
    )
    allowed_hosts: str = _setting(
        "",
        "Hosts that the API answers for, comma-separated: `shop.example`, `shop.example:8443`, `*.shop.example`; other"
        " ones get a 421. Empty: any host.",
        validator=_hosts,
    )
    http2: bool = _setting(
        False, "Also accept HTTP/2 without TLS, from a reverse proxy; do not expose it to the Internet."
    )
    header_seconds: int = _setting(
        20,
        "Time for the headers of a request, and for which a persistent connection may be idle; then it is closed.",
        validator=_positive,
    )
    response_seconds: int = _setting(
        60,
        "Time in which a client must read 1 KiB per second of its responses; then the connection is closed."
        " 0: any time.",
        validator=_from_zero,
    )
    max_connections: int = _setting(
        4_000,
        "Connections of clients to one process of the API server; beyond it, the ones that were idle for longest are"
        " closed. 0: no limit.",
        validator=_from_zero,
    )
    max_connections_per_address: int = _setting(
        100,
        "The same for each address of a client (IPv6: /64 network, and ten times as many of a /48). `TRUSTED_PROXIES`"
        " and this machine (127.0.0.1, ::1) have no limit. 0: no limit.",
        validator=_from_zero,
    )
    body_seconds: int = _setting(
        30, "Time for the body of a request; later, the response is a 408. 0: any time.", validator=_from_zero
    )
    body_megabytes: int = _setting(
        64,
        "Memory of one API process for all request bodies together; beyond it, the oldest incomplete ones get a 503."
        " 0: no limit.",
        validator=_from_zero,
    )
    cors_origins: str = _setting(
        "",
        "Origins whose pages may use the API in browsers, comma-separated: `https://shop.example`; empty: none.",
        validator=_origins,
    )
    hsts_seconds: int = _setting(
        0,
        "`max-age` of `Strict-Transport-Security`, with `includeSubDomains`, in responses to https requests;"
        " 31536000 is a year; 0: none, as the proxy sets it.",
        validator=_from_zero,
    )
    command_deadline_seconds: int = _setting(
        10,
        "Time for the commands of a request; a command that is not complete by then is undone or reported as unknown,"
        " with a 503. Less than the time that clients and proxies wait, usually 30 to 60 s.",
        validator=_positive,
    )
    api_stall_timeout_seconds: int = _setting(
        30,
        "An API process restarts when a command has been running in it for this long, although PostgreSQL answers."
        " More than `COMMAND_DEADLINE_SECONDS`.",
        validator=_positive,
    )
    worker_concurrency: int = _setting(
        2,
        "Task processes of one Celery worker, in addition to one for webhooks and one for repricing. A worker starts"
        " two of them, and the others when tasks wait.",
        validator=_positive,
    )
    worker_stall_timeout_seconds: int = _setting(
        30, "A worker restarts when an order has been undecided for this long.", validator=_positive
    )
    webhook_endpoints_per_account: int = _setting(20, "Webhook endpoints of an account.", validator=_positive)
    webhook_tests_per_account: int = _setting(
        30, "Verification and test messages of an account in a minute; 0: no limit.", validator=_from_zero
    )
    webhook_tests_per_host: int = _setting(
        60, "Verification and test messages to a host in a minute; 0: no limit.", validator=_from_zero
    )
    webhook_tests_total: int = _setting(
        600, "Verification and test messages in a minute; 0: no limit.", validator=_from_zero
    )
    webhook_concurrency: int = _setting(
        200,
        "Webhooks that all workers together send at once; slow and failing receivers get at most a quarter of them.",
        validator=_positive,
    )
    webhook_concurrency_per_account: int = _setting(
        20,
        "Webhooks of an account that are sent at once; at most a tenth of the concurrent ones that are free.",
        validator=_positive,
    )
    webhooks_allow_loopback: bool = _setting(
        False, "For development only: allows webhooks to this machine, also over http."
    )
    metrics_port: int = _setting(
        0,
        "Port of `/metrics`, never that of the API; 0: none. `up` uses it for the API, and the next two for worker and"
        " beat.",
        validator=_port,
    )
    metrics_host: str = _setting(
        "127.0.0.1", "Address on which `/metrics` listens; it needs no authentication, so keep it in your network."
    )
    log_level: str = _setting(
        "INFO", "DEBUG, INFO, WARNING or ERROR.", validator=_choice("DEBUG", "INFO", "WARNING", "ERROR")
    )
    log_format: str = _setting("json", "json or console.", validator=_choice("json", "console"))
    failpoints: str = _setting(
        "",
        "For self-tests: points at which processes kill themselves or calls fail; see"
        " `scalecommerce_core/testing/failpoints.py`.",
        validator=_failpoints,
    )

    @property
    def access_lifetime(self) -> timedelta:
        return timedelta(seconds=self.access_token_seconds)

    @property
    def api_key_rotation_grace(self) -> timedelta:
        return timedelta(hours=self.api_key_rotation_hours)

    @property
    def session_retention(self) -> timedelta:
        return timedelta(days=self.session_retention_days)

    @property
    def lifetimes(self) -> Lifetimes:
        return Lifetimes(
            access=self.access_lifetime,
            refresh=timedelta(seconds=self.refresh_token_seconds),
            refresh_grace=timedelta(seconds=self.refresh_grace_seconds),
            session=timedelta(seconds=self.session_seconds),
            staff_refresh=timedelta(seconds=self.staff_refresh_token_seconds),
            staff_session=timedelta(seconds=self.staff_session_seconds),
        )

    @property
    def price_promise(self) -> PricePromise:
        return PricePromise(
            lasts=timedelta(seconds=self.price_promise_seconds),
            least_in_force=timedelta(seconds=self.price_promise_min_seconds),
            units=self.price_promise_units,
            quoted_units=self.price_quote_units,
        )

    @property
    def order_quotas(self) -> OrderQuotas:
        return OrderQuotas(
            open_orders=self.open_orders_per_account,
            unpaid_share=self.unpaid_share_percent,
            unpaid_units=self.unpaid_units,
            buyer_limit_window=timedelta(days=self.buyer_limit_days),
        )

    @property
    def max_decision_wait(self) -> timedelta | None:
        return timedelta(seconds=self.max_decision_wait_seconds) if self.max_decision_wait_seconds else None

    @property
    def reservation(self) -> timedelta:
        return timedelta(seconds=self.reservation_seconds)

    @property
    def min_epoch(self) -> timedelta:
        return timedelta(seconds=self.min_epoch_seconds)

    @property
    def decision_retention(self) -> timedelta:
        return timedelta(days=self.decision_retention_days)

    @property
    def audit_retention(self) -> timedelta:
        return timedelta(days=self.audit_retention_days)

    @property
    def orders_hot_time(self) -> timedelta | None:
        return timedelta(days=self.orders_hot_days) if self.orders_hot_days else None

    @property
    def event_retention(self) -> timedelta:
        return timedelta(days=self.event_retention_days)

    @property
    def payment_deadline(self) -> timedelta:
        return timedelta(seconds=self.payment_seconds)

    @property
    def login_window(self) -> timedelta:
        return timedelta(seconds=self.login_window_seconds)

    @property
    def device_lifetime(self) -> timedelta:
        return timedelta(days=self.device_token_days)

    @property
    def sign_up_window(self) -> timedelta:
        return timedelta(seconds=self.sign_up_window_seconds)

    @property
    def view_window(self) -> timedelta:
        return timedelta(seconds=self.view_window_seconds)

    @property
    def view_caps(self) -> ViewCaps:
        return ViewCaps(
            ViewCap(self.views_per_address_and_product, self.views_per_address),
            ViewCap(self.views_per_network_and_product, self.views_per_network),
        )

    @property
    def bots(self) -> list[str]:
        return _split(self.view_bots)

    @property
    def hosts(self) -> list[str]:
        return _split_list(self.allowed_hosts)

    @property
    def origins(self) -> list[str]:
        return _split_list(self.cors_origins)

    @property
    def previous_secrets(self) -> list[Secret]:
        return [Secret(text) for text in _split(self.jwt_previous_secrets.reveal())]

    @property
    def encryption_secrets(self) -> list[Secret]:
        """The secret that encrypts, then all that decrypt.

        The token secrets are among them: they encrypted until `ENCRYPTION_SECRET` was set.
        """
        current = [self.encryption_secret] if self.encryption_secret else []
        former = map(Secret, _split(self.encryption_previous_secrets.reveal()))
        return [*current, *former, self.jwt_secret, *self.previous_secrets]

    def secret_texts(self) -> list[str]:
        """The texts of all settings that are secret."""
        values = [getattr(self, attribute.name) for attribute in fields(Settings)]
        return [value.reveal() for value in values if isinstance(value, Secret) and value]


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check all settings, from `os.environ` unless a mapping is given.

    A setting under its former name (`RENAMED`) is accepted; the first time, a warning names the new one. Raises
    SettingsError with one line per missing or wrong variable.
    """
    given = os.environ if environment is None else environment
    former = {RENAMED[name]: name for name in RENAMED if name in given}
    for variable, name in former.items():
        _warn_of_former_name(name, variable)
    problems = []
    values: dict[str, Any] = {}
    for attribute in fields(Settings):
        variable = attribute.name.upper()
        if variable not in given:
            variable = former.get(variable, variable)
        text = given.get(variable)
        try:
            value = attribute.default if text is None else _convert(text, attribute.type)
            if attribute.validator is not None:
                attribute.validator(None, attribute, value)
        except ValueError as error:
            problems.append(_describe_problem(variable, text, error))
        else:
            values[attribute.name] = value
    if problems:
        raise SettingsError("\n".join(problems))
    settings = Settings(**values)
    if settings.api_stall_timeout_seconds <= settings.command_deadline_seconds:
        raise SettingsError(
            "API_STALL_TIMEOUT_SECONDS: must be more than COMMAND_DEADLINE_SECONDS"
            f" ({settings.command_deadline_seconds}), as slow commands would otherwise restart the API."
        )
    if 0 < settings.orders_hot_days <= settings.buyer_limit_days:
        raise SettingsError(
            f"ORDERS_HOT_DAYS: must be 0 or more than BUYER_LIMIT_DAYS ({settings.buyer_limit_days}), as limits per"
            " buyer count hot orders only."
        )
    if 0 < settings.orders_hot_days * 86_400 <= settings.price_promise_seconds:
        raise SettingsError(
            f"ORDERS_HOT_DAYS: must be 0 or longer than PRICE_PROMISE_SECONDS ({settings.price_promise_seconds}), as"
            " the units of promised prices are counted in hot orders only."
        )
    if settings.database_read_url and _schema(settings.database_read_url) != _schema(settings.database_url):
        raise SettingsError("DATABASE_READ_URL: its `schema` must be that of DATABASE_URL.")
    return settings


def _schema(url: Secret) -> str | None:
    from adapters.db.core.connection_parameters import schema_of  # noqa: PLC0415 - loads the database driver

    return schema_of(url.reveal())


@cache
def _warn_of_former_name(name: str, variable: str) -> None:
    """Log the warning once per process: `load` is called several times."""
    logger.warning("the setting %s is now called %s; the next release will ignore the former name", name, variable)


def _convert(text: str, kind: type[Any] | None) -> Any:
    if kind is Secret:
        return Secret(text)
    if kind is int:
        try:
            return parse_integer(text)
        except NotNumber:
            raise ValueError(f"{text!r} is not a whole number in digits alone, such as 600") from None
    try:
        return ts.default_converter().structure(text, kind or str)
    except ValueError:
        raise ValueError(f"{text!r} is not a valid value") from None


def _describe_problem(name: str, text: str | None, error: ValueError) -> str:
    return f"{name} is not set: {error}." if not text else f"{name}: {error}."


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables from which `load` builds these settings."""
    return {attribute.name.upper(): _text(getattr(settings, attribute.name)) for attribute in fields(Settings)}


def _text(value: object) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


def describe_settings() -> Iterator[tuple[str, str, str]]:
    """Yield (environment variable, default, description) of every setting."""
    for attribute in fields(Settings):
        yield attribute.name.upper(), _text(attribute.default), attribute.metadata["help"]
