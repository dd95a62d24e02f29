"""Which requests for a product count as views, and which client each of them belongs to."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from adapters.http.view_tracking import ViewTracker, view_origins
from entrypoints.settings import DEFAULT_BOTS as BOT_PATTERNS
from scalecommerce_core.domain.identifiers import AccountId, ProductId, SessionId
from scalecommerce_core.domain.product_views import ViewCap, ViewCaps, ViewerTrust
from scalecommerce_core.services.sessions import Identity
from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, Person, answer, marketplace

BOTS = BOT_PATTERNS.split(",")
SESSION = SessionId("session")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Mobile/15E148 Safari/604.1"


@pytest.fixture
def place() -> Iterator[Marketplace]:
    with marketplace(view_window=timedelta(seconds=30), bots=BOTS) as place:
        yield place


@pytest.fixture
def seller_at_capped_place() -> Iterator[tuple[Marketplace, str]]:
    caps = ViewCaps(address=ViewCap(of_product=3))
    with marketplace(view_window=timedelta(seconds=30), view_caps=caps, bots=BOTS) as place:
        yield place, f"{PRODUCTS}{place.person().list()['id']}/"


@pytest.fixture
def seller(place: Marketplace) -> Person:
    return place.person()


def counted(place: Marketplace, product: int) -> int:
    place.flush_views()
    # Not over HTTP, where the response may come from the cache.
    return place.market.queries.products([ProductId(product)])[ProductId(product)].count_viewed


def test_repeated_requests_of_a_client_count_once_per_window(place: Marketplace, seller: Person) -> None:
    product = seller.list()["id"]
    page = f"{PRODUCTS}{product}/"
    buyer, other = place.person(), place.person()
    for _ in range(3):
        buyer.get(page, headers={"User-Agent": FIREFOX})
        # An account is one client on any device.
        buyer.get(page, headers={"User-Agent": SAFARI})
        place.anybody.get(page, headers={"User-Agent": FIREFOX})
    other.get(page, headers={"User-Agent": FIREFOX})
    assert counted(place, product) == 3
    place.clock.advance(seconds=30)
    buyer.get(page)
    assert counted(place, product) == 4


def test_changed_user_agents_of_an_address_count_up_to_its_cap(seller_at_capped_place: tuple[Marketplace, str]) -> None:
    place, page = seller_at_capped_place
    for number in range(50):
        place.anybody.get(page, headers={"User-Agent": f"{FIREFOX} {number}"})
    assert counted(place, int(page.split("/")[-2])) == 3


def test_sellers_and_staff_do_not_count(place: Marketplace, seller: Person) -> None:
    product = seller.list()["id"]
    page = f"{PRODUCTS}{product}/"
    for person in (seller, place.person(is_staff=True)):
        answer(person.get(page))
    assert counted(place, product) == 0
    other_seller = place.person()
    other_seller.list()
    answer(other_seller.get(page))
    assert counted(place, product) == 1


def test_a_304_counts_as_a_view(place: Marketplace, seller: Person) -> None:
    product = seller.list()["id"]
    page = f"{PRODUCTS}{product}/"
    etag = place.anybody.send("HEAD", page).headers["etag"]
    assert place.person().get(page, headers={"If-None-Match": etag}).status_code == 304
    assert counted(place, product) == 1


def test_an_unsuccessful_request_does_not_count(place: Marketplace, seller: Person) -> None:
    product = seller.list(is_active=False)["id"]
    assert place.anybody.get(f"{PRODUCTS}{product}/").status_code == 404
    place.flush_views()
    assert answer(seller.get(f"{PRODUCTS}{product}/"))["count_viewed"] == 0


# --- `ViewTracker` alone


class Seen:
    """`ports.ViewCounter` that logs its calls."""

    def __init__(self) -> None:
        self.clients: list[str] = []
        self.origins: list[Sequence[str]] = []
        self.trust: list[ViewerTrust] = []

    def record_view(
        self,
        product_id: ProductId,
        client: str = "",
        *,
        origins: Sequence[str] = (),
        trust: ViewerTrust = ViewerTrust.UNKNOWN,
    ) -> None:
        assert product_id == 1
        self.clients.append(client)
        self.origins.append(origins)
        self.trust.append(trust)

    def next_batch(self) -> None:
        return None

    def acknowledge(self, batch_id: str) -> None:
        raise AssertionError(batch_id)


def clients(
    *headers: tuple[str, str],
    method: str = "GET",
    identity: Identity | None = None,
    address: tuple[str, int] | None = ("192.0.2.7", 4711),
    bots: list[str] = BOTS,
    seen: Seen | None = None,
) -> list[str]:
    seen = seen or Seen()
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "method": method, "headers": encoded, "client": address}
    ViewTracker(seen, bots).record_view(scope, identity, ProductId(1), AccountId(2))
    return seen.clients


@pytest.mark.parametrize("agent", [FIREFOX, SAFARI, "", "python-httpx/0.28", "curl/8.5", "\xff\xfe", "CUBOT NOTE 7"])
def test_browsers_and_other_clients_count(agent: str) -> None:
    assert clients(("user-agent", agent)) == [f"address 192.0.2.7 {agent}"]


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
        "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
        "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "WhatsApp/2.23.20.0 A",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Linux) Chrome/119.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse",
    ],
)
def test_bots_count_only_without_bot_patterns(agent: str) -> None:
    assert clients(("user-agent", agent)) == []
    assert len(clients(("user-agent", agent), bots=[])) == 1
    assert clients(("user-agent", FIREFOX), bots=["firefox/1[34]"]) == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "Prefetch"),
        ("x-moz", "prefetch"),
    ],
)
def test_prefetches_do_not_count(header: str, value: str) -> None:
    assert clients(("user-agent", FIREFOX), (header, value)) == []
    assert len(clients((header, "other"))) == 1


def test_only_get_requests_count() -> None:
    assert clients(method="HEAD") == []


def test_an_account_is_one_client_at_every_address() -> None:
    buyer = Identity(AccountId(3), SESSION, is_staff=False)
    assert clients(("user-agent", FIREFOX), identity=buyer) == clients(identity=buyer, address=None) == ["account 3"]
    assert clients(identity=Identity(AccountId(2), SESSION, is_staff=False)) == []
    assert clients(identity=Identity(AccountId(3), SESSION, is_staff=True)) == []
    assert clients(address=None) == ["address  "]


def viewer(trust: ViewerTrust) -> Identity:
    return Identity(AccountId(3), SESSION, is_staff=False, trust=trust)


@pytest.mark.parametrize(
    ("identity", "trust"),
    [
        (None, ViewerTrust.UNKNOWN),
        (viewer(ViewerTrust.UNKNOWN), ViewerTrust.UNKNOWN),
        (viewer(ViewerTrust.ESTABLISHED), ViewerTrust.ESTABLISHED),
    ],
)
def test_views_without_purchases_are_capped_by_address_and_network(
    identity: Identity | None, trust: ViewerTrust
) -> None:
    seen = Seen()
    clients(identity=identity, seen=seen)
    assert seen.origins == [("address 192.0.2.7", "network 192.0.2.0/24")]
    assert seen.trust == [trust]


def test_views_of_a_buyer_are_capped_by_account() -> None:
    seen = Seen()
    clients(identity=viewer(ViewerTrust.BUYER), seen=seen)
    assert (seen.origins, seen.trust) == ([("account 3",)], [ViewerTrust.BUYER])


@pytest.mark.parametrize(
    ("host", "origins"),
    [
        ("192.0.2.7", ("address 192.0.2.7", "network 192.0.2.0/24")),
        ("::ffff:192.0.2.7", ("address 192.0.2.7", "network 192.0.2.0/24")),
        ("2001:db8:1:2:3:4:5:6", ("address 2001:db8:1:2::/64", "network 2001:db8:1::/48")),
        ("fe80::1%eth0", ("address fe80::/64", "network fe80::/48")),
        ("", ("address ",)),
        ("testclient", ("address testclient",)),
    ],
)
def test_origins_of_an_address(host: str, origins: tuple[str, ...]) -> None:
    assert view_origins(host) == origins
