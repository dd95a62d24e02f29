"""Tests of product search: words, filters, sort orders, facets."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from scalecommerce_core.domain.category import Category, slug_of
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.ports import Store
from scalecommerce_core.queries import (
    MAX_FACET_VALUES,
    CategoryRef,
    Facet,
    FacetValue,
    PageRequest,
    ProductFilter,
    ProductView,
    Queries,
    SellerRef,
    SortOrder,
)
from scalecommerce_core.testing.contracts.lists import backwards, forwards, rows
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage, usd


def found(queries: Queries, search: str | None = None, **conditions: Any) -> set[ProductId]:
    criteria = ProductFilter(search=search, **conditions)
    return {view.id for view in rows(forwards(lambda page: queries.search(criteria, page), 50))}


class SearchContract:
    # --- product views

    def test_a_product_view_has_all_fields(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account("kara@example.com", first_name="Kara", last_name="Sexton")
        product = stage.product(
            seller,
            price=6_21,
            stock=90,
            name="Article",
            brand="Leave",
            description="Fine.",
            category_id=CategoryId(9),
            sku="A-1",
            cost=usd(3_00),
            min_price=usd(4_00),
            max_price=usd(8_00),
            max_per_buyer=3,
            stock_until=NOW + 10 * DAY,
            competitor_price=usd(5_50),
            competitor_price_at=NOW - DAY,
        )
        stage.order(stage.account(), {product: 3}, OrderStatus.PENDING)
        stage.view({product: 2, ProductId(product + 1000): 5})
        stage.view({product: 5}, NOW - DAY)
        stage.view({})
        view = ProductView(
            id=product,
            name="Article",
            brand="Leave",
            price=usd(6_21),
            description="Fine.",
            category=CategoryRef(CategoryId(9), "beauty_health"),
            seller=SellerRef(seller, "Kara", "Sexton", "kara@example.com", "Kara S."),
            stock=87,
            is_active=True,
            created_at=NOW,
            count_viewed=7,
            sku="A-1",
            cost=usd(3_00),
            min_price=usd(4_00),
            max_price=usd(8_00),
            max_per_buyer=3,
            stock_until=NOW + 10 * DAY,
            competitor_price=usd(5_50),
            competitor_price_at=NOW - DAY,
            version=1,
        )
        assert queries.products([product]) == {product: view}
        assert queries.search(ProductFilter(), PageRequest()).rows == (view,)

    def test_inactive_products_can_be_read_but_not_found(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        active, asleep, gone = stage.product(), stage.product(is_active=False), stage.product()
        stage.withdraw(gone)
        assert found(queries) == {active}
        assert found(queries, "tea") == {active}
        assert queries.products([active, asleep, gone]).keys() == {active, asleep}

    def test_categories_are_listed_by_id(self, queries: Queries) -> None:
        categories = queries.categories()
        assert len(categories) == 20
        assert categories[4] == Category(CategoryId(5), "home_appliances", slug_of("home_appliances"))

    def test_products_are_found_by_sku(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        product, gone = stage.product(seller, sku="A"), stage.product(seller, sku="B")
        stage.product(sku="A")
        stage.withdraw(gone)
        assert queries.ids_by_sku(seller, ["A", "B", "C" * 1000]) == {"A": product}
        assert queries.ids_by_sku(seller, []) == {}

    # --- words

    def test_words_are_found_in_any_form_in_both_languages(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        shoes = stage.product(name="Running shoe", description="For runners.")
        phone = stage.product(name="Смартфоны беспроводные")
        assert found(queries, "shoes") == {shoes}
        assert found(queries, "SHOE runner") == {shoes}
        assert found(queries, "смартфон") == {phone}
        assert found(queries, "БЕСПРОВОДНОЙ смартфон") == {phone}

    def test_words_are_found_in_name_brand_and_description(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        product = stage.product(name="Kettle", brand="Boilers", description="Made of copper.")
        stage.product(name="Spoon", brand="Boilers", description="Made of steel.")
        assert found(queries, "kettle copper boilers") == {product}

    def test_accents_and_case_are_folded(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        cafe, hedgehog = stage.product(name="CAFÉ crème"), stage.product(name="Ёжик")
        assert found(queries, "cafe creme") == {cafe}
        assert found(queries, "Café Crème") == {cafe}
        assert found(queries, "ежик") == {hedgehog}

    @pytest.mark.parametrize(
        ("name", "searches"),
        [
            ("Mug black/white", ["white", "black", "black white", "mug black/white", '"black white"', "-red mug"]),
            ("iPhone-15 case", ["iphone 15", "15 case", "iphone-15", "iPhone/15"]),
            ("Model T-1000", ["T 1000", "1000", "T-1000", "t.1000"]),
            ("Steel kettle.Dishwasher safe", ["dishwasher", "kettle dishwasher"]),
            ("Cable usb+hdmi", ["usb", "hdmi", "usb-hdmi"]),
            ("Wi-Fi router", ["wi fi", "wi-fi", '"wi fi router"']),
            ("Salt&Pepper", ["salt pepper", "salt &pepper"]),
            ("Jam:cherry@home", ["jam", "cherry", "home"]),
            ("Чай чёрный/зелёный", ["зеленый чай", "чёрный"]),
            ("Soap No.5, art.17", ["5", "no 5", "art 17", "No.5"]),
            ("Cable 2.5m", ["2.5m", "cable 2.5m"]),
            ("Teapot <blue>", ["blue", "teapot blue"]),
            ("Teapot\u200b \ufeffblue\u200e", ["blue", "teapot", "\u200fblue\u200f"]),
            ("Ча\u0438\u0306ник", ["чайник", "ЧАЙНИКИ", "ЧА\u0418\u0306НИК"]),
        ],
    )
    def test_words_are_separated_by_any_sign(
        self, store: Store, queries: Queries, name: str, searches: Sequence[str]
    ) -> None:
        stage = Stage(store)
        product = stage.product(name=name)
        stage.product(name="Spoon")
        for search in searches:
            assert found(queries, search) == {product}, search

    @pytest.mark.parametrize(
        ("names", "searches"),
        [
            (["Bottle 1,5 l", "Bottle 1.5 l", "Bottle 1.5L"], ["1,5", "1.5", "1,5 l", "1.5l", "bottle 1,5L"]),
            (["Screws 1,000 pcs", "Screws 1000pcs"], ["1,000", "1000", "1000 pcs", "1,000pcs"]),
            (["Screws 1,000,000", "Screws 1.000.000"], ["1000000", "1,000,000"]),
            (["Desk 1,299.00", "Desk 1.299,00", "Desk 1299"], ["1299", "1,299", "1299.00"]),
            (["Cream 500ml", "Cream 500 ml"], ["500ml", "500 ml", "500 ML", '"500 ml"', "cream 500ml"]),
            (["Kettle 1.7L", "Kettle 1.7 l"], ["1.7L", "1.7 l", "1,7l"]),
            (["Stick USB3.0", "Stick USB 3.0", "Stick USB3"], ["usb3", "usb 3.0", "usb 3", "USB3.0", '"usb 3"']),
            (["Speaker Bluetooth v5.3"], ["5.3", "v5.3", "bluetooth 5.3", "v 5.3", "5,3"]),
            (["Phone iPhone15 Pro", "Phone iPhone 15 Pro"], ["iphone15", "iphone 15 pro", "iPhone15Pro"]),
            (["Box 10x15cm", "Box 10 x 15 cm"], ["10x15", "10x15cm", "10 x 15"]),
            (["Чашка 500мл", "Чашка 500 мл"], ["500 мл", "500мл"]),
            (["Sizes 38,39,40"], ["39", "38 40"]),
        ],
    )
    def test_numbers_are_found_however_they_are_written(
        self, store: Store, queries: Queries, names: Sequence[str], searches: Sequence[str]
    ) -> None:
        stage = Stage(store)
        seller = stage.account()
        products = {stage.product(seller, name=name) for name in names}
        for other in ("Codes A4 x200 T1000", "Spoon 7", "Half 0.125", "Version 5.10.0"):
            stage.product(seller, name=other)
        for search in searches:
            assert found(queries, search) == products, search

    def test_a_letter_and_a_number_are_one_code(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        paper, phone = stage.product(name="Paper A4"), stage.product(name="Phone S4")
        assert found(queries, "a4") == {paper}
        assert found(queries, "s4") == {phone}
        assert found(queries, "4") == set()

    @pytest.mark.parametrize(
        ("name", "searches"),
        [
            ("Wi-Fi router", ["wifi", "wi-fi", "wi fi", "WiFi router", "router wi\u2011fi"]),
            ("WiFi router", ["wifi", "wi-fi", "router Wi-Fi", "(wi-fi), router", "wi-fi!"]),
            ("T-shirt", ["tshirt", "t-shirt", "shirt"]),
            ("E-mail server", ["email", "e-mail"]),
            ("Model T-1000", ["T1000", "t-1000"]),
            ("ДВД-плеер", ["двдплеер", "двд-плеер", "плеер"]),
        ],
    )
    def test_hyphenated_words_are_found_as_one(
        self, store: Store, queries: Queries, name: str, searches: Sequence[str]
    ) -> None:
        stage = Stage(store)
        product = stage.product(name=name)
        stage.product(name="Spoon")
        for search in searches:
            assert found(queries, search) == {product}, search
        assert product not in found(queries, f"-{searches[0]}")

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("knife", "knives"), ("bookshelf", "bookshelves"), ("leaf", "leaves"), ("woman", "women"),
            ("mouse", "mice"), ("child", "children"), ("foot", "feet"), ("lens", "lenses"),
            ("чашка", "чашек"), ("кружку", "кружек"), ("майка", "маек"), ("окно", "окон"), ("песня", "песен"),
            ("кресло", "кресел"), ("полотенце", "полотенец"), ("кольцо", "колец"), ("подарок", "подарки"),
            ("огурец", "огурцов"), ("горшок", "горшки"), ("ремень", "ремни"), ("ковёр", "ковры"),
            ("котёнок", "котята"), ("ребёнок", "детей"),
        ],
    )  # fmt: skip
    def test_words_are_found_in_forms_that_change_the_word(
        self, store: Store, queries: Queries, first: str, second: str
    ) -> None:
        stage = Stage(store)
        seller = stage.account()
        for name, searches in ((f"Red {first}", (second, second.upper())), (f"Red {second}", (first,))):
            product = stage.product(seller, name=name)
            stage.update_search_index()
            for search in searches:
                answer = queries.search(ProductFilter(search=f"red {search}"), PageRequest())
                assert [view.id for view in answer.rows] == [product], search
                assert answer.did_you_mean is None
                assert found(queries, f'"red {search}"') == {product}
                assert found(queries, f"red -{search}") == set()
            stage.withdraw(product)

    @pytest.mark.parametrize(
        ("description", "words", "no_words"),
        [
            ('<p class="lead">Very <strong>sturdy</strong></p>', ["very sturdy", '"very sturdy"'], ["strong", "lead"]),
            ("One&nbsp;two &amp; three&#160;four", ["two", "four", '"one two"'], ["nbsp", "amp", "160"]),
            ("Caf&eacute; &#1095;&#1072;&#1081; &#x74;ea", ["café", "cafe", "чай", "tea"], ["eacute", "1095", "x74"]),
            ("A <!-- hidden > words --> shown <!-- more --> too", ["shown too"], ["hidden", "words", "more"]),
            ("<style>p { margin: 0 }</style>Fine<script>alert(evil)</script>", ["fine"], ["margin", "alert", "evil"]),
            ("H<sub>2</sub>O bottle<br>steel<li>green", ["h2o", "bottle", "steel", "green"], ["sub", "bottlesteel"]),
            ("Light: <5 kg, quiet: < 30 dB and a > b", ["5", "kg", "30", "quiet", "db"], []),
            ("A teapot <blue> or x<b and c>d", ["blue", "teapot"], []),
            ("R&D; AT&T &unknown; & co", ["unknown", "co"], []),
        ],
    )  # fmt: skip
    def test_markup_is_not_searched(
        self, store: Store, queries: Queries, description: str, words: Sequence[str], no_words: Sequence[str]
    ) -> None:
        stage = Stage(store)
        product = stage.product(name="Thing", description=description)
        stage.product(name="Spoon")
        stage.update_search_index()
        for search in words:
            assert found(queries, search) == {product}, search
        for search in no_words:
            assert found(queries, f"thing -{search}") == {product}, search
        assert queries.products([product])[product].description == description

    @pytest.mark.parametrize(
        "unseen", [*"\u061c\u200c\u200d\u202a\u202e\u2066\u2069\u180e\u00ad\u200b\u2060\ufeff\ufe0f"]
    )
    def test_invisible_characters_are_ignored(self, store: Store, queries: Queries, unseen: str) -> None:
        stage = Stage(store)
        product = stage.product(name=f"Tea{unseen}pot {unseen}blue{unseen}")
        stage.product(name="Spoon")
        for search in ("teapot", f"tea{unseen}pot", f"{unseen}blue", f'"teapot {unseen}blue"', f"blue{unseen} teapot"):
            assert found(queries, search) == {product}, search

    def test_joiners_of_a_script_do_not_separate_words(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        book = stage.product(name="کتاب\u200cها")
        for search in ("کتابها", "کتاب\u200cها"):
            assert found(queries, search) == {book}
        assert queries.products([book])[book].name == "کتاب\u200cها"

    def test_phrases_match_adjacent_words_and_exclusions_remove_products(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        green = stage.product(name="Green tea pot")
        pot = stage.product(name="Pot for green herbal tea")
        assert found(queries, "green tea") == {green, pot}
        assert found(queries, '"green tea"') == {green}
        assert found(queries, "tea -herbal") == {green}
        assert found(queries, 'pot -"green tea"') == {pot}

    def test_relevance_ranks_name_over_brand_over_description(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        in_text = stage.product(name="Spoon", description="Goes with a samovar.")
        in_name = stage.product(name="Samovar")
        in_brand = stage.product(name="Cup", brand="Samovar")
        criteria = ProductFilter(search="samovar", sort_order=SortOrder.RELEVANCE)
        assert [view.id for view in queries.search(criteria, PageRequest()).rows] == [in_name, in_brand, in_text]

    @pytest.mark.parametrize(
        ("search", "meant"),
        [
            ("hedphones", "headphones"),
            ("wirelss hedphones", "wireless headphones"),
            ("Sonexx", "sonex"),
            ("taepot", "teapot"),
            ("teaopt red", "teapot red"),
            ("etapot", "teapot"),
            ("hedphonees", "headphones"),
            ("чайинк", "чайник"),
            ("чяйник красный", "чайник красный"),
            ("creem", "creme"),
            ("teapo red", "teapot red"),
        ],
    )
    def test_typos_are_corrected(self, store: Store, queries: Queries, search: str, meant: str) -> None:
        stage = Stage(store)
        seller = stage.account()
        stage.product(seller, name="Wireless headphones", brand="Sonex")
        stage.product(seller, name="Red teapot")
        stage.product(seller, name="Красный чайник")
        stage.product(seller, name="Crème")
        stage.product(seller, name="Garden chair")
        stage.update_search_index()
        answer = queries.search(ProductFilter(search=search), PageRequest())
        assert {view.id for view in answer.rows} == found(queries, meant) != set()
        assert answer.did_you_mean == meant
        assert queries.search(ProductFilter(search=meant), PageRequest()).did_you_mean is None

    @pytest.mark.parametrize("search", ["zzzzqqq", "te", "model 16", "x15", "teapot zzzzqqq", '"taepot"', "re-dd"])
    def test_short_and_distant_words_are_not_corrected(self, store: Store, queries: Queries, search: str) -> None:
        stage = Stage(store)
        stage.product(name="Red Teapot x14, model 17")
        stage.product(name="Ton")
        stage.update_search_index()
        answer = queries.search(ProductFilter(search=f"{search} -none"), PageRequest())
        assert (answer.rows, answer.did_you_mean, answer.total) == ((), None, 0)

    def test_the_nearest_and_most_frequent_word_is_the_correction(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        for name in ("Cup", "Cap", "Cap", "Cope"):
            stage.product(seller, name=name)
        stage.update_search_index()
        assert queries.search(ProductFilter(search="czp red"), PageRequest()).rows == ()
        assert queries.search(ProductFilter(search="czp"), PageRequest()).did_you_mean == "cap"

    def test_existing_words_are_not_corrected(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        stage.product(name="Tablet", price=5_00)
        table = stage.product(name="Table", price=50_00)
        stage.product(name="Chair", description="For a tabla.")
        stage.update_search_index()
        assert found(queries, "table") == {table}
        assert found(queries, "table", price_max=10_00) == set()
        assert found(queries, "tabla tablet") == set()

    def test_a_rare_word_is_searched_and_a_frequent_one_suggested(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        misspelt = stage.product(seller, name="Taepot")
        for _ in range(20):
            stage.product(seller, name="Teapot")
        stage.update_search_index()
        answer = queries.search(ProductFilter(search="taepot"), PageRequest())
        assert [view.id for view in answer.rows] == [misspelt]
        assert answer.did_you_mean == "teapot"

    def test_words_of_withdrawn_products_are_not_suggested(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        gone, renamed, asleep = stage.product(name="Teapot"), stage.product(name="Teacup"), stage.product(name="Teakid")
        stage.update_search_index()
        assert found(queries, "taepot") == {gone}
        stage.withdraw(gone)
        stage.edit(renamed, name="Saucer")
        stage.edit(asleep, is_active=False)
        stage.update_search_index()
        for search in ("taepot", "taecup", "taekid"):
            assert found(queries, search) == set()
        assert found(queries, "suacer") == {renamed}
        stage.edit(asleep, is_active=True)
        stage.update_search_index()
        assert found(queries, "taekid") == {asleep}

    def test_the_last_word_of_a_search_may_be_a_prefix(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        pot, pots = stage.product(seller, name="Red teapot"), stage.product(seller, name="Teapots, blue")
        stage.product(seller, name="Cup")
        stage.update_search_index()
        answer = queries.search(ProductFilter(search="teap"), PageRequest())
        assert {view.id for view in answer.rows} == {pot, pots}
        assert answer.did_you_mean is None
        assert found(queries, "red te") == {pot}
        assert found(queries, "te red") == set()
        assert found(queries, "Té") == {pot, pots}
        assert found(queries, "t") == set()
        criteria = ProductFilter(search="tea", sort_order=SortOrder.RELEVANCE)
        pages = forwards(lambda page: queries.search(criteria, page), 1)
        assert {view.id for view in rows(pages)} == {pot, pots}

    def test_later_pages_use_the_corrections_of_the_first_page(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        made = [stage.product(seller, name="Teapot") for _ in range(4)]
        stage.update_search_index()
        for sort_order in (SortOrder.RELEVANCE, SortOrder.PRICE):
            criteria = ProductFilter(search="taepot", sort_order=sort_order)
            first = queries.search(criteria, PageRequest(2))
            late = stage.product(seller, name="Taepot", price=1_00)
            stage.update_search_index()
            second = queries.search(criteria, PageRequest(2, after=first.next))
            assert {view.id for view in (*first.rows, *second.rows)} == set(made)
            stage.withdraw(late)
            stage.update_search_index()

    def test_a_search_with_exclusions_only_finds_all_other_products(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        cup = stage.product(name="Cup")
        stage.product(name="Tea pot")
        assert found(queries, "-pot") == {cup}
        assert found(queries, '-"tea pot" -spoon', sort_order=SortOrder.RELEVANCE) == {cup}

    def test_relevance_is_blended_with_stock_and_prominence(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        dull, sold_out, in_text, popular = (
            stage.product(seller, name=name, stock=stock, description=text)
            for name, stock, text in (
                ("Samovar", 5, ""), ("Samovar", 0, ""), ("Spoon", 5, "For a samovar."), ("Samovar", 5, ""),
            )
        )  # fmt: skip
        newest = stage.product(seller, name="Samovar")
        stage.view({popular: 9, in_text: 8})
        stage.update_search_index()
        criteria = ProductFilter(search="samovar", sort_order=SortOrder.RELEVANCE)
        ranked = [view.id for view in queries.search(criteria, PageRequest()).rows]
        assert ranked == [popular, newest, dull, sold_out, in_text]

    def test_adjacent_words_rank_higher(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        together = stage.product(seller, name="Green tea pot")
        apart = stage.product(seller, name="Tea pot, green")
        criteria = ProductFilter(search="green tea", sort_order=SortOrder.RELEVANCE)
        assert [view.id for view in queries.search(criteria, PageRequest()).rows] == [together, apart]

    def test_a_search_reports_the_total(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        for _ in range(5):
            stage.product(seller)
        for criteria in (ProductFilter(), ProductFilter(search="tea"), ProductFilter(search="tea", price_max=10_00)):
            whole = queries.search(criteria, PageRequest())
            assert (whole.total, whole.is_exact) == (5, True)
            part = queries.search(criteria, PageRequest(2))
            assert part.total >= 3
            assert part.total == 5 or not part.is_exact
        nothing = queries.search(ProductFilter(search="zzzz"), PageRequest())
        assert (nothing.rows, nothing.total, nothing.is_exact) == ((), 0, True)

    @pytest.mark.parametrize(
        "search", ["", "   ", "-", '"', '""', "&|!:*()<>\\'", "the", "-tea", "a" * 5000, "%_", "-" * 50, "tea " * 900]
    )
    def test_any_search_text_is_accepted(self, store: Store, queries: Queries, search: str) -> None:
        Stage(store).product()
        for sort_order in SortOrder:
            criteria = ProductFilter(search=search, sort_order=sort_order)
            assert len(queries.search(criteria, PageRequest()).rows) <= 1
        queries.facets(ProductFilter(search=search), list(Facet))

    # --- filters

    def test_filters_are_combined_with_and(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        facts: dict[str, Any] = {"price": 50, "stock": 1, "brand": "Acme", "category_id": CategoryId(5)}
        right = stage.product(seller, **facts)
        for wrong in (
            {"price": 49},
            {"price": 61},
            {"stock": 0},
            {"brand": "acme"},
            {"category_id": CategoryId(6)},
            {"at": NOW - 2 * DAY},
            {"at": NOW + 2 * DAY},
        ):
            stage.product(seller, **{**facts, **wrong})
        stage.product(stage.account(), **facts)
        assert found(
            queries,
            "tea",
            price_min=50,
            price_max=60,
            in_stock=True,
            brands=["Acme"],
            categories=[5],
            seller=seller,
            created_after=NOW - DAY,
            created_before=NOW + DAY,
        ) == {right}

    def test_values_of_one_filter_are_combined_with_or(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        first, second, third = (
            stage.product(category_id=CategoryId(id_), brand=brand) for id_, brand in ((4, "A"), (5, "B"), (6, "C"))
        )
        assert found(queries, categories=[4, slug_of("home_appliances")]) == {first, second}
        assert found(queries, categories=[slug_of("home_appliances")]) == {second}
        assert found(queries, categories=[6]) == {third}
        assert found(queries, categories=["no such", 10**30]) == set()
        assert found(queries, categories=["no such"]) == set()
        assert found(queries, brands=["A", "C"]) == {first, third}
        assert found(queries, brands=["B"]) == {second}

    def test_price_bounds_are_inclusive_and_time_bounds_exclusive(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        low, high = stage.product(price=10, at=NOW), stage.product(price=20, at=NOW + DAY)
        assert found(queries, price_min=10, price_max=20) == {low, high}
        assert found(queries, price_min=11, price_max=10**40) == {high}
        assert found(queries, created_after=NOW) == {high}
        assert found(queries, created_before=NOW + DAY) == {low}

    def test_reserved_stock_is_not_in_stock(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        sold_out, there = stage.product(stock=2), stage.product(stock=3)
        stage.order(stage.account(), {sold_out: 2, there: 2}, OrderStatus.PENDING)
        assert found(queries, in_stock=True) == {there}
        assert found(queries, in_stock=False) == {sold_out}

    # --- sort orders and pages

    def test_every_sort_order_has_pages_in_both_directions(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        made = [
            stage.product(seller, price=price, at=NOW + seconds * SECOND, name=f"Tea pot {'tea ' * words}")
            for price, seconds, words in (
                (30, 1, 1), (10, 2, 0), (20, 2, 0), (20, 1, 2), (20, 5, 0), (10, 0, 1), (30, 7, 2),
            )
        ]  # fmt: skip
        stage.view({made[2]: 5, made[4]: 5, made[0]: 9})
        stage.update_search_index()
        expected: dict[SortOrder, Sequence[int]] = {
            SortOrder.PRICE: [1, 5, 2, 3, 4, 0, 6],
            SortOrder.PRICE_DESC: [6, 0, 4, 3, 2, 5, 1],
            SortOrder.CREATED: [5, 0, 3, 1, 2, 4, 6],
            SortOrder.CREATED_DESC: [6, 4, 2, 1, 3, 0, 5],
            SortOrder.VIEWED_DESC: [0, 4, 2, 6, 5, 3, 1],
        }
        for sort_order, indexes in expected.items():
            self._pages(queries, ProductFilter(sort_order=sort_order), [made[index] for index in indexes])
        newest = [made[index] for index in expected[SortOrder.CREATED_DESC]]
        self._pages(queries, ProductFilter(sort_order=SortOrder.RELEVANCE), newest)
        for search in ("tea", "pott"):
            criteria = ProductFilter(search=search, sort_order=SortOrder.RELEVANCE)
            ranked = [view.id for view in queries.search(criteria, PageRequest(50)).rows]
            assert len(ranked) == 7
            self._pages(queries, criteria, ranked)
            self._pages(
                queries,
                evolve(criteria, sort_order=SortOrder.PRICE),
                [made[index] for index in expected[SortOrder.PRICE]],
            )

    def _pages(self, queries: Queries, criteria: ProductFilter, expected: Sequence[int]) -> None:
        for size in (1, 2, 3, 50):
            pages = forwards(lambda page: queries.search(criteria, page), size)
            assert [view.id for view in rows(pages)] == expected
            before = backwards(lambda page: queries.search(criteria, page), pages[-1], size)
            assert rows(before) == rows(pages[:-1])

    def test_a_page_can_follow_a_withdrawn_product(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        made = [stage.product(at=NOW - index * SECOND) for index in range(5)]
        first = queries.search(ProductFilter(), PageRequest(2))
        stage.withdraw(made[1])
        second = queries.search(ProductFilter(), PageRequest(2, after=first.next))
        assert [view.id for view in second.rows] == made[2:4]

    def test_timestamps_in_page_keys_are_exact(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        made = [stage.product(at=NOW + timedelta(microseconds=index)) for index in range(4)]
        pages = forwards(lambda page: queries.search(ProductFilter(sort_order=SortOrder.CREATED), page), 1)
        assert [view.id for view in rows(pages)] == made

    # --- facets

    def test_facets_count_matching_products(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        for price, brand, category in (
            (9_99, "B", 4), (10_00, "B", 4), (24_99, "A", 5), (25_00, "", 6), (2_500_00, "A", 5), (9_999_00, "C", 4),
        ):  # fmt: skip
            stage.product(price=price, brand=brand, category_id=CategoryId(category))
        stage.product(name="Spoon", brand="A")
        counts = queries.facets(ProductFilter(search="tea"), list(Facet))
        assert counts.is_exact
        facets = counts.values
        assert list(facets[Facet.CATEGORY]) == [
            FacetValue(4, "accessories", 3),
            FacetValue(5, "home_appliances", 2),
            FacetValue(6, "furniture", 1),
        ]
        assert list(facets[Facet.BRAND]) == [FacetValue("A", "A", 2), FacetValue("B", "B", 2), FacetValue("C", "C", 1)]
        assert list(facets[Facet.PRICE]) == [
            FacetValue(0, "0.00 - 10.00", 1, 10_00),
            FacetValue(10_00, "10.00 - 25.00", 2, 25_00),
            FacetValue(25_00, "25.00 - 50.00", 1, 50_00),
            FacetValue(2_500_00, "2500.00 +", 2, None),
        ]

    def test_prices_in_other_currencies_are_in_no_bucket(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        for currency, price in (("USD", 9_99), ("GBP", 9_99), ("GBP", 30_00), ("JPY", 5_00)):
            stage.product(price=price, currency=currency, brand=currency)
        facets = queries.facets(ProductFilter(search="tea"), [Facet.PRICE, Facet.BRAND]).values
        assert list(facets[Facet.PRICE]) == [FacetValue(0, "0.00 - 10.00", 1, 10_00)]
        assert [(value.value, value.count) for value in facets[Facet.BRAND]] == [("GBP", 2), ("JPY", 1), ("USD", 1)]

    def test_filters_by_price_are_in_the_currency_of_the_market(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        dollars = stage.product(price=9_99, currency="USD")
        for currency in ("GBP", "JPY"):
            stage.product(price=9_99, currency=currency)
        for text in (None, "tea"):
            assert len(found(queries, text)) == 3
            (bucket,) = queries.facets(ProductFilter(search=text), [Facet.PRICE]).values[Facet.PRICE]
            assert bucket.upper is not None
            criteria = ProductFilter(search=text, price_min=int(bucket.value), price_max=bucket.upper - 1)
            assert queries.search(criteria, PageRequest()).total == bucket.count == 1
            for order in SortOrder:
                assert found(queries, text, price_max=bucket.upper - 1, sort_order=order) == {dollars}
            assert found(queries, text, price_min=0) == found(queries, text, price_max=10**9) == {dollars}

    def test_facets_use_the_filters_and_corrections_of_the_list(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        stage.product(name="Headphones", brand="A", price=5)
        stage.product(name="Headphones", brand="B", price=50)
        stage.update_search_index()
        for search in ("headphones", "hedphones"):
            criteria = ProductFilter(search=search, price_max=10)
            assert queries.facets(criteria, [Facet.BRAND]).values == {Facet.BRAND: [FacetValue("A", "A", 1)]}
        assert queries.facets(ProductFilter(search="zzzz"), [Facet.PRICE]).values == {Facet.PRICE: []}
        assert queries.facets(ProductFilter(), []).values == {}

    def test_a_facet_counts_without_its_own_filter(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        for name, brand, category, price in (
            ("Tea pot", "A", 4, 5_00), ("Tea pot", "B", 4, 5_00), ("Tea pot", "A", 5, 5_00), ("Tea pot", "A", 4, 30_00),
            ("Spoon", "C", 6, 60_00),
        ):  # fmt: skip
            stage.product(name=name, brand=brand, category_id=CategoryId(category), price=price)
        one_brand = queries.facets(ProductFilter(search="tea", brands=["A"]), [Facet.BRAND, Facet.CATEGORY]).values
        assert list(one_brand) == [Facet.BRAND, Facet.CATEGORY]
        assert list(one_brand[Facet.BRAND]) == [FacetValue("A", "A", 3), FacetValue("B", "B", 1)]
        assert [(value.value, value.count) for value in one_brand[Facet.CATEGORY]] == [(4, 2), (5, 1)]

        every = ProductFilter(search="tea", brands=["A"], categories=[4], price_max=10_00)
        facets = queries.facets(every, list(Facet)).values
        assert [(value.value, value.count) for value in facets[Facet.CATEGORY]] == [(4, 1), (5, 1)]
        assert [(value.value, value.count) for value in facets[Facet.BRAND]] == [("A", 1), ("B", 1)]
        assert [(value.value, value.count) for value in facets[Facet.PRICE]] == [(0, 1), (25_00, 1)]

    def test_a_facet_without_its_filter_corrects_the_text(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        for brand in ("A", "B"):
            stage.product(name="Headphones", brand=brand)
        stage.update_search_index()
        found = queries.facets(ProductFilter(search="hedphones", brands=["A"]), [Facet.BRAND])
        assert list(found.values[Facet.BRAND]) == [FacetValue("A", "A", 1), FacetValue("B", "B", 1)]

    def test_facets_show_the_most_frequent_values(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        for number in range(MAX_FACET_VALUES + 2):
            stage.product(seller, brand=f"B{number:03}")
        stage.product(seller, brand=f"B{MAX_FACET_VALUES + 1:03}")
        (values,) = queries.facets(ProductFilter(), [Facet.BRAND]).values.values()
        assert len(values) == MAX_FACET_VALUES
        assert values[0] == FacetValue(f"B{MAX_FACET_VALUES + 1:03}", f"B{MAX_FACET_VALUES + 1:03}", 2)
        assert values[-1].value == f"B{MAX_FACET_VALUES - 2:03}"
