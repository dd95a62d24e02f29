"""No personal datum reaches a pricing policy, and the page for lawyers names every input of a decision."""

import re
import tomllib
from typing import Any, Final, get_type_hints

import numpy as np
from attrs import fields

from adapters.db.repositories import pricing_runs
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.facts import FACTS, INTERVAL_COLUMNS, Facts, PriceIntervals
from scalecommerce_core.pricing.interface import PricingStrategy
from scalecommerce_core.pricing.signals import COLUMNS, Signals
from tests.project.test_documentation import ROOT

PAGE: Final = (ROOT / "docs/pricing-law.md").read_text()
PRODUCT_FACTS: Final = {
    "product", "category", "price", "priced_at", "created_at", "cost", "min_price", "max_price", "stock", "stock_until",
    "views_ever", "views", "orders", "units", "refunded", "net_units", "net_amount", "out_of_stock", "minor_per_unit",
    "promoted_from", "promoted_until", "next_promotion", "held_out_price", "competitor", "competitor_at", "min_hold",
}  # fmt: skip
"""Facts about a product as a whole. Before you add one, make sure that no value of it tells anything about a person."""
INTERVAL_FACTS: Final = {
    "product", "valid_from", "price", "is_manual", "is_withdrawn", "is_promoted", "views", "orders", "units",
    "refunded",
}  # fmt: skip
PRODUCT_TABLES: Final = {
    "products", "pricing_assignments", "stock", "product_views", "product_sales", "product_stockouts", "price_sales",
    "price_history", "categories", "promoted_products",
}  # fmt: skip
"""Tables of products and of totals by product; none has a row for a person, an order or a visit."""


def test_the_page_describes_every_signal() -> None:
    table = PAGE.partition("## What a decision depends on")[2].partition("What is **not** an input")[0]
    rows = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    described = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(described) == sorted(COLUMNS)


def test_facts_are_facts_about_products() -> None:
    assert set(FACTS) <= PRODUCT_FACTS
    assert set(INTERVAL_COLUMNS) <= INTERVAL_FACTS


def test_inputs_are_numbers() -> None:
    for kind in (Facts, PriceIntervals, Signals):
        hints = get_type_hints(kind)
        assert {hints[field.name] for field in fields(kind)} <= {Whole, Floats, Flags}, kind
    assert all(np.dtype(column.metadata["dtype"]).kind in "ifb" for column in COLUMNS.values())


def test_facts_are_read_from_tables_of_products() -> None:
    statements = {
        name: value
        for name, value in vars(pricing_runs).items()
        if isinstance(value, str) and value.startswith("SELECT array_send") and "pricing_decisions" not in value
    }
    assert {"_FACTS", "_PRICE_INTERVALS", "_MIN_HOLDS", "_PROMOTION_WINDOWS"} <= statements.keys()
    for name, statement in statements.items():
        tables = set(re.findall(r"(?<!epoch )\b(?:FROM|JOIN)\s+(?:LATERAL\s+)?([a-z_]+)", statement))
        assert tables, name
        assert tables <= PRODUCT_TABLES, name


def test_strategies_receive_signals_and_their_own_state_only() -> None:
    seen: set[Any] = set()
    for method in ("start", "update", "pool", "propose"):
        hints = get_type_hints(getattr(PricingStrategy, method))
        del hints["return"]
        seen |= {str(hint) for hint in hints.values()}
    state = "<class 'scalecommerce_core.pricing.interface.State'>"
    groups = get_type_hints(PricingStrategy.start)["groups"]
    assert seen == {state, str(Signals), str(groups), "<class 'int'>"}
    assert "float64" in str(groups)


def test_an_import_contract_keeps_pricing_from_people() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["name"] == "Pricing knows nothing about people"]
    assert contract["type"] == "forbidden"
    assert contract["source_modules"] == ["scalecommerce_core.pricing"]
    domain = {path.stem for path in (ROOT / "scalecommerce_core/domain").glob("*.py")} - {"__init__"}
    allowed = {
        "category", "competitor_price", "currencies", "date_times", "edits", "errors", "identifiers", "money",
        "numbers", "price_history", "product", "promotion", "ranges", "rollups", "stock", "stock_horizon", "text",
        "base64url", "spelling", "word_forms", "search_text", "popularity", "relevance", "event_visibility",
        "events", "feed_cursor", "web_address", "webhook",
    }  # fmt: skip
    assert {name.rpartition(".")[2] for name in contract["forbidden_modules"]} == domain - allowed
