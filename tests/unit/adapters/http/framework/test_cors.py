"""Which pages of other origins may read responses."""

from collections.abc import Iterator

import pytest
from httpx2 import Response

from adapters.http.framework.cors import CorsPolicy
from adapters.http.framework.middleware import RequestPolicy
from tests.unit.support.http_marketplace import ORDERS, PRODUCTS, Marketplace, marketplace

SHOP = "https://shop.example"
OTHERS = (
    "https://evil.example",
    "null",
    "https://shop.example.evil.example",
    "http://shop.example",
    "HTTPS://SHOP.EXAMPLE",
)


@pytest.fixture(scope="module")
def shop() -> Iterator[Marketplace]:
    with marketplace(policy=RequestPolicy(cors=CorsPolicy([SHOP, "http://localhost:3000"]))) as made:
        made.person().list()
        yield made


def preflight(shop: Marketplace, origin: str, path: str = ORDERS, method: str = "POST") -> Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    return shop.client.options(path, headers=headers)


@pytest.mark.parametrize("path", [ORDERS, f"{PRODUCTS}1/", "/nothing"])
def test_a_preflight_request_of_an_allowed_origin_needs_no_token(shop: Marketplace, path: str) -> None:
    response = preflight(shop, SHOP, path)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == SHOP
    assert {"POST", "PATCH", "DELETE"} <= set(response.headers["access-control-allow-methods"].split(", "))
    assert {"Authorization", "Idempotency-Key"} <= set(response.headers["access-control-allow-headers"].split(", "))
    assert response.headers["access-control-max-age"] == "7200"
    assert "access-control-allow-credentials" not in response.headers
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize("origin", OTHERS)
def test_a_preflight_request_of_another_origin_allows_nothing(shop: Marketplace, origin: str) -> None:
    response = preflight(shop, origin)
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert response.headers["allow"]
    assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("path", "status"), [(f"{PRODUCTS}1/", 200), (PRODUCTS, 200), (ORDERS, 401), ("/nothing", 404), ("/healthz", 200)]
)
@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
def test_pages_of_allowed_origins_may_read_every_response(
    shop: Marketplace, path: str, status: int, origin: str
) -> None:
    # The second request for the product takes the fast path.
    for _ in range(2):
        response = shop.client.get(path, headers={"Origin": origin})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == origin
        assert response.headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
        assert "ETag" in response.headers["access-control-expose-headers"]
        assert "Origin" in response.headers["vary"]
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("origin", [*OTHERS, None])
def test_pages_of_other_origins_may_not(shop: Marketplace, origin: str | None) -> None:
    for path in (f"{PRODUCTS}1/", PRODUCTS):
        response = shop.client.get(path, headers={} if origin is None else {"Origin": origin})
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        # A shared cache must not send this response to a page of an allowed origin.
        assert "Origin" in response.headers["vary"]


def test_two_origins_are_none(shop: Marketplace) -> None:
    response = shop.client.get(PRODUCTS, headers=[("Origin", SHOP), ("Origin", SHOP)])
    assert "access-control-allow-origin" not in response.headers


def test_without_origins_no_header_is_added() -> None:
    with marketplace() as made:
        response = made.client.get(PRODUCTS, headers={"Origin": SHOP})
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert "Origin" not in response.headers.get("vary", "")
        options = preflight(made, SHOP)
        assert "access-control-allow-origin" not in options.headers


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "shop.example", "https://shop.example/", "https://Shop.example", "https://*.shop.example",
     "https://shop.example:443", "http://shop.example:80", "https://a..b", "https://-a.b", "https://.shop.example",
     "https://shop.example:99999", "https://shop.example:0", "https://shop.example:08080", "https://1.2.3",
     "https://1.2.3.999", "https://[::g]", "https://[0:0::1]", "https://[1::2::3]", "ftp://shop.example",
     "https://user@shop.example", ""],
)  # fmt: skip
def test_origins_must_be_as_browsers_send_them(origin: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        CorsPolicy([origin])


@pytest.mark.parametrize(
    "origin",
    ["https://shop.example", "https://shop.example.", "http://localhost:3000", "http://127.0.0.1:65535",
     "https://[2001:db8::1]", "http://[::1]:8080", "https://xn--bcher-kva.example", "http://shop.example:443", "https://my_shop.example"],
)  # fmt: skip
def test_origins_that_browsers_send_are_accepted(origin: str) -> None:
    assert CorsPolicy([origin])
