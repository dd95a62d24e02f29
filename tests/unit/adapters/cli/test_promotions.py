"""The output of `promotions` and `stock until`."""

import json
from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.promotion import Promotion
from scalecommerce_core.services.promotions import CreatePromotion
from scalecommerce_core.services.results import unwrap_single
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import MarketActions, usd


@pytest.fixture
def seller(runtime: MemoryRuntime) -> Account:
    return MarketActions(runtime.market).person("seller")


@pytest.fixture
def product(runtime: MemoryRuntime, seller: Account) -> ProductId:
    return MarketActions(runtime.market).list(seller)


@pytest.fixture
def promotion(runtime: MemoryRuntime, seller: Account, product: ProductId) -> Promotion:
    starts_at = runtime.clock.now() + timedelta(days=1)
    products = {product: usd("7.50")}
    command = CreatePromotion(seller.id, "Sale", starts_at + timedelta(days=7), starts_at, products=products)
    return unwrap_single(runtime.market.promotions.create([command]))


def test_a_promotion_is_listed_shown_and_ended(cli: Cli, runtime: MemoryRuntime, promotion: Promotion) -> None:
    (listed,) = json.loads(cli("promotions", "list", "--seller", "seller@example.com", "--json").out)
    assert (listed["id"], listed["status"], listed["products"]) == (promotion.id, "scheduled", 1)
    runtime.clock.advance(days=1)
    runtime.market.promotions.sweep(10)
    shown = json.loads(cli("promotions", "show", str(promotion.id), "--json").out)
    (item,) = shown["items"]
    assert shown["status"] == "running"
    assert (item["prior_price"], item["promoted_price"], item["former_price"]) == ("10.00", "7.50", "10.00")
    table = cli("promotions", "show", str(promotion.id)).out
    assert "by product, or none" in table
    assert "7.50" in table
    assert "ends now. A worker restores" in cli("promotions", "end", str(promotion.id)).out
    runtime.market.promotions.sweep(10)
    assert "is over already" in cli("promotions", "end", str(promotion.id)).out
    assert "ended" in cli("promotions", "list").out


def test_a_promotion_is_cancelled_before_its_start(cli: Cli, promotion: Promotion) -> None:
    assert "is cancelled: it does not start" in cli("promotions", "end", str(promotion.id)).out
    assert json.loads(cli("promotions", "end", str(promotion.id), "--json").out)["status"] == "cancelled"


def test_an_unknown_promotion_is_an_error(cli: Cli) -> None:
    for words in (["show", "9"], ["end", "9"]):
        ended = cli("promotions", *words)
        assert (ended.code, ended.err) == (1, "There is no promotion 9.\n")
    assert "There are no promotions." in cli("promotions", "list").out


def test_the_stock_horizon_is_set_and_cleared(cli: Cli, runtime: MemoryRuntime, product: ProductId) -> None:
    until = runtime.clock.now() + timedelta(days=30)
    ended = cli("stock", "until", str(product), "--time", until.isoformat())
    assert f"must last until {until:%Y-%m-%d %H:%M:%S}Z." in ended.out
    assert runtime.market.queries.products([product])[product].stock_until == until
    past = cli("stock", "until", str(product), "--time", "2001-01-31")
    assert past.code == 1
    assert "Must be in the future" in past.err
    assert "is unknown now" in cli("stock", "until", str(product)).out
    assert runtime.market.queries.products([product])[product].stock_until is None
    assert cli("stock", "until", "999").err == "There is no product 999.\n"
