"""Import and export of a seller's products over HTTP."""

from typing import Any, Final

from adapters.http.resources.product_files import MAX_CSV, MAX_LINES
from scalecommerce_core.queries import PageRequest
from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, Person, answer, problem

IMPORT: Final = PRODUCTS + "import/"
EXPORT: Final = PRODUCTS + "export/"
HEADER: Final = "sku,name,category,price,stock\n"
TWO: Final = HEADER + "A1,Tea pot,home_appliances,19.90,3\nB2,Cup,5,4.5,\n"


def load(who: Person, text: str, **more: Any) -> Any:
    return answer(who.post(IMPORT, {"csv": text, **more}))


def counts(done: Any) -> tuple[int, ...]:
    return tuple(done[name] for name in ("lines", "created", "updated", "unchanged", "refused"))


def test_each_line_has_a_fate(place: Marketplace) -> None:
    seller = place.person()
    done = load(seller, TWO)
    assert (counts(done), done["dry_run"]) == ((2, 2, 0, 0, 0), False)
    pot, cup = done["results"]
    assert (pot["line"], pot["sku"], pot["fate"], pot["changes"], pot["errors"]) == (2, "A1", "created", [], {})
    product = answer(seller.get(f"{PRODUCTS}{pot['product']}/"))
    assert (product["sku"], product["price"], product["stock"]) == ("A1", "19.90", 3)
    again = load(seller, "sku,price,stock,category,name\nA1,18,5,toys,\nB2,4.50,0,,Cup\nC3,cheap,-1,none,\n,1,,,\n")
    assert counts(again) == (4, 0, 1, 1, 2)
    assert again["results"] == [
        {
            "line": 2, "sku": "A1", "fate": "updated", "product": pot["product"],
            "changes": ["price", "category", "stock"], "errors": {},
        },
        {"line": 3, "sku": "B2", "fate": "unchanged", "product": cup["product"], "changes": [], "errors": {}},
        {
            "line": 4, "sku": "C3", "fate": "refused", "product": None, "changes": [],
            "errors": again["results"][2]["errors"],
        },
        {
            "line": 5, "sku": "", "fate": "refused", "product": None, "changes": [],
            "errors": {"sku": ["Must not be blank unless id identifies the product."]},
        },
    ]  # fmt: skip
    assert again["results"][2]["errors"].keys() == {"price", "stock", "category"}
    assert counts(load(seller, TWO.replace("19.90,3", "18,5").replace("home_appliances", "toys"))) == (2, 0, 0, 2, 0)


def test_a_dry_run_finds_what_the_import_finds_and_writes_nothing(place: Marketplace) -> None:
    seller = place.person()
    load(seller, TWO)
    before = seller.get(EXPORT).text
    mixed = (
        "sku,name,category,price,stock,min_price,currency\n"
        "A1,Tea pot,5,18,,,\nB2,,,,,,\nC3,Cup,5,1,,,\nD4,,,1,,,\nE5,Cup,5,1,,3,\nA1,,,2,,,\nF6,Cup,5,1,,,EUR\n"
        "B2x,Cup,5,99999999999,,,\n"
    )
    tried = load(seller, mixed, dry_run=True)
    assert seller.get(EXPORT).text == before
    done = load(seller, mixed)
    assert (counts(tried), tried["dry_run"]) == (counts(done), True)
    assert counts(done) == (8, 3, 1, 1, 3)
    assert [{**each, "product": None} for each in tried["results"]] == [
        {**each, "product": None} for each in done["results"]
    ]
    assert [each["product"] for each in tried["results"] if each["fate"] == "created"] == [None] * 3


def test_a_dry_run_refuses_what_only_the_use_case_refuses(place: Marketplace) -> None:
    seller = place.person()
    load(seller, TWO)
    for dry_run in (True, False):
        done = load(seller, "sku,price,currency\nA1,5,EUR\n", dry_run=dry_run)
        assert counts(done) == (1, 0, 0, 0, 1)
        assert done["results"][0]["errors"] == {"price": ["This product is priced in USD."]}


def test_an_export_is_imported_without_a_change(place: Marketplace) -> None:
    seller = place.person()
    other = place.person()
    other.list()
    names = ["=1+1", "+pot", "-pot", "@pot", "'pot", "'=pot", 'a "quoted", pot', "Чайник 🫖"]
    for number, name in enumerate(names):
        seller.list(name=name, sku=f"S{number}", is_active=bool(number), description="one\ntwo", brand="=cmd()")
    response = seller.get(EXPORT)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="products.csv"'
    assert response.headers["cache-control"] == "private, no-store"
    text = response.content.decode()
    assert ",'=1+1," in text
    assert not {line[0] for line in text.splitlines()} & set("=+-@")
    assert counts(load(seller, text)) == (len(names), 0, 0, len(names), 0)
    done = load(other, text)
    assert counts(done) == (len(names), 0, 0, 0, len(names))
    assert {tuple(each["errors"]) for each in done["results"]} == {("seller",)}


def test_a_long_export_arrives_whole(place: Marketplace) -> None:
    seller = place.person()
    for number in range(40):
        seller.list(sku=f"S{number}", description="x" * 4_000)
    text = seller.get(EXPORT).text
    assert len(text.splitlines()) == 41
    assert counts(load(seller, text, dry_run=True))[3] == 40


def test_a_text_that_is_no_table_of_products_is_refused_as_a_whole(place: Marketplace) -> None:
    seller = place.person()
    for text, said in (
        ("", "The file is empty"),
        ("sku,prize\nA1,1\n", "The file: Unknown columns: prize"),
        ("name\nPot\n", "sku (or id) must be one of them"),
        (HEADER + "A1,Cup,5,1,\n" * (MAX_LINES + 1), "At most 5,000 lines"),
        ("x" * (MAX_CSV + 1), "1000000"),
    ):
        refused = problem(seller.post(IMPORT, {"csv": text}), 400, "csv")
        assert said in str(refused), text[:80]
    assert seller.get(EXPORT).text.count("\n") == 1


def test_the_seller_is_the_editor(place: Marketplace) -> None:
    seller = place.person()
    load(seller, TWO)
    load(seller, TWO.replace("19.90", "18.90"))
    assert place.market.queries.audit_entries(PageRequest(10)).rows == ()


def test_only_people_with_an_account_import_and_export(place: Marketplace) -> None:
    problem(place.anybody.post(IMPORT, {"csv": TWO}), 401)
    problem(place.anybody.get(EXPORT), 401)
