"""The demo market with simulated visitors, whose purchases make prices move."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, POLICY_NAME
from tests.integration.engine_process import EngineProcess, eventually

PRICING = "/pricing/api/v1/"
PRODUCTS = "/products/api/v1/"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = EngineProcess(tmp_path_factory.mktemp("visited"), "--demo")
    try:
        assert engine.url
        yield engine
    finally:
        engine.end()


@pytest.fixture(scope="module")
def token(demo: EngineProcess) -> str:
    """The access token of the seller; the epochs of the policy are shortened to two seconds over HTTP."""
    token = demo.token(demo.log_ins()["seller"])
    status, page = demo.request(f"{PRICING}policies/?page_size=100", token=token)
    assert status == 200
    (policy,) = [each for each in page["results"] if each["name"] == POLICY_NAME]
    assert policy["assigned_only"]
    path = f"{PRICING}policies/{policy['id']}/"
    status, edited = demo.request(path, token=token, method="PATCH", body={"epoch_seconds": 2})
    assert (status, edited["version"], edited["epoch_seconds"]) == (200, 2, 2)
    return token


@pytest.fixture(scope="module")
def products(demo: EngineProcess, token: str) -> dict[str, Any]:
    """The demo products by their keys."""
    found = {each["name"]: each for each in demo.request(f"{PRODUCTS}?brand=Demo", token=token)[1]["results"]}
    return {product.key: found[product.name] for product in DEMO_PRODUCTS}


def test_visitors_view_order_and_pay(demo: EngineProcess, token: str, products: dict[str, Any]) -> None:
    def paid() -> bool:
        _, sales = demo.request("/orders/api/v1/sales/?page_size=100", token=token)
        sold = {sale["product"] for sale in sales["results"] if sale["status"] == "PAID"}
        return all(product["id"] in sold for product in products.values())

    eventually(paid, "a paid order for each of the products")

    def seen() -> bool:
        views = [demo.request(f"{PRODUCTS}{product['id']}/")[1]["count_viewed"] for product in products.values()]
        return all(count > 10 for count in views)

    eventually(seen, "views")


def test_a_price_change_is_explained(demo: EngineProcess, token: str, products: dict[str, Any]) -> None:
    dear = products["DEAR"]
    path = f"{PRICING}products/{dear['id']}/decisions/"

    def moved() -> Any:
        found = demo.request(path, token=token)[1]["results"]
        return next((each for each in found if each["outcome"] == "written"), None)

    decision = eventually(moved, "a decision that moved the price")
    assert decision["new_price"] in decision["sentence"]

    def finished() -> Any:
        run = demo.request(f"{PRICING}runs/{decision['run']}/", token=token)[1]
        return run if run["status"] == "DONE" else None

    run = eventually(finished, "the end of the run")
    assert (run["policy"], run["products"]) == (decision["policy"], len(DEMO_PRODUCTS))
    _, history = demo.request(f"{PRODUCTS}{dear['id']}/price-history/")
    assert decision["new_price"] in [interval["price"] for interval in history["intervals"]]
    assert "policy" in {interval["cause"] for interval in history["intervals"]}


def test_visitors_log_little_and_stop_first(demo: EngineProcess, token: str) -> None:
    assert token
    assert demo.err == ""
    log = demo.data / "logs" / "traffic.log"
    assert demo.stop() == 0
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["event"] for each in said] == ["visitors have started", "visitors have stopped"]
    assert said[1]["paid"] > 0
    assert said[1]["views"] >= said[1]["orders"] >= said[1]["paid"]
    assert demo.processes() == {}


def test_without_traffic_there_are_no_visitors(tmp_path: Path) -> None:
    engine = EngineProcess(tmp_path / "quiet", "--demo", "--no-traffic")
    try:
        assert engine.url
        assert not (engine.data / "logs" / "traffic.log").exists()
    finally:
        engine.end()
