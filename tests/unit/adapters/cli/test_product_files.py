"""Import and export of products: matching by SKU, and the report about each line."""

import csv
import io
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.cli.product_files import ExportFormat, export_orders, export_products
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.errors import ConnectionLost
from scalecommerce_core.domain.identifiers import AccountId, CategoryId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.text import normal_line
from scalecommerce_core.queries import ProductView
from scalecommerce_core.services.catalog import AddCategory, Catalog, CreateProduct, EditProduct
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.product_files.csv_text import CsvFile, Row, UnreadableFile
from scalecommerce_core.services.product_files.importing import KNOWN, ImportedProducts, ProductImport, import_products
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import MemoryStore, in_memory_market
from tests.unit.support.shop import MarketActions, line
from tests.unit.support.tampering import TamperedStore, failing


@pytest.fixture
def market() -> Market:
    return in_memory_market()


@pytest.fixture
def seller(market: Market) -> AccountId:
    return MarketActions(market).person("seller").id


def load(market: Market, seller: AccountId, text: str, *, dry_run: bool = False) -> ImportedProducts:
    return import_products(market, file_of(text), seller, dry_run=dry_run)


def file_of(text: str) -> CsvFile:
    return CsvFile(io.StringIO(text, newline=""), "products.csv", KNOWN)


def exported(market: Market) -> str:
    file = io.StringIO(newline="")
    export_products(market, file)
    return file.getvalue()


def shelf(market: Market) -> dict[str | None, ProductView]:
    return {product.sku: product for product in market.queries.iter_products()}


TWO = "sku,name,category,price,stock,brand\nA1,Tea pot,home_appliances,19.90,3,Umber\nB2,Cup,5,4.5,,\n"


def test_new_products_are_created(market: Market, seller: AccountId) -> None:
    assert load(market, seller, TWO) == ImportedProducts(2, 2, 0, 0, (), dry_run=False)
    pot, cup = shelf(market)["A1"], shelf(market)["B2"]
    assert (pot.name, str(pot.price), pot.stock, pot.brand, pot.seller.id) == (
        "Tea pot",
        "19.90 USD",
        3,
        "Umber",
        seller,
    )
    assert (cup.category.name, str(cup.price), cup.stock) == ("home_appliances", "4.50 USD", 0)


def test_known_products_are_edited_and_blank_fields_are_kept(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    done = load(market, seller, "sku,price,stock,is_active,brand\nA1,17.90,,no,\nC3,1,1,,\n")
    assert (done.lines, done.created, done.updated) == (2, 0, 1)
    assert [(e.line, e.sku, e.message) for e in done.errors] == [(3, "C3", "A new product needs name, category.")]
    pot = shelf(market)["A1"]
    assert (str(pot.price), pot.stock, pot.is_active, pot.brand) == ("17.90 USD", 3, False, "Umber")
    history = market.queries.price_history(pot.id, market.clock.now())
    assert history is not None
    assert len(history.intervals) == 2


def test_texts_are_normalized(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    wanted = '" A1\u200b"," Umber\u00ad ",Home_Appliances\u200b,SELLER@example.com,\u200b'
    text = f"sku,brand,category,seller,description\n{wanted}\n"
    assert load(market, seller, text) == ImportedProducts(1, 0, 0, 1, (), dry_run=False)
    assert (shelf(market)["A1"].brand, shelf(market)["A1"].category.name) == ("Umber", "home_appliances")
    twice = load(market, seller, "sku,price\nA1,1.00\nA1\u200b,2.00\n")
    assert [error.message for error in twice.errors] == ["sku: Line 2 has the same sku."]


def test_a_similar_address_is_another_seller(market: Market) -> None:
    kara = MarketActions(market).person("kara").id
    done = load(market, kara, "sku,name,category,price,seller\nA1,Cup,5,1.00,\u212aara@example.com\n")
    assert [error.message for error in done.errors] == [
        "seller: This is a product of \u212aara@example.com, not of kara@example.com."
    ]


def test_importing_a_file_again_changes_nothing(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    assert load(market, seller, TWO).unchanged == 2
    assert len(shelf(market)) == 2


LOOSE = ["1.290", '"1,290"', "1e3", "1_000", "+5", "٣", "0x10", "1 000", '"4,50"', "1'000", "$10.00"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",Pot,tools,1,,", "sku: Must not be blank unless id identifies the product."),
        ("X,Pot,tools,0,,", "price: A price must be between 0.01 and"),
        ("X,Pot,tools,1.999,,", "price: At most 2 decimals"),
        ("X,Pot,tools,free,,", "price: 'free' is not a decimal number"),
        ("X,Pot,tools,1,-1,", "is not a whole number from 0 to 2147483647"),
        ("X,Pot,tools,1,2147483648,", "is not a whole number from 0 to 2147483647"),
        ("X,Pot,weapons,1,,", "category: There is no category weapons."),
        (f"X,{'x' * 101},tools,1,,", "name: At most 100 characters"),
        ("X,Pot,tools,1,,maybe", "is_active: Must be true or false."),
        ("X,Pot,tools,1", "This line has 4 cells, but the header has 6."),
        ("X,Pot,tools,1,,,extra", "This line has 7 cells, but the header has 6."),
        ('X,"Pot,tools,1,,', "A quote that opens a cell here is never closed."),
        (f"X,{'x' * 140_000},tools,1,,", "Cell 2 has 140,000 characters; at most 131,072 are read."),
        *((f"X,Pot,tools,{price},,", "price: ") for price in LOOSE),
        *((f"X,Pot,tools,1,{units},", "stock: ") for units in [*LOOSE, "5.0", "007"]),
        ("G,Pot,tools,1,,", "sku: Line 2 has the same sku."),
        ("X,,free,x,y,z", "category: There is no category free. price: 'x' is not"),
    ],
)
def test_a_bad_line_is_reported_and_the_others_are_written(
    line: str, message: str, market: Market, seller: AccountId
) -> None:
    text = f"sku,name,category,price,stock,is_active\nG,Good,tools,1,,\n{line}\nH,Too,tools,1,,\n"
    done = load(market, seller, text)
    assert (done.lines, done.created) == (3, 2)
    (error,) = done.errors
    assert error.line == 3
    assert message in error.message
    assert set(shelf(market)) == {"G", "H"}


def test_errors_of_the_engine_are_reported_by_line(market: Market, seller: AccountId) -> None:
    header = "sku,name,category,price,min_price,max_price,currency\n"
    text = f"{header}A,Pot,tools,1,5,4,\nB,Pot,tools,1,,,usd\nC,Pot,tools,1,,,EUR\n"
    done = load(market, seller, text)
    assert [error.line for error in done.errors] == [2, 3]
    assert done.created == 1
    edited = load(market, seller, "sku,price\nC,2\n")
    assert edited.errors[0].message == "price: This product is priced in EUR."


def test_a_dry_run_writes_nothing(market: Market, seller: AccountId) -> None:
    done = load(market, seller, TWO + "C3,,,1,,\n", dry_run=True)
    assert (done.created, len(done.errors)) == (2, 1)
    assert shelf(market) == {}
    assert done.as_json()["errors"][0]["line"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "products.csv is empty"),
        ("name,price\n", r"sku \(or id\) must be one of them: .* separated by comma"),
        ("name;price\n", "separated by semicolon"),
        ("sku,colour\n", "Unknown columns: colour"),
        ("sku,sku\n", "named twice"),
        ('sku,"name\nA,B\n', "with the column names: A quote"),
    ],
)
def test_invalid_files_are_refused(text: str, message: str, market: Market, seller: AccountId) -> None:
    with pytest.raises(UnreadableFile, match=message):
        load(market, seller, text)


def test_bytes_that_are_not_text_cost_their_line(market: Market, seller: AccountId) -> None:
    content = b"sku,name,category,price\nA,\xff,tools,1\nB,Pot,tools,1\n"
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8", "surrogateescape", newline="")
    done = import_products(market, CsvFile(text, "products.csv", KNOWN), seller)
    assert (done.created, [(error.line, "0xff" in error.message) for error in done.errors]) == (1, [(2, True)])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_spreadsheets_are_imported(separator: str, mark: str, market: Market, seller: AccountId) -> None:
    rows = [["sku", "Name", "category", "price"], ["A", "Tea pot", "toys", "1.50"], ["", "", "", ""], ["", " ", "", ""]]
    lines = [separator.join(f'"{cell}"' for cell in row) for row in rows]
    assert load(market, seller, mark + "\r\n".join(lines)) == ImportedProducts(1, 1, 0, 0, (), dry_run=False)


# --- what was exported


def market_with(names: list[str]) -> tuple[Market, AccountId, MemoryStore]:
    memory = MemoryStore()
    market = in_memory_market(memory=memory)
    seller = MarketActions(market).person("seller").id
    for number, name in enumerate(names):
        unwrap_single(
            market.catalog.create_products(
                [
                    CreateProduct(
                        seller, CategoryId(number % 20 + 1), name, Money(100 + number, "USD"), stock=number,
                        sku=f"S{number}" if number % 2 else None, description=name * 2, brand=name[:5],
                        cost=Money(number, "USD") if number else None, is_active=number % 3 > 0,
                    )
                ]
            )
        )  # fmt: skip
    return market, seller, memory


NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)
SEEN = NAME.filter(lambda name: bool(normal_line(name)))


@settings(deadline=None, max_examples=60)
@given(st.lists(SEEN, max_size=5))
@example(["=1+1", "a\rb", "'@x", "0;1\t2", '"'])
def test_an_untouched_export_changes_nothing(names: list[str]) -> None:
    market, seller, memory = market_with(names)
    before, events = {view.id: view for view in market.queries.iter_products()}, len(list(memory.tables.events.all()))
    done = load(market, seller, exported(market))
    assert done == ImportedProducts(len(names), 0, 0, len(names), (), dry_run=False)
    assert {view.id: view for view in market.queries.iter_products()} == before
    assert len(list(memory.tables.events.all())) == events


def meanwhile(market: Market, seller: AccountId) -> None:
    """Sell one unit of each product, change its price by a policy, and edit its other fields."""
    buyer = MarketActions(market).person("buyer")
    products = [view for view in market.queries.iter_products() if view.stock and view.is_active]
    MarketActions(market).reserve(buyer, *(line(product.id) for product in products))
    with market.store.begin() as tx:
        locked = tx.products.lock({view.id for view in products})
        for product in locked.values():
            product.reprice(product.price + Money(77, "USD"), market.clock.now(), PriceCause.POLICY)
        tx.products.save(list(locked.values()))
    for view in products:
        changes = {"name": "New", "category_id": CategoryId(20), "min_price": Money(5, "USD"), "description": "Other."}
        unwrap_single(market.catalog.edit_products([EditProduct(view.id, seller, changes | {"is_active": False})]))


def test_an_untouched_export_changes_nothing_after_sales_and_repricing() -> None:
    market, seller, _ = market_with(["Pot", "Cup", "Jug", "Tray", "Vase"])
    file = exported(market)
    meanwhile(market, seller)
    before = list(market.queries.iter_products())
    assert [view.name for view in before] != ["Pot", "Cup", "Jug", "Tray", "Vase"]
    assert load(market, seller, file) == ImportedProducts(5, 0, 0, 5, (), dry_run=False)
    assert list(market.queries.iter_products()) == before


def edited(text: str, **cells: str) -> str:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(row | cells for row in rows)
    return out.getvalue()


def test_only_the_edited_cells_of_an_export_are_written() -> None:
    market, seller, _ = market_with(["Pot", "Cup"])
    file = edited(exported(market), brand="Umber")
    meanwhile(market, seller)
    before = list(market.queries.iter_products())
    assert load(market, seller, file).updated == 2
    assert [(v.brand, v.name, v.price, v.stock) for v in market.queries.iter_products()] == [
        ("Umber", view.name, view.price, view.stock) for view in before
    ]
    assert load(market, seller, file).unchanged == 2


def test_an_edited_stock_is_an_error_when_units_were_sold_since(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    file = edited(exported(market), stock="8", brand="Other")
    meanwhile(market, seller)
    for dry_run in (True, False):
        done = load(market, seller, file, dry_run=dry_run)
        assert (done.updated, [(error.line, error.sku) for error in done.errors]) == (1, [(2, "A1")])
        assert "stock: It was 3 in the export and is 2 now" in done.errors[0].message
    assert (shelf(market)["A1"].stock, shelf(market)["A1"].brand) == (2, "Umber")
    assert shelf(market)["B2"].stock == 8
    again = load(market, seller, edited(exported(market), stock="8"))
    assert (again.updated, again.unchanged, shelf(market)["A1"].stock) == (1, 1, 8)


def test_an_interrupted_import_of_an_edited_stock_may_be_repeated(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    file = edited(exported(market), stock="8")
    assert load(market, seller, file).updated == 2
    assert load(market, seller, file).unchanged == 2
    assert shelf(market)["A1"].stock == 8


def test_edited_prices_are_set_and_files_without_baseline_set_all_values(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    file = edited(exported(market), price="25.00")
    meanwhile(market, seller)
    assert load(market, seller, file).updated == 2
    assert str(shelf(market)["A1"].price) == "25.00 USD"
    assert load(market, seller, "sku,price,stock\nA1,19.90,3\n").updated == 1
    assert (str(shelf(market)["A1"].price), shelf(market)["A1"].stock) == ("19.90 USD", 3)


def test_products_without_a_code_are_found_by_their_number_and_may_be_given_one() -> None:
    market, seller, _ = market_with(["Pot", "Cup"])
    pot = next(iter(market.queries.iter_products())).id
    assert load(market, seller, f"id,price\n{pot},9.00\n").updated == 1
    assert load(market, seller, f"id,sku,price\n{pot},P-1,9.00\n").updated == 1
    assert shelf(market)["P-1"].id == pot
    copied = load(market, seller, f"id,sku,name,category,price\n{pot},P-2,Pot,toys,9.00\n")
    assert (copied.created, shelf(market)["P-2"].id == pot) == (1, False)


def test_a_category_named_like_the_number_of_another_is_found_by_its_name(market: Market, seller: AccountId) -> None:
    count = len(market.queries.categories())
    numeric, _ = market.catalog.add_categories([AddCategory(seller, str(count + 2)), AddCategory(seller, "Balls")])
    assert isinstance(numeric, Category)
    assert numeric.name in {str(category.id) for category in market.queries.categories()} - {str(numeric.id)}
    load(market, seller, f"sku,name,category,price\nA1,Ball,{numeric.slug},1.00\n")
    assert shelf(market)["A1"].category.id == numeric.id
    assert load(market, seller, exported(market)).unchanged == 1


def test_line_breaks_that_a_spreadsheet_wrote_otherwise_change_no_text(market: Market, seller: AccountId) -> None:
    product = CreateProduct(seller, CategoryId(1), "Cup", Money(100, "USD"), sku="A1", description="'\n'\n=1")
    unwrap_single(market.catalog.create_products([product]))
    assert load(market, seller, exported(market).replace("\n", "\r\n")).unchanged == 1


def test_a_number_finds_the_sellers_own_products_alone(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    other = MarketActions(market).person("other").id
    pot = shelf(market)["A1"].id
    done = load(market, other, f"id,price\n{pot},1.00\n999,1.00\n١,1.00\n{pot}.0,1\n")
    assert [error.message.partition(":")[0] for error in done.errors] == ["id"] * 4
    assert "other@example.com has no product" in done.errors[0].message
    assert str(shelf(market)["A1"].price) == "19.90 USD"


def test_two_lines_about_one_product_are_an_error(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    pot = shelf(market)["A1"].id
    done = load(market, seller, f"id,sku,price\n,A1,5.00\n{pot},,6.00\n")
    assert (done.updated, [error.message for error in done.errors]) == (1, ["id: Line 2 refers to the same product."])


def test_expected_figures_by_hand_are_checked(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    done = load(market, seller, "sku,stock,stock_expected,price_expected\nA1,4,1_0,\nB2,4,,1.290\n")
    assert [error.message.partition(" ")[0] for error in done.errors] == ["stock_expected:", "price_expected:"]
    assert load(market, seller, "sku,stock,stock_expected\nA1,4,3\nB2,4,3\n").updated == 1


def test_the_report_counts_the_lines_before_an_error(market: Market, seller: AccountId) -> None:
    rows = "".join(f"N{number},Cup,toys,1\n" for number in range(1200))

    class Cut(io.StringIO):
        def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
            if self.tell() > len(rows) - 100:
                raise EOFError("cut short")
            return super().readline(size)

    work = ProductImport(market, seller, dry_run=False)
    with pytest.raises(UnreadableFile, match=r"products\.csv is damaged or cut short after line 1\d\d\d"):
        work.run(CsvFile(Cut(f"sku,name,category,price\n{rows}"), "products.csv", KNOWN))
    report = work.report()
    assert report.created == report.lines == len(shelf(market)) > 1100
    assert (report.is_complete, report.in_doubt) == (False, 0)


def test_a_batch_that_was_being_written_is_in_doubt(market: Market, seller: AccountId) -> None:
    rows = "".join(f"N{number},Cup,toys,1\n" for number in range(700))

    def stop(_step: str, done: int, _total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    work = ProductImport(market, seller, dry_run=False)
    with pytest.raises(KeyboardInterrupt):
        work.run(file_of(f"sku,name,category,price\n{rows}"), stop)
    assert (work.report().created, work.report().in_doubt, work.report().is_complete) == (500, 0, False)
    store = TamperedStore(market.store, before=failing(ConnectionLost()))
    broken = ProductImport(evolve(market, catalog=Catalog(store, market.clock)), seller, dry_run=False)
    with pytest.raises(ConnectionLost):
        broken.run(file_of(f"sku,name,category,price\n{rows}"))
    report = broken.report()
    assert (report.lines, report.unchanged, report.created, report.in_doubt) == (700, 500, 0, 200)
    assert report.as_json()["complete"] is False


def test_products_of_other_sellers_are_not_changed(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    file = io.StringIO(newline="")
    export_products(market, file)
    other = MarketActions(market).person("other").id
    imported = load(market, other, file.getvalue())
    assert (imported.created, imported.updated) == (0, 0)
    assert [error.message for error in imported.errors] == [
        "seller: This is a product of seller@example.com, not of other@example.com."
    ] * 2


def test_products_of_one_seller_are_exported_as_json_lines(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    file, nobody = io.StringIO(), io.StringIO()
    assert export_products(market, file, ExportFormat.JSON_LINES, seller=seller) == 2
    pot, _ = map(json.loads, file.getvalue().splitlines())
    assert (pot["sku"], pot["price"], pot["is_active"], pot["cost"]) == ("A1", "19.90", True, None)
    assert export_products(market, nobody, seller=AccountId(99)) == 0
    assert nobody.getvalue().startswith("sku,name")


def test_a_carriage_return_in_a_name_does_not_split_its_line(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    buyer = MarketActions(market).person("buyer")
    MarketActions(market).place(buyer, line(shelf(market)["A1"].id))
    (order,) = market.queries.iter_orders()
    old = evolve(order, lines=tuple(evolve(line, name="Tea\rpot") for line in order.lines))
    text = io.StringIO(newline="")
    export_orders(cast("Market", SimpleNamespace(queries=SimpleNamespace(iter_orders=lambda: [old]))), text)
    file = CsvFile(io.StringIO(text.getvalue(), newline=""), "orders.csv")
    (row,) = file
    assert isinstance(row, Row)
    assert dict(zip(file.header, row.cells, strict=True))["name"] == "Tea\rpot"


def test_orders_are_exported_as_csv_and_json_lines(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    buyer = MarketActions(market).person("buyer")
    MarketActions(market).place(buyer, *(line(shelf(market)[sku].id, 2) for sku in ("A1", "B2")))
    table, lines = io.StringIO(newline=""), io.StringIO()
    assert export_orders(market, table) == 1
    assert export_orders(market, lines, ExportFormat.JSON_LINES) == 1
    first, second = csv.DictReader(io.StringIO(table.getvalue()))
    assert (first["status"], first["price"], first["amount"]) == ("CREATED", "19.90", "39.80")
    assert second["name"] == "Cup"
    order = json.loads(lines.getvalue())
    assert (order["total"], len(order["lines"])) == ("48.80", 2)


@pytest.mark.parametrize(
    ("currency", "price", "wrong"), [("JPY", "1999", "19.99"), ("KWD", "1.999", "1.9990"), ("USD", "19.99", "1.999")]
)
def test_files_have_the_decimals_of_their_currency(currency: str, price: str, wrong: str) -> None:
    market = in_memory_market(currency=currency)
    seller = MarketActions(market).person("seller").id
    read = load(market, seller, f"sku,name,category,price,cost\nA1,Pot,5,{price},\nB2,Cup,5,{wrong},{wrong}\n")
    assert str(shelf(market)["A1"].price) == f"{price} {currency}"
    (error,) = read.errors
    assert error.message.count(f"decimals are allowed in {currency}") == 2
    written = io.StringIO()
    export_products(market, written, ExportFormat.CSV)
    assert next(csv.DictReader(io.StringIO(written.getvalue())))["price"] == price
    (error,) = load(market, seller, f"sku,price,currency\nA1,{price},ZZZ\n").errors
    assert "'ZZZ' is not a currency code" in error.message


def test_stock_horizons_are_exported_and_imported(market: Market, seller: AccountId) -> None:
    until = market.clock.now() + timedelta(days=30)
    header = "sku,name,category,price,stock_until\n"
    assert load(market, seller, f"{header}A1,Pot,5,4.5,{until.isoformat()}\nB2,Cup,5,4.5,\n").created == 2
    assert [shelf(market)[sku].stock_until for sku in ("A1", "B2")] == [until, None]
    file = exported(market)
    assert load(market, seller, file).unchanged == 2
    done = load(market, seller, edited(file, stock_until="2030-01-31T18:00:00"))
    assert [error.message for error in done.errors] == [
        "stock_until: Must be a date-time with a UTC offset, such as 2030-01-31T18:00:00Z."
    ] * 2
    later = until + timedelta(days=1)
    assert load(market, seller, edited(file, stock_until=later.isoformat())).updated == 2
    assert [view.stock_until for view in shelf(market).values()] == [later, later]


def test_prices_of_competitors_are_exported_and_imported(market: Market, seller: AccountId) -> None:
    now = market.clock.now()
    header = "sku,name,category,price,competitor_price,competitor_price_at\n"
    seen = now - timedelta(days=1)
    assert load(market, seller, f"{header}A1,Pot,5,4.5,4.2,\nB2,Cup,5,4.5,4.2,{seen.isoformat()}\n").created == 2
    assert [shelf(market)[sku].competitor_price_at for sku in ("A1", "B2")] == [now, seen]
    file = exported(market)
    assert load(market, seller, file).unchanged == 2
    assert load(market, seller, edited(file, competitor_price="4.00")).updated == 2
    assert {(view.competitor_price, view.competitor_price_at) for view in shelf(market).values()} == {
        (Money.of("4.00", "USD"), now)
    }
    done = load(market, seller, edited(file, competitor_price_at="yesterday"))
    assert [error.message for error in done.errors] == [
        "competitor_price_at: Must be a date-time with a UTC offset, such as 2030-01-31T18:00:00Z."
    ] * 2
