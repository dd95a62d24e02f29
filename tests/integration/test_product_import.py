"""Import of products into PostgreSQL: a dry run finds what the import finds, and leaves no row."""

import io
from collections.abc import Callable, Iterator

import pytest

from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.product_files.columns import product_csv
from scalecommerce_core.services.product_files.csv_text import CsvFile
from scalecommerce_core.services.product_files.importing import KNOWN, ImportedLine, LineFate, ProductImport
from tests.integration.real_market import real_market
from tests.unit.support.shop import MarketActions

FIRST = "sku,name,category,price,stock\nA1,Tea pot,5,19.90,3\nB2,Cup,5,4.50,0\n"
MIXED = "sku,id,name,category,price,currency\nA1,,,,18,\nB2,,Cup,5,4.5,\nC3,,Mug,5,1,\nD4,,Mug,none,1,\nB2,,,,2,EUR\n"


@pytest.fixture
def market(make_database: Callable[[], str]) -> Iterator[Market]:
    with real_market(make_database()) as market:
        yield market


def load(market: Market, seller: AccountId, text: str, *, dry_run: bool = False) -> list[ImportedLine]:
    fates: list[ImportedLine] = []
    work = ProductImport(market, seller, dry_run=dry_run, by_operator=False, on_line=fates.append)
    work.run(CsvFile(io.StringIO(text, newline=""), "products.csv", KNOWN))
    return sorted(fates, key=lambda fate: fate.line)


def exported(market: Market, seller: AccountId) -> str:
    return "".join(product_csv(market.queries.iter_products(seller)))


def test_a_dry_run_finds_what_the_import_finds_and_leaves_no_row(market: Market) -> None:
    seller = MarketActions(market).person("seller").id
    assert [fate.fate for fate in load(market, seller, FIRST, dry_run=True)] == [LineFate.CREATED] * 2
    assert list(market.queries.iter_products(seller)) == []
    load(market, seller, FIRST)
    before = exported(market, seller)
    tried = load(market, seller, MIXED, dry_run=True)
    assert exported(market, seller) == before
    done = load(market, seller, MIXED)
    assert [(each.line, each.fate, each.changes, each.errors) for each in tried] == [
        (each.line, each.fate, each.changes, each.errors) for each in done
    ]
    assert [each.fate.value for each in done] == ["updated", "unchanged", "created", "refused", "refused"]


def test_an_export_is_imported_without_a_change(market: Market) -> None:
    seller = MarketActions(market).person("seller").id
    load(market, seller, FIRST)
    assert {fate.fate for fate in load(market, seller, exported(market, seller))} == {LineFate.UNCHANGED}
