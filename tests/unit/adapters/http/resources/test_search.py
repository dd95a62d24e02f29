"""Search, filters, facets and pages, on one constant catalog."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, Person, answer, marketplace, problem

CATALOGUE: list[dict[str, Any]] = [
    {"name": "Red running shoes", "brand": "Stride", "category_id": 8, "price": "59.90", "stock": 4},
    {"name": "Blue running shoes", "brand": "Stride", "category_id": 8, "price": "49.90", "stock": 0},
    {"name": "Wireless headphones", "brand": "Sonor", "category_id": 1, "price": "120.00", "stock": 9},
    {"name": "Headphone stand", "brand": "Oak", "category_id": 4, "price": "9.99", "stock": 3},
    {"name": "Красные кроссовки", "brand": "Бег", "category_id": 8, "price": "75.00", "stock": 2},
    {"name": "Tea pot", "brand": "", "category_id": 5, "price": "25.00", "stock": 1, "description": "For green tea"},
    {"name": "Hidden shoes", "brand": "Stride", "category_id": 8, "price": "1.00", "stock": 1, "is_active": False},
]
ACTIVE = [str(row["name"]) for row in CATALOGUE if row.get("is_active", True)]


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[Marketplace, Person]]:
    with marketplace() as place:
        seller = place.person()
        for row in CATALOGUE:
            place.clock.advance(seconds=1)
            seller.list(**row)
        yield place, seller


class Search:
    def __init__(self, place: Marketplace) -> None:
        self._anybody = place.anybody

    def __call__(self, **parameters: Any) -> Any:
        return answer(self._anybody.get(PRODUCTS, params=parameters))

    def names(self, **parameters: Any) -> list[str]:
        return [row["name"] for row in self(**parameters)["results"]]

    def refuse(self, name: str, *values: Any) -> None:
        self.refuse_all(name, **{name: list(values)})

    def refuse_all(self, name: str, **parameters: Any) -> None:
        problem(self._anybody.get(PRODUCTS, params=parameters), 400, name)

    def follow(self, link: str) -> Any:
        return answer(self._anybody.get(link))


@pytest.fixture
def search(shop: tuple[Marketplace, Person]) -> Search:
    return Search(shop[0])


# --- words


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("shoe", ["Blue running shoes", "Red running shoes"]),
        ("RUNNING red", ["Red running shoes"]),
        ('"running shoes" -blue', ["Red running shoes"]),
        ("кроссовка", ["Красные кроссовки"]),
        ("sonor", ["Wireless headphones"]),
        ("green", ["Tea pot"]),
        ("hedphones", ["Wireless headphones", "Headphone stand"]),
        ("nothing like it", []),
        ("hidden", []),
    ],
)
def test_search_finds_words(search: Search, words: str, found: list[str]) -> None:
    assert sorted(search.names(search=words)) == sorted(found)


@pytest.mark.parametrize("words", ["", "   "])
def test_a_blank_search_finds_all_products(search: Search, words: str) -> None:
    assert search.names(search=words) == ACTIVE[::-1]


@pytest.mark.parametrize("words", ["'", '"', "-", "&|!:*()<->", "\\", "%_", "a" * 200, "🦊", "' OR 1=1 --"])
def test_special_characters_have_no_meaning(search: Search, words: str) -> None:
    search.names(search=words)


def test_the_length_of_a_search_is_limited(search: Search) -> None:
    search.refuse("search", "a" * 201)
    search.refuse("search", "nul\x00")


# --- filters


def test_the_category_filter_accepts_ids_and_slugs(search: Search) -> None:
    assert len(search.names(category="8")) == len(search.names(category="shoes")) == 3
    assert sorted(search.names(category=["4", "home_appliances"])) == ["Headphone stand", "Tea pot"]
    search.refuse("category", "nothing")
    search.refuse("category", "8", "99")
    search.refuse("category", "")


def test_the_brand_filter_accepts_several_brands(search: Search) -> None:
    assert search.names(brand=["Oak", "Sonor"]) == ["Headphone stand", "Wireless headphones"]
    assert search.names(brand="Nobody") == []


def test_the_seller_filter_accepts_an_id(search: Search, shop: tuple[Marketplace, Person]) -> None:
    assert len(search.names(seller=shop[1].id)) == len(ACTIVE)
    assert search.names(seller=shop[1].id + 1) == []
    for wrong in ("x", "0", "-1", str(2**63), "1.5"):
        search.refuse("seller", wrong)


def test_the_price_filter_includes_both_bounds(search: Search) -> None:
    assert search.names(price_min="49.90", price_max="59.90") == ["Blue running shoes", "Red running shoes"]
    assert search.names(price_max=9.99) == ["Headphone stand"]
    for wrong in ("x", "-1", "1e3", "0.001", "100000000", "NaN", ""):
        search.refuse("price_min", wrong)
        search.refuse("price_max", wrong)


def test_a_reversed_range_is_rejected(search: Search) -> None:
    search.refuse_all("price_min", price_min="10.01", price_max="10.00")
    search.refuse_all("created_after", created_after="2026-01-02T00:00:00Z", created_before="2026-01-01T00:00:00Z")
    assert search.names(price_min="9.99", price_max="9.99") == ["Headphone stand"]


def test_the_stock_filter_separates_available_products(search: Search) -> None:
    assert search.names(in_stock="false") == ["Blue running shoes"]
    assert len(search.names(in_stock="true")) == len(ACTIVE) - 1
    search.refuse("in_stock", "maybe")


def test_the_time_filter_excludes_both_bounds(search: Search) -> None:
    first, second, third = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02+00:00", "2026-01-01T02:00:03+02:00"
    assert search.names(created_after=first, created_before=third) == [ACTIVE[1]]
    assert search.names(created_before=second) == [ACTIVE[0]]
    for wrong in ("yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "1767225600"):
        search.refuse("created_after", wrong)
        search.refuse("created_before", wrong)


@pytest.mark.parametrize(
    "name", ["seller", "price_min", "price_max", "in_stock", "created_after", "created_before", "ordering"]
)
def test_null_is_rejected_as_a_parameter(search: Search, name: str) -> None:
    search.refuse(name, "null")


def test_filters_narrow_each_other(search: Search) -> None:
    assert search.names(search="shoes", brand="Stride", in_stock="true", price_max="60") == ["Red running shoes"]


# --- order


def test_products_are_sorted_as_requested(search: Search) -> None:
    by_price = sorted(CATALOGUE[:-1], key=lambda row: float(row["price"]))
    cheapest = [row["name"] for row in by_price]
    assert search.names(ordering="price") == cheapest
    assert search.names(ordering="-price") == cheapest[::-1]
    assert search.names(ordering="created_at") == ACTIVE
    assert search.names(ordering="-created_at") == search.names() == search.names(ordering="relevance") == ACTIVE[::-1]


def test_the_most_viewed_product_is_first() -> None:
    with marketplace() as place:
        seller = place.person()
        quiet, loud = seller.list(name="Quiet"), seller.list(name="Loud")
        for product, views in ((quiet, 1), (loud, 2)):
            for _ in range(views):
                place.anybody.get(f"{PRODUCTS}{product['id']}/")
        place.flush_views()
        assert Search(place).names(ordering="-count_viewed") == ["Loud", "Quiet"]


def test_the_name_weighs_more_than_the_description(search: Search) -> None:
    assert search.names(search="tea") == ["Tea pot"]


@pytest.mark.parametrize("wrong", ["", "name", "price,-price", "PRICE", "--price"])
def test_an_unknown_ordering_is_rejected(search: Search, wrong: str) -> None:
    search.refuse("ordering", wrong)
    search.refuse("ordering", "price", "-price")


# --- facets


def test_facets_count_all_matches(search: Search) -> None:
    found = search(search="shoes", page_size=1, facets=["category", "brand", "price"])
    assert found["facets"] == {
        "category": [{"label": "shoes", "count": 2, "value": "8"}],
        "brand": [{"label": "Stride", "count": 2, "value": "Stride"}],
        "price": [
            {"label": "25.00 - 50.00", "count": 1, "price_min": "25.00", "price_max": "49.99"},
            {"label": "50.00 - 100.00", "count": 1, "price_min": "50.00", "price_max": "99.99"},
        ],
    }
    assert len(found["results"]) == 1


def test_the_value_of_a_facet_works_as_a_filter(search: Search) -> None:
    for facet, values in search(facets=["category", "brand", "price"])["facets"].items():
        for value in values:
            filters = {facet: value["value"]} if "value" in value else {}
            filters |= {name: value[name] for name in ("price_min", "price_max") if value.get(name)}
            assert len(search.names(**filters)) == value["count"]


def test_a_facet_offers_the_other_values_of_its_filter(search: Search) -> None:
    every = search(facets=["brand"])["facets"]["brand"]
    assert len(every) > 1
    one = search(brand=every[0]["value"], facets=["brand"])
    assert one["facets"]["brand"] == every
    assert one["total"] == every[0]["count"]


def test_facets_are_omitted_by_default(search: Search) -> None:
    assert search().keys() == {"next", "previous", "results", "total", "total_is_exact"}
    assert search(facets="brand")["facets"].keys() == {"brand"}
    search.refuse("facets", "seller")
    search.refuse("facets", "brand", "brand", "brand", "brand")


# --- pages


@pytest.mark.parametrize(
    "parameters",
    [
        {"ordering": "price"},
        {"ordering": "-price"},
        {"ordering": "created_at"},
        {"ordering": "-count_viewed"},
        {"search": "shoes"},
        {"search": "hedphones"},
        {"category": ["8", "1"], "in_stock": "true"},
    ],
)
def test_pages_in_both_directions_contain_each_product_once(search: Search, parameters: dict[str, Any]) -> None:
    everything = [row["id"] for row in search(**parameters)["results"]]
    pages = [search(page_size=1, **parameters)]
    while pages[-1]["next"]:
        pages.append(search.follow(pages[-1]["next"]))
    assert [row["id"] for page in pages for row in page["results"]] == everything
    back = [pages[-1]]
    while back[-1]["previous"]:
        back.append(search.follow(back[-1]["previous"]))
    assert [row["id"] for page in back for row in page["results"]] == everything[::-1]


def test_links_keep_filters_and_facets(search: Search) -> None:
    first = search(page_size=1, category=["8", "1"], facets="brand", search="shoes")
    parameters = parse_qs(urlsplit(first["next"]).query)
    assert parameters.keys() == {"page_size", "category", "facets", "search", "cursor"}
    assert parameters["category"] == ["8", "1"]
    assert search.follow(first["next"])["facets"] == first["facets"]


def test_a_cursor_is_valid_for_its_own_list_only(search: Search) -> None:
    cursor = parse_qs(urlsplit(search(page_size=1, ordering="price")["next"]).query)["cursor"][0]
    assert search(page_size=2, ordering="price", cursor=cursor)["results"]
    for parameters in ({"ordering": "-price"}, {"ordering": "price", "brand": "Oak"}, {}):
        problem(search._anybody.get(PRODUCTS, params={**parameters, "cursor": cursor}), 400, "cursor")
    for noise in ("", "AAAA", cursor[:-2], cursor + "A", "é", "\x00"):
        problem(search._anybody.get(PRODUCTS, params={"ordering": "price", "cursor": noise}), 400, "cursor")


@pytest.mark.parametrize("wrong", ["0", "101", "-1", "ten", "1.5", "", "9" * 500])
def test_the_page_size_is_limited(search: Search, wrong: str) -> None:
    search.refuse("page_size", wrong)


def test_the_default_page_has_twenty_rows() -> None:
    with marketplace() as place:
        seller = place.person()
        for _ in range(21):
            seller.list()
        search = Search(place)
        assert len(search()["results"]) == 20
        assert len(search(page_size=100)["results"]) == 21


def test_all_invalid_parameters_are_named(shop: tuple[Marketplace, Person]) -> None:
    anybody = shop[0].anybody
    problem(anybody.get(f"{PRODUCTS}?page_size=0&price_min=x&ordering=up"), 400, "page_size", "price_min", "ordering")


@pytest.mark.parametrize("query", ["search=%ff", "search=%ED%A0%80", "brand=%00", "&".join(["a=1"] * 300)])
def test_a_malformed_query_string_is_rejected(shop: tuple[Marketplace, Person], query: str) -> None:
    assert shop[0].anybody.get(f"{PRODUCTS}?{query}").status_code == 400
