"""Limits on targets and headers, and the cost of parsing what they allow."""

from collections.abc import Callable
from typing import Final

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Scope

from adapters.http.framework.auth import MAX_TOKEN_LENGTH
from adapters.http.framework.client_address import ForwardedRequests, ProxyHeaders, TrustedProxies
from adapters.http.framework.content_negotiation import check_accepts_json
from adapters.http.framework.decoding import check_media_type
from adapters.http.framework.etags import is_current, parse_if_match
from adapters.http.framework.prefer_header import parse_wait
from adapters.http.framework.problems import Problem
from adapters.http.framework.request_limits import (
    FIELD_LIMIT,
    HEADER_LIMIT,
    MAX_HEADERS,
    PATH_LIMIT,
    QUERY_LIMIT,
    read_field,
)
from tests.unit.support.http_in_process import InProcess
from tests.unit.support.http_marketplace import ORDERS, PRODUCTS, Marketplace, Person, problem
from tests.unit.support.step_count import count_steps

PATHS = [PRODUCTS, f"{PRODUCTS}1/", ORDERS, "/nothing/", "/docs"]


@pytest.mark.parametrize("path", PATHS)
def test_headers_over_the_limit_are_a_431(place: Marketplace, path: str) -> None:
    response = place.client.get(path, headers={"X-Long": "a" * HEADER_LIMIT})
    assert problem(response, 431)["code"] == "request_header_fields_too_large"


@pytest.mark.parametrize("path", [PRODUCTS, ORDERS])
def test_too_many_headers_are_a_431(place: Marketplace, path: str) -> None:
    problem(place.client.get(path, headers=[(f"X-{number}", "") for number in range(MAX_HEADERS)]), 431)


@pytest.mark.parametrize("name", ["Accept", "If-None-Match"])
@pytest.mark.parametrize("lines", [1, 40])
def test_a_long_header_that_is_parsed_is_a_431_that_names_it(
    place: Marketplace, seller: Person, name: str, lines: int
) -> None:
    text = "a" * (FIELD_LIMIT // lines + 1)
    response = place.client.get(f"{PRODUCTS}{seller.list()['id']}/", headers=[(name, text)] * lines)
    assert name in problem(response, 431)["detail"]


def test_a_long_path_or_query_is_a_414(place: Marketplace) -> None:
    assert problem(place.client.get(f"{PRODUCTS}{'a' * PATH_LIMIT}/"), 414)["code"] == "uri_too_long"
    problem(place.client.get(PRODUCTS, params={"search": "a" * QUERY_LIMIT}), 414)


def test_a_long_token_is_a_401(place: Marketplace, seller: Person) -> None:
    for path in (ORDERS, f"{PRODUCTS}{seller.list()['id']}/"):
        long = {"Authorization": "Bearer " + "e" * (MAX_TOKEN_LENGTH + 1)}
        assert problem(place.client.get(path, headers=long), 401)["code"] == "token_not_valid"


def test_lines_of_a_header_are_joined() -> None:
    headers = Headers(raw=[(b"prefer", b"a"), (b"prefer", b"wait=3")])
    assert read_field(headers, "Prefer") == "a,wait=3"
    assert read_field(headers, "Accept") == ""
    assert parse_wait(headers) == 3


# --- the cost of parsing

Parse = Callable[[str], object]


def header(name: str, parse: Callable[[Headers], object]) -> Parse:
    def call(text: str) -> object:
        try:
            return parse(Headers({name: text}))
        except Problem as refused:
            return refused

    return call


def forwarded(name: str, kind: ProxyHeaders) -> Parse:
    def call(text: str) -> object:
        scope: Scope = {"client": ("10.0.0.1", 1), "headers": [(name.encode(), text.encode())]}
        ForwardedRequests(TrustedProxies.parse("10.0.0.0/8"), kind).apply(scope)
        return scope

    return call


PARSERS: list[tuple[str, Parse, str]] = [
    ("Accept", header("accept", check_accepts_json), "a,"),
    ("Accept with weights", header("accept", check_accepts_json), "a/b;q=0,"),
    ("Accept with parameters", header("accept", check_accepts_json), "a;"),
    ("Accept of commas", header("accept", check_accepts_json), ","),
    ("If-None-Match", header("if-none-match", lambda headers: is_current(headers, '"v1"')), '"a",'),
    ("If-None-Match of spaces", header("if-none-match", lambda headers: is_current(headers, '"v1"')), '"a" , '),
    ("If-None-Match of quotes", header("if-none-match", lambda headers: is_current(headers, '"v1"')), '"'),
    ("If-Match", header("if-match", parse_if_match), '"v1",'),
    ("Prefer", header("prefer", parse_wait), "wait,"),
    ("Prefer of spaces", header("prefer", parse_wait), "wait  "),
    ("Content-Type", header("content-type", check_media_type), "a;"),
    ("X-Forwarded-For", forwarded("x-forwarded-for", ProxyHeaders.X_FORWARDED), "10.0.0.1,"),
    ("Forwarded", forwarded("forwarded", ProxyHeaders.FORWARDED), "for=10.0.0.1,"),
]


@pytest.mark.parametrize(("parse", "unit"), [case[1:] for case in PARSERS], ids=[case[0] for case in PARSERS])
def test_the_cost_of_a_header_grows_at_most_linearly(parse: Parse, unit: str) -> None:
    short, long = (unit * (size // len(unit)) for size in (FIELD_LIMIT // 4, FIELD_LIMIT - 8))
    parse(short)  # caches of the first call
    assert count_steps(lambda: parse(long)) <= 5 * count_steps(lambda: parse(short)) + 200


@pytest.mark.parametrize(("parse", "unit"), [case[1:] for case in PARSERS], ids=[case[0] for case in PARSERS])
def test_a_header_over_the_limit_costs_no_more_than_one_below(parse: Parse, unit: str) -> None:
    below, above = (unit * (size // len(unit)) for size in (FIELD_LIMIT - 8, 16 * FIELD_LIMIT))
    assert count_steps(lambda: parse(above)) <= count_steps(lambda: parse(below)) + 300


# --- the cost of a whole request

MAX_STEPS: Final = 150_000
"""Bytecode instructions, about 4 ms; an ordinary request has about 1,000."""

HOSTILE: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]] = {
    "Accept": (b"", [(b"accept", b"a," * 2_000)]),
    "Accept with weights": (b"", [(b"accept", b"a;q=0," * 680)]),
    "If-None-Match": (b"", [(b"if-none-match", b'"a",' * 1_000)]),
    "headers": (b"", [(b"x-%d" % number, b"a" * 300) for number in range(90)]),
    "cookie": (b"", [(b"cookie", b"a=b;" * 7_000)]),
    "user agent": (b"", [(b"user-agent", b"cu" * 14_000)]),
    "token": (b"", [(b"authorization", b"Bearer " + b"e30." * 1_000)]),
    "unknown parameters": (b"&".join(b"a%d=%s" % (number, b"b" * 30) for number in range(199)), []),
    "repeated parameter": (b"brand=a&" * 199, []),
    "words": (b"search=" + b"ab+" * 2_600, []),
    "quotes": (b"search=" + b"%22a" * 1_900, []),
    "cursor": (b"cursor=" + b"a" * 8_000, []),
    "digits": (b"price_min=" + b"1" * 8_000, []),
}


@pytest.mark.parametrize("path", [PRODUCTS, f"{PRODUCTS}1/", ORDERS])
@pytest.mark.parametrize(("query", "headers"), HOSTILE.values(), ids=HOSTILE)
def test_no_request_of_a_stranger_costs_many_steps(
    place: Marketplace, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    transport = place.client._transport
    assert isinstance(transport, InProcess)
    scope: Scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": query, "client": ("203.0.113.1", 1), "state": {},
        "headers": [(b"host", b"shop.example"), *headers],
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    steps = count_steps(lambda: transport._run(transport._app(scope, receive, send)))
    assert steps <= MAX_STEPS
    assert statuses[0] < 500
