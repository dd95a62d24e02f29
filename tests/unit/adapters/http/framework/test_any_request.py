"""Property tests: every request to every operation gets a documented response, and never a 5xx."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from scalecommerce_core.domain.errors import TokenNotValid
from tests.unit.support.http_marketplace import ORDERS, PASSWORD, Marketplace, Person, Visitor
from tests.unit.support.http_operations import EXAMPLES, Endpoint, endpoints, every

# The examples are divided among the endpoints.
FEW = settings(max_examples=max(4, settings().max_examples // 5))

ODD_TEXTS: Final = (
    "", " ", "\x00", "\ud800", "a" * 101, "1", "-1", "1e9", "NaN", "null", "true", "ß", "🦊", "'", '"', "%", "\\u0000",
    "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "price", "8", "shoes", "1.005",
)  # fmt: skip
ODD_NUMBERS: Final = (0, 1, -1, 2**31, 2**63, 10**30, 0.01, 1e300, 1e-300, 99_999_999.99)

texts = st.sampled_from(ODD_TEXTS) | st.text(st.characters(codec=None), max_size=20)
scalars = st.none() | st.booleans() | st.sampled_from(ODD_NUMBERS) | st.integers() | st.floats() | texts
anything: SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@st.composite
def nearly(draw: DrawFn, example: Any) -> Any:
    """The example with a few values replaced, removed or added."""
    document = json.loads(json.dumps(example))
    for _ in range(draw(st.integers(0, 3))):
        place = document
        while place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
                case "replace":
                    place[key] = draw(anything)
                case "remove":
                    del place[key]
                case _ if isinstance(place, dict):
                    place[draw(texts)] = draw(anything)
                case _:
                    place.append(draw(anything))
            break
    return document


def written(document: Any) -> bytes:
    """Encode with NaN and lone surrogates, as some clients do."""
    return json.dumps(document).encode()


def bodies(endpoint: Endpoint) -> SearchStrategy[bytes]:
    if not endpoint.has_body:
        return st.just(b"") | anything.map(written)
    near = nearly(EXAMPLES[endpoint.name]).map(written)
    return near | near | anything.map(written) | st.binary(max_size=20)


def queries(endpoint: Endpoint) -> SearchStrategy[list[tuple[str, str]]]:
    known = endpoint.query_parameters
    # A single unknown name causes a 400, so most requests have none.
    names = st.sampled_from([*known * 5, "unknown"]) if known else texts
    # A client cannot percent-encode lone surrogates; `test_search` sends such bytes raw.
    encodable = st.tuples(names, texts).map(lambda pair: (_encodable(pair[0]), _encodable(pair[1])))
    return st.lists(encodable, max_size=3) if known else st.just([]) | st.just([]) | st.lists(encodable, max_size=1)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


HEADERS: Final[dict[str, list[bytes]]] = {
    "Idempotency-Key": [b"k", b"", b"k" * 256, b"\xff", b"two words"],
    "If-Match": [b'"v1"', b"*", b"", b'"v' + b"9" * 30 + b'"', b"\xff", b'W/"v1"'],
    "If-None-Match": [b'"v1"', b"*", b"noise"],
    "Prefer": [b"wait=0", b"wait=-1", b"wait=" + b"9" * 40, b"\xff"],
    "Accept": [b"*/*", b"text/html", b";;q=,", b"application/json;q=x"],
    "Content-Type": [b"application/json", b"text/plain", b"application/json; charset=\xff", b""],
    "Content-Encoding": [b"identity", b"gzip"],
    "X-Request-ID": [b"", b"\xff" * 9],
}
headers = st.dictionaries(st.sampled_from(sorted(HEADERS)), st.integers(0, 5), max_size=2).map(
    lambda drawn: {name: HEADERS[name][index % len(HEADERS[name])] for name, index in drawn.items()}
)


class Target:
    """Callers with all access levels; products 1 and 2 persist, and each request may use a new product."""

    def __init__(self, place: Marketplace) -> None:
        self._place = place
        self._seller, self._buyer = place.person(), place.person()
        self.visitors: list[Visitor] = [place.anybody, self._seller, self._buyer, place.person(is_staff=True)]
        assert [self._seller.list(price="10.00", stock=1_000)["id"] for _ in range(2)] == [1, 2]

    def log_in_again(self) -> None:
        """Give callers whose last request ended their session a new one."""
        sessions = self._place.market.sessions
        for who in self.visitors:
            if isinstance(who, Person):
                try:
                    sessions.verify(who.token)
                except TokenNotValid:
                    who.token = self._place.market.accounts.log_in(who.email, PASSWORD).access

    def fresh(self, endpoint: Endpoint) -> int:
        if endpoint.template.startswith(ORDERS):
            return int(self._place.sell(self._buyer, (1, 1), (2, 1))["id"])
        return int(self._seller.list(stock=5)["id"])


@pytest.fixture(scope="module")
def target(place: Marketplace) -> Target:
    return Target(place)


FRESH: Final = 0


@every()
def test_no_request_causes_a_server_error(target: Target, endpoint: Endpoint) -> None:
    numbers = st.sampled_from([FRESH, FRESH, FRESH, 999, 2**63 - 1, 2**63, "x"]) if endpoint.has_id else st.just(FRESH)

    @FEW
    @given(st.sampled_from(target.visitors), numbers, queries(endpoint), bodies(endpoint), headers)
    def check(
        who: Visitor, number: object, query: list[tuple[str, str]], body: bytes, more: Mapping[str, bytes]
    ) -> None:
        if endpoint.has_id and number == FRESH:
            number = target.fresh(endpoint)
        sent = {"Content-Type": b"application/json", **more}
        response = who.send(endpoint.method, endpoint.path(number), params=query, content=body, headers=sent)
        assert response.status_code in endpoint.statuses, response.text
        if response.status_code >= 400:
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["status"] == response.status_code
            assert response.json()["detail"]
        if endpoint.method == "POST":
            target.log_in_again()

    check()


def test_every_endpoint_that_takes_a_body_has_an_example() -> None:
    assert {each.name for each in endpoints() if each.has_body} == EXAMPLES.keys()
