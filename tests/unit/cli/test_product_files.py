"""Products in and out of files: by sku, with every line's fate told."""

import csv
import io
import json

import pytest

from adapters.cli.product_files import (
    BadProductFile,
    ExportFormat,
    ImportedProducts,
    export_orders,
    export_products,
    import_products,
)
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import ProductView
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import PlaceOrder, WantedLine
from scalecommerce_core.services.outcomes import one
from scalecommerce_core.testing import CountingIds, in_memory_market


@pytest.fixture
def market() -> Market:
    return in_memory_market()


@pytest.fixture
def seller(market: Market) -> AccountId:
    return one(market.accounts.sign_up([SignUp("seller@example.com", None)])).id


def load(market: Market, seller: AccountId, text: str, *, dry_run: bool = False) -> ImportedProducts:
    return import_products(market, io.StringIO(text, newline=""), seller, dry_run=dry_run)


def shelf(market: Market) -> dict[str | None, ProductView]:
    return {product.sku: product for product in market.queries.every_product()}


TWO = "sku,name,category,price,stock,brand\nA1,Tea pot,home_appliances,19.90,3,Umber\nB2,Cup,5,4.5,,\n"


def test_new_products(market: Market, seller: AccountId) -> None:
    assert load(market, seller, TWO) == ImportedProducts(2, 2, 0, (), dry_run=False)
    pot, cup = shelf(market)["A1"], shelf(market)["B2"]
    assert (pot.name, str(pot.price), pot.stock, pot.brand, pot.seller.id) == (
        "Tea pot",
        "19.90 USD",
        3,
        "Umber",
        seller,
    )
    assert (cup.category.name, str(cup.price), cup.stock) == ("home_appliances", "4.50 USD", 0)


def test_known_products_are_edited_and_blanks_leave_them_alone(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    done = load(market, seller, "sku,price,stock,is_active,brand\nA1,17.90,,no,\nC3,1,1,,\n")
    assert (done.lines, done.created, done.updated) == (2, 0, 1)
    assert [(e.line, e.sku, e.message) for e in done.errors] == [(3, "C3", "A new product needs name, category.")]
    pot = shelf(market)["A1"]
    assert (str(pot.price), pot.stock, pot.is_active, pot.brand) == ("17.90 USD", 3, False, "Umber")
    history = market.queries.price_history(pot.id, market.clock.now())
    assert history is not None
    assert len(history.intervals) == 2


def test_texts_of_a_file_come_in_their_normal_form(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    wanted = '" A1\u200b"," Umber\u00ad ",Home_Appliances\u200b,SELLER@example.com,\u200b'
    text = f"sku,brand,category,seller,description\n{wanted}\n"
    assert load(market, seller, text) == ImportedProducts(1, 0, 1, (), dry_run=False)
    assert (shelf(market)["A1"].brand, shelf(market)["A1"].category.name) == ("Umber", "home_appliances")
    twice = load(market, seller, "sku,price\nA1,1.00\nA1\u200b,2.00\n")
    assert [error.message for error in twice.errors] == ["sku: line 2 has it too."]


def test_an_address_that_looks_alike_is_anothers(market: Market) -> None:
    kara = one(market.accounts.sign_up([SignUp("kara@example.com", None)])).id
    done = load(market, kara, "sku,name,category,price,seller\nA1,Cup,5,1.00,\u212aara@example.com\n")
    assert [error.message for error in done.errors] == [
        "seller: This is a product of \u212aara@example.com, not of kara@example.com."
    ]


def test_importing_again_is_harmless(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    assert load(market, seller, TWO).updated == 2
    assert len(shelf(market)) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",Pot,tools,1,,", "sku: This must not be blank: it tells which product is meant. PATCH one that has none."),
        ("X,Pot,tools,0,,", "price: A price lies between 0.01 and"),
        ("X,Pot,tools,1.999,,", "price: At most 2 decimals"),
        ("X,Pot,tools,free,,", "price: 'free' is not a decimal number"),
        ("X,Pot,tools,1,-1,", "is not a whole number from 0 to 2147483647"),
        ("X,Pot,tools,1,2147483648,", "is not a whole number from 0 to 2147483647"),
        ("X,Pot,weapons,1,,", "category: There is no category weapons."),
        (f"X,{'x' * 101},tools,1,,", "name: At most 100 characters"),
        ("X,Pot,tools,1,,maybe", "is_active: true or false is wanted."),
        ("X,Pot,tools,1", "more or fewer fields"),
        ("X,Pot,tools,1,,,extra", "more or fewer fields"),
        ("G,Pot,tools,1,,", "sku: line 2 has it too."),
        ("X,,free,x,y,z", "category: There is no category free. price: 'x' is not"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_written(
    line: str, message: str, market: Market, seller: AccountId
) -> None:
    text = f"sku,name,category,price,stock,is_active\nG,Good,tools,1,,\n{line}\nH,Too,tools,1,,\n"
    done = load(market, seller, text)
    assert (done.lines, done.created) == (3, 2)
    (error,) = done.errors
    assert error.line == 3
    assert message in error.message
    assert set(shelf(market)) == {"G", "H"}


def test_what_the_engine_refuses_is_told_by_line(market: Market, seller: AccountId) -> None:
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
        ("", "sku must be one"),
        ("name,price\n", "sku must be one"),
        ("sku,colour\n", "Unknown columns: colour"),
        ("sku,sku\n", "named twice"),
        ('sku,name\n"A,never closed\n', "Not CSV"),
    ],
)
def test_bad_files(text: str, message: str, market: Market, seller: AccountId) -> None:
    with pytest.raises(BadProductFile, match=message):
        load(market, seller, text)


def test_not_text(market: Market, seller: AccountId) -> None:
    file = io.TextIOWrapper(io.BytesIO(b"sku,name\nA,\xff\n"), "utf-8", newline="")
    with pytest.raises(BadProductFile, match="Not UTF-8"):
        import_products(market, file, seller)


def test_what_was_exported_comes_in_again(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    before = shelf(market)
    file = io.StringIO(newline="")
    assert export_products(market, file) == 2
    assert load(market, seller, file.getvalue()) == ImportedProducts(2, 0, 2, (), dry_run=False)
    assert {sku: (p.name, p.price, p.stock) for sku, p in shelf(market).items()} == {
        sku: (p.name, p.price, p.stock) for sku, p in before.items()
    }


def test_products_of_others_are_not_taken_over(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    file = io.StringIO(newline="")
    export_products(market, file)
    other = one(market.accounts.sign_up([SignUp("other@example.com", None)])).id
    imported = load(market, other, file.getvalue())
    assert (imported.created, imported.updated) == (0, 0)
    assert [error.message for error in imported.errors] == [
        "seller: This is a product of seller@example.com, not of other@example.com."
    ] * 2


def test_products_as_json_lines_and_of_one_seller(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    file, nobody = io.StringIO(), io.StringIO()
    assert export_products(market, file, ExportFormat.JSON_LINES, seller=seller) == 2
    pot, _ = map(json.loads, file.getvalue().splitlines())
    assert (pot["sku"], pot["price"], pot["is_active"], pot["cost"]) == ("A1", "19.90", True, None)
    assert export_products(market, nobody, seller=AccountId(99)) == 0
    assert nobody.getvalue().startswith("sku,name")


def test_orders(market: Market, seller: AccountId) -> None:
    load(market, seller, TWO)
    buyer = one(market.accounts.sign_up([SignUp("buyer@example.com", None)]))
    wanted = [WantedLine(shelf(market)[sku].id, 2) for sku in ("A1", "B2")]
    market.ordering.place([PlaceOrder(CountingIds().command(), buyer.id, wanted)])
    table, lines = io.StringIO(newline=""), io.StringIO()
    assert export_orders(market, table) == 1
    assert export_orders(market, lines, ExportFormat.JSON_LINES) == 1
    first, second = csv.DictReader(io.StringIO(table.getvalue()))
    assert (first["status"], first["price"], first["amount"]) == ("CREATED", "19.90", "39.80")
    assert second["name"] == "Cup"
    order = json.loads(lines.getvalue())
    assert (order["total"], len(order["lines"])) == ("48.80", 2)
