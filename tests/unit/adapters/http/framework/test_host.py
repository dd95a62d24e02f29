"""Which hosts requests may name, and the scheme, host and paths of requests behind a proxy."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from adapters.http.framework.client_address import ForwardedRequests, TrustedProxies
from adapters.http.framework.host import Hosts
from adapters.http.framework.middleware import RequestPolicy
from scalecommerce_core.domain.identifiers import ProductId
from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, answer, marketplace

LISTED = Hosts(["Shop.Example", "api.example:8443", "*.shops.example", "[2001:db8::1]"])


def status(hosts: Hosts, *values: bytes, is_health_check: bool = False) -> int:
    found = hosts.find_problem(values[0] if values else None, len(values), is_health_check=is_health_check)
    return 200 if found is None else found.status


@pytest.mark.parametrize("host", [b"a", b"a.example:1", b"127.0.0.1:8000", b"[::1]:80", b"my_api:8000", b"a.example."])
def test_any_valid_host_is_accepted_without_a_list(host: bytes) -> None:
    assert status(Hosts(), host) == 200
    assert Hosts().is_accepted(host)


@pytest.mark.parametrize(
    "values",
    [[], [b""], [b"a", b"a"], [b"a", b"b"], [b"a b"], [b"a/b"], [b"a@b"], [b"a:port"], [b"a:"], [b"\xff"], [b"a,b"],
     [b"[::1"], [b'a"'], [b"a\r\nb"], [b"x" * 300]],
)  # fmt: skip
@pytest.mark.parametrize("hosts", [Hosts(), LISTED])
def test_a_missing_duplicate_or_malformed_host_is_a_400(values: list[bytes], hosts: Hosts) -> None:
    assert status(hosts, *values) == 400
    assert len(values) > 1 or not hosts.is_accepted(values[0] if values else None)


def test_a_duplicate_of_an_accepted_host_is_a_400() -> None:
    hosts = Hosts()
    assert [status(hosts, b"a"), status(hosts, b"a", b"a")] == [200, 400]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"shop.example", 200),
        (b"SHOP.example:8000", 200),
        (b"api.example:8443", 200),
        (b"api.example", 421),
        (b"a.shops.example:1", 200),
        (b"shops.example", 421),
        (b"evilshops.example", 421),
        (b"[2001:DB8::1]:80", 200),
        (b"evil.example", 421),
    ],
)
def test_only_listed_hosts_are_answered(host: bytes, expected: int) -> None:
    assert [status(LISTED, host), status(LISTED, host)] == [expected, expected]


def test_health_checks_may_name_any_host_or_none() -> None:
    for values in ([], [b""], [b"10.0.0.7:8000"]):
        assert status(LISTED, *values, is_health_check=True) == 200
    assert status(LISTED, b"a", b"b", is_health_check=True) == 400
    assert status(LISTED, b"10.0.0.7:8000") == 421, "the host of a health check is not accepted elsewhere"


@pytest.mark.parametrize("entry", ["https://shop.example", "shop.example/", "*", "*.", "a b", "a:b", ""])
def test_invalid_lists_of_hosts_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        Hosts([entry])


def test_the_number_of_remembered_hosts_is_bounded() -> None:
    hosts = Hosts()
    for number in range(5_000):
        assert hosts.is_accepted(b"h%d" % number)
    assert len(hosts.accepted) <= 1_024


@pytest.fixture(scope="module")
def shop() -> Iterator[Marketplace]:
    """A market behind a proxy at the address of the test client."""
    hosts = Hosts(["shop.example", "testserver"])
    forwarded = ForwardedRequests(TrustedProxies(hops=1), with_host=True)
    with marketplace(policy=RequestPolicy(forwarded, hosts), view_window=timedelta(seconds=30)) as made:
        seller = made.person()
        for name in ("Tea pot", "Cup"):
            seller.list(name=name)
        yield made


def test_page_links_have_the_scheme_and_host_of_the_clients_request(shop: Marketplace) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example", "X-Forwarded-For": "203.0.113.5"}
    page = answer(shop.anybody.get(f"{PRODUCTS}?page_size=1", headers=headers))
    assert page["next"].startswith(f"https://shop.example{PRODUCTS}?page_size=1&cursor=")
    assert answer(shop.anybody.get(f"{PRODUCTS}?page_size=1"))["next"].startswith(f"http://testserver{PRODUCTS}?")


def test_https_responses_have_strict_transport_security_if_the_operator_wants_it(shop: Marketplace) -> None:
    policy = RequestPolicy(ForwardedRequests(TrustedProxies(hops=1)), hsts_seconds=31_536_000)
    https, http = {"X-Forwarded-Proto": "https"}, {"X-Forwarded-Proto": "http"}
    with marketplace(policy=policy) as strict:
        product = f"{PRODUCTS}{strict.person().list()['id']}/"
        # The third request for a product is answered by the fast path.
        others = ("/", "/docs", f"{PRODUCTS}?page_size=0", "/nothing", "/readyz", "/a%2fb")
        for path in (product, product, product, *others):
            sent = strict.anybody.get(path, headers=https).headers.get_list("strict-transport-security")
            assert sent == ["max-age=31536000; includeSubDomains"]
            assert "strict-transport-security" not in strict.anybody.get(path, headers=http).headers
    assert "strict-transport-security" not in shop.anybody.get("/", headers=https).headers


def test_a_view_is_counted_by_the_forwarded_address_on_the_fast_path(shop: Marketplace) -> None:
    for number in (1, 1, 2):
        answer(shop.anybody.get(f"{PRODUCTS}1/", headers={"X-Forwarded-For": f"203.0.113.{number}"}))
    shop.flush_views()
    assert shop.market.queries.products([ProductId(1)])[ProductId(1)].count_viewed == 2


@pytest.mark.parametrize(
    "path", [f"{PRODUCTS}1/", f"{PRODUCTS}?page_size=1", "/", "/docs", "/openapi.json", "/nothing"]
)
def test_every_path_refuses_other_hosts(shop: Marketplace, path: str) -> None:
    refused = shop.client.get(path, headers={"Host": "evil.example"})
    assert (refused.status_code, refused.json()["code"]) == (421, "misdirected_request")
    assert shop.client.get(path, headers={"Host": "a b"}).status_code == 400
    assert shop.client.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200


@pytest.mark.parametrize("path", [f"{PRODUCTS}1%2F", "/products%2Fapi%2fv1/1/", f"{PRODUCTS}%2f", "/%2F/evil.example"])
def test_an_encoded_slash_is_part_of_a_segment(shop: Marketplace, path: str) -> None:
    assert shop.client.get(path).status_code == 404
