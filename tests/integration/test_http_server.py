"""The published API on real PostgreSQL, Redis, worker and server, as a client meets it."""

import json
import re
import secrets
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from attrs import frozen

from adapters.db.migrate import upgrade
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from scalecommerce_core.domain.money import MAX_PRICE, decimal_text
from scalecommerce_core.domain.order import MAX_LINES, MAX_QUANTITY
from scalecommerce_core.domain.stock import MAX_STOCK
from tests.integration.conftest import SETTINGS
from tests.integration.deployment import PASSWORD, Deployment, await_resource, log_in
from tests.integration.engine_process import eventually
from tests.integration.real_market import real_market

USERS = "/users/api/v1/"
PRODUCTS = "/products/api/v1/"
STATS = "/products/api/v1/seller-stats/"
ORDERS = "/orders/api/v1/"
WAIT = {"Prefer": "wait=30"}


@pytest.fixture(scope="module")
def seller(deployment: Deployment) -> httpx2.Client:
    return deployment.person("seller", first_name="Sam")


@pytest.fixture(scope="module")
def buyer(deployment: Deployment) -> httpx2.Client:
    return deployment.person("buyer")


@pytest.fixture(scope="module")
def anybody(deployment: Deployment) -> httpx2.Client:
    return deployment.visitor()


def answer(response: httpx2.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def create_product(seller: httpx2.Client, **fields: Any) -> Any:
    body = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 10} | fields
    return answer(seller.post(PRODUCTS, json=body), 201)


def order_body(*items: tuple[int, int]) -> dict[str, Any]:
    return {"order_item": [{"product": product, "quantity": quantity} for product, quantity in items]}


# --- the tour


def test_an_order_is_placed_paid_and_refunded(deployment: Deployment) -> None:
    seller, buyer = deployment.person("tour-seller"), deployment.person("tour-buyer")
    phone = answer(
        seller.post(PRODUCTS, json={"name": "iPhone 15", "category_id": 5, "price": "999.00", "stock": 10}), 201
    )
    page = f"{PRODUCTS}{phone['id']}/"
    read = buyer.get(page)
    assert answer(read)["stock"] == 10
    assert buyer.get(page, headers={"If-None-Match": read.headers["etag"]}).status_code == 304
    form, own = {"name": phone["name"], "category_id": 5, "price": "999.00", "stock": 10}, seller.get(page)

    order = answer(buyer.post(ORDERS, json=order_body((phone["id"], 2)), headers=WAIT), 201)
    assert (order["status"], order["total_amount"]) == ("PENDING", "1998.00")
    await_resource(buyer, page, lambda shown: shown["stock"] == 8)
    assert answer(buyer.post(f"{ORDERS}{order['id']}/pay/"))["status"] == "PAID"
    (sale,) = answer(seller.get(ORDERS + "sales/"))["results"]
    assert (sale["order"], sale["quantity"], sale["status"]) == (order["id"], 2, "PAID")
    refund = {"lines": [{"product": phone["id"], "quantity": 1}], "restock": True}
    refunded = answer(seller.post(f"{ORDERS}{order['id']}/refunds/", json=refund), 201)
    assert refunded["order_items"][0]["refunded"] == 1
    # A cached response may be returned for a moment after the worker has changed the stock.
    await_resource(buyer, page, lambda shown: shown["stock"] == 9)
    # The form that was read before the sale is sent back.
    sent_back = answer(seller.put(page, json=form, headers={"If-Match": own.headers["etag"]}))
    assert sent_back["stock"] == 9
    moved = seller.put(page, json=form | {"stock": 12}, headers={"If-Match": own.headers["etag"]})
    assert (moved.status_code, moved.json()["code"], moved.json()["actual"]) == (412, "stock_moved", 9)

    answer(seller.patch(page, json={"price": "899.00"}, headers={"If-Match": read.headers["etag"]}))
    assert seller.patch(page, json={"price": "799.00"}, headers={"If-Match": read.headers["etag"]}).status_code == 412
    history = answer(buyer.get(page + "price-history/"))
    assert [interval["price"] for interval in history["intervals"]] == ["899.00", "999.00"]
    assert history["lowest_price_30d"] == "999.00"

    # Redis counts views, one per client, and the worker writes them to PostgreSQL.
    for agent in ("Firefox", "Safari", "Safari", "Googlebot"):
        answer(deployment.visitor().get(page, headers={"User-Agent": agent}))
    await_resource(seller, page, lambda shown: int(str(shown["count_viewed"])) >= 3)
    # The worker adds the sale to the statistics.
    await_resource(
        seller, STATS, lambda shown: shown["total_revenue"] == "999.00" and int(str(shown["total_views"])) >= 3
    )
    stats = answer(seller.get(STATS))
    assert (stats["total_revenue"], stats["totat_sold"], stats["units_sold"]) == ("999.00", 999.0, 1)
    assert stats["top_products"] == [{"id": phone["id"], "name": "iPhone 15", "units_sold": 1, "revenue": "999.00"}]

    assert seller.delete(page).status_code == 204
    assert buyer.get(page).status_code == 404
    assert answer(buyer.get(f"{ORDERS}{order['id']}/"))["order_items"][0]["quantity"] == 2


def test_the_commands_of_the_readme_tour_work(deployment: Deployment) -> None:
    tour = (
        (Path(__file__).parents[2] / "README.md")
        .read_text()
        .partition("## A tour of the HTTP API")[2]
        .partition("\n## ")[0]
    )
    (pasted,) = re.findall(r"```sh\n(.*?)```", tour, re.DOTALL)
    # The test waits for the statistics below instead of sleeping, because a busy machine may need longer.
    pasted = re.sub(r"^S=.*$", f"S={deployment.url}", pasted, flags=re.MULTILINE)
    pasted = re.sub(r"^sleep .*\n", "", pasted, flags=re.MULTILINE)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", pasted], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for line in filter(None, done.stdout.splitlines()):
        assert not {"title", "detail"} & json.loads(line).keys(), line
    seller = deployment.visitor()
    log_in(seller, "kara@shop.example", "seven tall teapots")
    stats = await_resource(seller, STATS, lambda shown: shown["orders"] == 1 and int(str(shown["total_views"])) >= 2)
    assert stats["conversion_rate"] == 0.5


def test_events_reach_only_their_audience(deployment: Deployment) -> None:
    seller, buyer, stranger = (deployment.person(f"news-{who}") for who in ("seller", "buyer", "stranger"))
    product = create_product(seller, stock=3)["id"]
    answer(buyer.post(ORDERS, json=order_body((product, 2)), headers=WAIT), 201)

    def followed(reader: httpx2.Client, until: str) -> list[Any]:
        events: list[Any] = []
        place: dict[str, str] = {}
        while until not in [event["topic"] for event in events]:
            page = answer(reader.get("/events/api/v1/", params=place, headers={"Prefer": "wait=20"}))
            assert page["results"], "the worker has numbered nothing for 20 seconds"
            events += page["results"]
            place = {"cursor": page["next_cursor"]}
        return events

    of_buyer, of_seller = (followed(reader, "order.reserved") for reader in (buyer, seller))
    assert [event["topic"] for event in of_buyer] == ["order.placed", "order.reserved"]
    assert [event["topic"] for event in of_seller] == ["product.listed", "order.reserved"]
    assert of_seller[1:] == of_buyer[1:], "all lines are this seller's"
    (line,) = of_buyer[0]["data"]["lines"]
    assert (line["product"], line["quantity"]) == (product, 2)
    assert answer(stranger.get("/events/api/v1/"))["results"] == []


def test_tokens_rotate_and_reuse_ends_the_session(deployment: Deployment, anybody: httpx2.Client) -> None:
    email = answer(deployment.person("tokens").get(USERS + "me/"))["email"]
    first = answer(anybody.post(USERS + "token/", json={"email": email.upper(), "password": PASSWORD}))
    second = answer(anybody.post(USERS + "token/refresh/", json={"refresh": first["refresh"]}))
    assert answer(anybody.post(USERS + "token/verify/", json={"token": second["access"]})) == {}
    third = answer(anybody.post(USERS + "token/refresh/", json={"refresh": second["refresh"]}))
    for refresh in (first["refresh"], second["refresh"], third["refresh"]):
        refused = anybody.post(USERS + "token/refresh/", json={"refresh": refresh})
        assert (refused.status_code, refused.json()["code"]) == (401, "token_not_valid")


def test_tabs_that_refresh_at_once_get_the_same_pair(deployment: Deployment, anybody: httpx2.Client) -> None:
    email = answer(deployment.person("tabs").get(USERS + "me/"))["email"]
    first = answer(anybody.post(USERS + "token/", json={"email": email, "password": PASSWORD}))
    with ThreadPoolExecutor(8) as tabs:
        answers = list(
            tabs.map(
                lambda _: anybody.post(USERS + "token/refresh/", json={"refresh": first["refresh"]}).content, range(8)
            )
        )
    assert len(set(answers)) == 1
    pair = json.loads(answers[0])
    assert answer(anybody.post(USERS + "token/refresh/", json={"refresh": pair["refresh"]}))["access"]


@pytest.mark.parametrize("password", ["short", "password123", "84718462936", "polly.parrot", "qwertyuiop"])
def test_weak_passwords_are_refused(anybody: httpx2.Client, password: str) -> None:
    body = {"email": "polly.parrot@example.com", "password": password}
    refused = anybody.post(USERS + "sign-up/", json=body)
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["password"])


def test_the_eleventh_wrong_password_is_a_429(anybody: httpx2.Client) -> None:
    wrong = {"email": f"{secrets.token_hex(4)}@example.com", "password": "wrong"}
    answers = [anybody.post(USERS + "token/", json=wrong) for _ in range(11)]
    assert Counter(each.status_code for each in answers) == {401: 10, 429: 1}
    assert int(answers[-1].headers["retry-after"]) > 0


# --- search


def test_search_in_two_languages_with_typos_and_pages(deployment: Deployment) -> None:
    seller = deployment.person("searched")
    for name in ("Wireless headphones", "Headphone stand", "Красные кроссовки", "Кроссовки беговые", "Чайник"):
        create_product(seller, name=name)
    mine = answer(seller.get(USERS + "me/"))["id"]

    def found(words: str, **more: Any) -> list[str]:
        page = answer(seller.get(PRODUCTS, params={"search": words, "seller": mine, **more}))
        return [row["name"] for row in page["results"]]

    assert sorted(found("headphone")) == ["Headphone stand", "Wireless headphones"]
    assert found('"wireless headphones" -stand') == ["Wireless headphones"]
    assert sorted(found("кроссовок")) == ["Красные кроссовки", "Кроссовки беговые"]
    assert found("hedphone stand") == ["Headphone stand"]
    assert "Красные кроссовки" in found("красные кросовки")

    page = answer(seller.get(PRODUCTS, params={"seller": mine, "page_size": 2, "ordering": "price", "facets": "price"}))
    names = []
    while True:
        names += [row["name"] for row in page["results"]]
        assert page["facets"]["price"][0]["count"] == 5
        if page["next"] is None:
            break
        last, page = page, answer(seller.get(page["next"]))
    assert len(names) == len(set(names)) == 5
    assert answer(seller.get(page["previous"]))["results"] == last["results"]


# --- many at once


def run_concurrently(count: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_many_buyers_of_few_units_get_exactly_these_units(
    deployment: Deployment, seller: httpx2.Client, buyer: httpx2.Client
) -> None:
    scarce, plenty = create_product(seller, stock=5), create_product(seller, stock=1_000)

    def order(index: int) -> Any:
        lines = [(scarce["id"], 1), (plenty["id"], 2)]
        # Half of the orders have their lines in reverse: stock is locked in one order regardless.
        return answer(buyer.post(ORDERS, json=order_body(*lines[:: 1 - 2 * (index % 2)]), headers=WAIT), 201)

    orders = run_concurrently(32, order)
    assert Counter(each["status"] for each in orders) == {"PENDING": 5, "REJECTED": 27}
    for rejected in (each for each in orders if each["status"] == "REJECTED"):
        (because,) = rejected["rejected_because"]
        assert because.pop("detail")
        assert because == {"product": scarce["id"], "wanted": 1, "available": 0, "reason": "stock"}
    await_resource(buyer, f"{PRODUCTS}{scarce['id']}/", lambda shown: shown["stock"] == 0)
    await_resource(buyer, f"{PRODUCTS}{plenty['id']}/", lambda shown: shown["stock"] == 990)
    pending = [each for each in orders if each["status"] == "PENDING"]
    paid = run_concurrently(5, lambda index: answer(buyer.post(f"{ORDERS}{pending[index]['id']}/pay/"))["status"])
    assert paid == ["PAID"] * 5
    with real_market(deployment.database_url) as market:
        assert market.queries.stock_discrepancies() == []


def test_concurrent_payment_and_cancellation_have_one_winner(seller: httpx2.Client, buyer: httpx2.Client) -> None:
    made = create_product(seller, stock=1)
    order = answer(buyer.post(ORDERS, json=order_body((made["id"], 1)), headers=WAIT), 201)
    actions = ["pay", "cancel"] * 4
    statuses = run_concurrently(8, lambda index: buyer.post(f"{ORDERS}{order['id']}/{actions[index]}/").status_code)
    final = answer(buyer.get(f"{ORDERS}{order['id']}/"))["status"]
    paying, cancelling = Counter(statuses[::2]), Counter(statuses[1::2])
    if final == "PAID":
        # Payments that were sent while the successful one was in progress got a 409.
        assert cancelling == {409: 4}
        assert paying[200] >= 1
        assert paying[200] + paying[409] == 4
    else:
        assert (paying, cancelling) == ({409: 4}, {200: 4})
    await_resource(
        buyer, f"{PRODUCTS}{made['id']}/", lambda shown: shown["stock"] == {"PAID": 0, "CANCELLED": 1}[final]
    )


def test_concurrent_requests_with_one_key_place_one_order(seller: httpx2.Client, buyer: httpx2.Client) -> None:
    made = create_product(seller)
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    sent = run_concurrently(12, lambda _: buyer.post(ORDERS, json=order_body((made["id"], 1)), headers=headers))
    assert {each.status_code for each in sent} == {202}
    assert len({each.content for each in sent}) == 1


def test_concurrent_sign_ups_with_one_address_create_one_account(anybody: httpx2.Client) -> None:
    body = {"email": f"{secrets.token_hex(4)}@example.com", "password": PASSWORD}
    statuses = run_concurrently(6, lambda _: anybody.post(USERS + "sign-up/", json=body).status_code)
    assert Counter(statuses) == {201: 1, 400: 5}


# --- what the database could choke on


def test_an_order_of_the_largest_values_is_paid_and_refunded(seller: httpx2.Client, buyer: httpx2.Client) -> None:
    dearest = [create_product(seller, price="99999999.99", stock=MAX_STOCK)["id"] for _ in range(MAX_LINES)]
    body = order_body(*((product, MAX_QUANTITY) for product in dearest))
    order = answer(buyer.post(ORDERS, json=body, headers=WAIT), 201)
    assert order["total_amount"] == decimal_text(MAX_LINES * MAX_QUANTITY * MAX_PRICE, "USD")
    assert order["status"] == "PENDING"
    assert answer(buyer.post(f"{ORDERS}{order['id']}/pay/"))["status"] == "PAID"
    await_resource(seller, STATS, lambda shown: int(str(shown["units_sold"])) >= MAX_LINES * MAX_QUANTITY)
    everything = {"lines": [{"product": product, "quantity": MAX_QUANTITY} for product in dearest]}
    assert answer(seller.post(f"{ORDERS}{order['id']}/refunds/", json=everything), 201)["status"] == "REFUNDED"


@pytest.mark.parametrize("number", [2**31, 2**63 - 1])
def test_an_id_beyond_every_sequence_is_a_404(seller: httpx2.Client, number: int) -> None:
    for path in (f"{PRODUCTS}{number}/", f"{PRODUCTS}{number}/price-history/", f"{ORDERS}{number}/"):
        assert seller.get(path).status_code == 404
    assert seller.patch(f"{PRODUCTS}{number}/", json={"price": 1}).status_code == 404
    assert seller.post(f"{ORDERS}{number}/pay/").status_code == 404
    assert answer(seller.get(PRODUCTS, params={"seller": number}))["results"] == []


def test_a_token_without_its_account_is_rejected_for_writes(deployment: Deployment, seller: httpx2.Client) -> None:
    """This happens when the database is restored from a backup."""
    made = create_product(seller)
    ghost = deployment.person("ghost")
    delete_account(deployment, answer(ghost.get(USERS + "me/"))["email"])
    for key in ({}, {"Idempotency-Key": "boo"}):
        answer(ghost.post(PRODUCTS, json={"name": "Chain", "category_id": 1, "price": 1}, headers=key), 401)
        answer(ghost.post(ORDERS, json=order_body((made["id"], 1)), headers=key), 401)
    answer(ghost.get(USERS + "me/"), 404)
    answer(ghost.patch(USERS + "me/", json={"bio": "Boo"}), 404)
    assert answer(ghost.get(ORDERS))["results"] == []
    assert answer(ghost.get(STATS))["total_products"] == 0


def delete_account(deployment: Deployment, email: str) -> None:
    with psycopg.connect(deployment.database_url.replace("+psycopg", "")) as connection:
        connection.execute("DELETE FROM sessions USING accounts a WHERE a.id = account_id AND a.email = %s", [email])
        connection.execute("DELETE FROM accounts WHERE email = %s", [email])


# --- outages


@frozen
class Fragile:
    """A deployment whose servers may be stopped and started."""

    postgres: EmbeddedPostgres
    redis: EmbeddedRedis
    deployment: Deployment
    seller: httpx2.Client

    def ready(self) -> tuple[int, Any]:
        response = self.seller.get("/readyz")
        return response.status_code, response.json()


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    directory = tmp_path_factory.mktemp("fragile")
    with EmbeddedPostgres(directory, SETTINGS) as postgres, EmbeddedRedis(directory) as redis:
        upgrade(postgres.url)
        # Workers decide, so that orders depend on Redis.
        with Deployment(directory / "deployment", postgres.url, redis.url, DECIDE_AT_INTAKE="false") as running:
            yield Fragile(postgres, redis, running, running.person("fragile"))


def test_the_server_responds_503_without_postgresql_and_recovers(fragile: Fragile) -> None:
    client = fragile.seller
    made = create_product(client)
    fragile.postgres.stop()
    try:
        for response in (
            client.get("/readyz"),
            client.get(PRODUCTS),
            client.get(f"{PRODUCTS}{made['id']}/"),
            client.post(PRODUCTS, json={"name": "Tea", "category_id": 5, "price": 1}),
            client.post(ORDERS, json=order_body((made["id"], 1)), headers=WAIT),
            client.post(USERS + "token/", json={"email": "a@example.com", "password": PASSWORD}),
        ):
            assert answer(response, 503)["status"] == 503
            assert int(response.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200
    finally:
        fragile.postgres.start()
    eventually(lambda: fragile.ready()[0] == 200, "readiness after PostgreSQL came back")
    order = answer(client.post(ORDERS, json=order_body((made["id"], 1)), headers=WAIT), 201)
    assert order["status"] == "PENDING"
    assert len(answer(client.get(ORDERS))["results"]) == 1


def test_without_redis_orders_are_accepted_and_decided_later(fragile: Fragile) -> None:
    client = fragile.seller
    made = create_product(client)
    fragile.redis.stop()
    try:
        order = answer(client.post(ORDERS, json=order_body((made["id"], 1))), 202)
        status, ready = fragile.ready()
        assert (status, ready["status"], ready["redis"]) == (200, "degraded", "away")
        assert ready["oldest_undecided_seconds"] is not None
        assert answer(client.get(f"{PRODUCTS}{made['id']}/"))["id"] == made["id"]
        log_in(client, answer(client.get(USERS + "me/"))["email"])
        waited = client.post(ORDERS, json=order_body((made["id"], 1)), headers={"Prefer": "wait=0"})
        assert answer(waited, 202)["status"] == "CREATED"
    finally:
        fragile.redis.start()
    await_resource(client, f"{ORDERS}{order['id']}/", lambda shown: shown["status"] == "PENDING")
    eventually(lambda: fragile.ready()[1]["status"] == "ok", "readiness after Redis came back")


# --- the end


def test_sigterm_lets_requests_in_flight_end(tmp_path: Path, redis_url: str, database: str) -> None:
    """Without a worker no order is decided, so the request stays in flight for the time in `Prefer: wait`."""
    api = Deployment(tmp_path, database, redis_url, DECIDE_AT_INTAKE="false")
    command = api.start("serve")
    try:
        api.find()
        buyer = api.person("patient")
        made = create_product(buyer)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(buyer.post, ORDERS, json=order_body((made["id"], 1)), headers={"Prefer": "wait=2"})
            eventually(lambda: answer(buyer.get(ORDERS))["results"], "the order that waits")
            command.process.send_signal(signal.SIGTERM)
            assert answer(waiting.result(30), 202)["status"] == "CREATED"
        assert command.process.wait(30) == 0
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(api.url)
    finally:
        api.end()


def test_a_worker_starts_and_ends_a_promotion_within_seconds(seller: httpx2.Client, anybody: httpx2.Client) -> None:
    product = create_product(seller, category_id=17)["id"]
    path, ends_at = f"{PRODUCTS}{product}/", datetime.now(UTC) + timedelta(hours=1)
    body = {"name": "Sale", "ends_at": ends_at.isoformat(), "percent": 20, "products": [{"product": product}]}
    promotion = answer(seller.post("/pricing/api/v1/promotions/", json=body), 201)

    def price() -> str:
        return str(answer(anybody.get(path))["price"])

    def found() -> list[str]:
        page = answer(anybody.get(f"{PRODUCTS}?category=17&price_max=9"))
        return [row["price"] for row in page["results"] if row["id"] == product]

    eventually(lambda: price() == "8.00", "the promotional price")
    assert answer(anybody.get(path))["promotion"] == {
        "name": "Sale", "starts_at": promotion["starts_at"], "ends_at": promotion["ends_at"], "prior_price": "10.00",
    }  # fmt: skip
    eventually(lambda: found() == ["8.00"], "the promotional price in searches by price")
    assert seller.delete(f"/pricing/api/v1/promotions/{promotion['id']}/").status_code == 204
    eventually(lambda: price() == "10.00", "the restored price")
    eventually(lambda: found() == [], "the restored price in searches by price")
    assert answer(anybody.get(path))["promotion"] is None
