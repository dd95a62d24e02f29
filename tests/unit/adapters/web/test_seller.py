"""The pages of sellers: what their forms send, how they show prices, and each write without scripts."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.web.framework.forms import Form
from adapters.web.framework.languages import load
from adapters.web.framework.page import PageCall
from adapters.web.framework.templates import UNLIMITED, run_note
from adapters.web.pages.admin.pricing import RUN_TONES, run_words
from adapters.web.pages.seller.dashboard import SalesView, change, intervals, net_revenue, points
from adapters.web.pages.seller.fields import changed_fields, decimal_number, utc_field, utc_moment, with_initial_values
from adapters.web.pages.seller.figures import Figure
from adapters.web.pages.seller.policies import read_settings
from adapters.web.pages.seller.price_messages import (
    HEADINGS,
    RENDERED,
    TEMPLATES,
    decision_sentence,
    duration,
    format_message,
    guardrail_sentences,
    to_sentence,
)
from adapters.web.pages.seller.prices import PriceWords, shortest_range
from adapters.web.pages.seller.promotions import promotion_body
from adapters.web.pages.seller.runs import run_statuses
from adapters.web.pages.strategies import strategy_words
from scalecommerce_core.domain.identifiers import PolicyId
from scalecommerce_core.pricing import decisions, explaining, price_explanation
from scalecommerce_core.pricing.breaker import Breaker
from scalecommerce_core.pricing.interface import registered_strategies
from scalecommerce_core.pricing.runs import RunStatus
from scalecommerce_core.services.price_explanation import CAUSE_MESSAGES
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import PASSWORD, Marketplace, Person, answer
from tests.unit.support.svg_images import images, texts, with_class

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
GROUPS = (
    decisions.CHANGE_MESSAGES, decisions.MOTIVE_MESSAGES, decisions.HELD_MESSAGES, decisions.LIMIT_MESSAGES,
    explaining.OUTCOME_MESSAGES, explaining.GUARDRAIL_MESSAGES, explaining.INPUT_MESSAGES, CAUSE_MESSAGES,
    price_explanation.CURVE_MESSAGES,
)  # fmt: skip


@pytest.fixture
def seller(site: Marketplace) -> Person:
    return site.person()


@pytest.fixture
def browser(site: Marketplace, seller: Person) -> Browser:
    opened = Browser(site.client)
    opened.log_in(seller.email, PASSWORD)
    return opened


# --- messages about prices


def test_each_message_about_prices_can_be_translated() -> None:
    assert set(TEMPLATES) == {template for group in GROUPS for template in group.templates.values()}
    assert set(HEADINGS) == set(explaining.HEADINGS)


def test_translations_keep_the_parameters_of_messages() -> None:
    russian = load("ru")
    for template in TEMPLATES:
        assert set(re.findall(r"{\w+}", russian.gettext(template))) == set(re.findall(r"{\w+}", template)), template


def test_messages_are_written_in_the_formats_of_the_reader() -> None:
    message = {
        "template": "Raised by {share} to {price}",
        "parameters": {"share": {"kind": "share", "value": 0.05}, "price": {"kind": "amount", "value": "1234.50"}},
    }
    assert format_message(message, load("en"), "USD") == "Raised by 5% to $1,234.50"
    assert format_message(message, load("ru"), "USD").replace("\xa0", " ") == "Повышена на 5 % до 1 234,50 $"
    units = {"template": "{units} of it", "parameters": {"units": {"kind": "units", "value": 3}}}
    assert format_message(units, load("ru"), "USD") == "3 единицы of it"


@pytest.mark.parametrize(
    ("days", "text"), [(3.25, "3.2 days"), (0.5, "12 hours"), (0.01, "14.4 minutes"), (0, "0 seconds")]
)
def test_durations_have_the_largest_unit_up_to_days(days: float, text: str) -> None:
    assert duration(days, load("en")) == text


def test_a_sentence_has_one_full_stop() -> None:
    assert to_sentence("the price fell") == "The price fell."
    assert to_sentence("Enter the cost.") == "Enter the cost."


def test_the_shortest_range_with_enough_changes_is_shown() -> None:
    def explanation(*ages: timedelta) -> dict[str, Any]:
        return {"ends_at": NOW.isoformat(), "path": [{"valid_from": (NOW - age).isoformat()} for age in ages]}

    minute = timedelta(minutes=1)
    assert shortest_range(explanation(*(minute * each for each in range(8)))) == "hour"
    assert shortest_range(explanation(*(minute * 60 * each for each in range(1, 9)))) == "day"
    assert shortest_range(explanation(minute * 60 * 24 * 200, *(minute * each for each in range(7)))) == "quarter"
    assert shortest_range(explanation()) == "quarter"


def test_the_whole_path_of_a_new_product_is_shown() -> None:
    explanation = {"ends_at": NOW.isoformat(), "path": [{"valid_from": (NOW - timedelta(minutes=1)).isoformat()}]}
    assert shortest_range(explanation) == "hour"


def conversion(*prices: tuple[str, int, int]) -> Figure:
    """The chart of conversion for prices with their views and orders."""
    language = load("en")
    call = cast("PageCall", SimpleNamespace(gettext=language.gettext, language=language))
    by_price = [
        {
            "price": price, "views": views, "orders": orders, "units": orders, "profit": None,
            "conversion_rate": orders / views,
        }
        for price, views, orders in prices
    ]  # fmt: skip
    marks = dict.fromkeys(("price", "proposed_price", "best_price", "floor", "ceiling"), None)
    explanation = {**marks, "price": prices[0][0], "currency": "USD", "curve": None, "by_price": by_price}
    return PriceWords(call, explanation).figures()[-1]


def drawn_points(figure: Figure) -> int:
    image = images(figure.image)["wide"]
    return len([circle for circle in image.iter("circle") if circle.get("cx") != "10"])


def test_prices_with_too_few_views_are_in_the_table_only() -> None:
    figure = conversion(("18.00", 5000, 1500), ("19.00", 30, 9), ("18.50", 29, 8), ("17.00", 1, 1))
    assert drawn_points(figure) == 2
    assert len(figure.table.rows) == 5


def test_products_with_few_views_are_drawn_all_the_same() -> None:
    assert drawn_points(conversion(("18.00", 40, 3), ("19.00", 4, 1), ("20.00", 3, 1))) == 2


def test_more_orders_than_views_are_no_conversion() -> None:
    figure = conversion(("18.00", 5000, 1500), ("19.00", 100, 600))
    assert drawn_points(figure) == 1
    assert "600.00%" in [cell for row in figure.table.rows for cell in row]
    assert "600%" not in texts(images(figure.image)["wide"])
    alone = conversion(("19.00", 1, 6))
    assert "The product had too few views in the last 90 days." in alone.image
    assert alone.table.rows


# --- the dashboard


def sales_view(*, views: int, start: datetime, interval: str = "day") -> SalesView:
    """A report of five days or hours from `start`, with one order and so many views."""
    language = load("en")
    call = cast("PageCall", SimpleNamespace(gettext=language.gettext, language=language))
    step = timedelta(hours=1) if interval == "hour" else timedelta(days=1)
    figures = {
        "revenue": "9.00", "refunded_amount": "0.00", "orders": 1, "units": 1, "views": views,
        "conversion_rate": 1 / views if views else 0.0,
    }  # fmt: skip
    report = {
        "currency": "USD", "interval": interval, "total": figures, "previous": {**figures, "views": 0},
        "starts_at": start.isoformat(), "ends_at": (start + 5 * step).isoformat(),
        "previous_starts_at": (start - 5 * step).isoformat(),
        "series": [{**figures, "start": (start + row * step).isoformat()} for row in range(5)],
    }  # fmt: skip
    return SalesView(call, report, {"series": []})


def test_conversion_without_views_is_unknown() -> None:
    conversion = sales_view(views=40, start=NOW).headlines()[-1]
    assert (conversion.value, conversion.before) == ("2.5%", "–")


@pytest.mark.parametrize("interval", ["day", "hour"])
def test_the_line_to_a_time_that_is_not_over_is_dotted(interval: str) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = hour.replace(hour=0) - timedelta(days=4) if interval == "day" else hour - timedelta(hours=4)
    for figure in sales_view(views=40, start=start, interval=interval).figures():
        assert "The dotted line leads to the last point, whose period is not over yet." in figure.description
        for image in images(figure.image).values():
            assert len(list(with_class(image, "chart-unfinished"))) == 1


def test_lines_of_the_past_are_not_dotted() -> None:
    for figure in sales_view(views=40, start=NOW - timedelta(days=400)).figures():
        assert "Dotted" not in figure.description
        assert "chart-unfinished" not in figure.image


# --- fields


def test_only_changed_fields_are_sent() -> None:
    started = with_initial_values({"name": "Pot", "cost": "2.00", "description": "a\nb", "max_per_buyer": 3})
    fields = {name: [started.raw(name)] for name in started._fields} | {
        "name": ["Tea pot"],
        "description": ["a\r\nb"],
        "cost": [""],
    }
    changes = changed_fields(
        Form(fields), ("name", "cost", "description", "max_per_buyer"), ("max_per_buyer",), (), never_null=("name",)
    )
    assert changes == {"name": "Tea pot", "cost": None}


def test_times_of_fields_are_utc() -> None:
    assert utc_moment("2030-01-31T18:00") == "2030-01-31T18:00:00Z"
    assert utc_field("2030-01-31T19:00:00+01:00") == "2030-01-31T18:00"
    assert utc_moment("") is None
    assert utc_moment("tomorrow") == "tomorrow"
    assert utc_moment("2030-01-31T18:00+05:00") == "2030-01-31T18:00+05:00"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
def test_numbers_that_json_cannot_say_stay_text(text: str) -> None:
    assert decimal_number(text) == text


def test_products_of_a_promotion_are_numbers_or_for_the_api_to_refuse() -> None:
    huge = "9" * 5_000
    body = promotion_body(Form.of({"products": f"1, 2\n{huge} \u0667"}))
    assert [each["product"] for each in body["products"]] == [1, 2, huge, "\u0667"]


def test_numbers_may_have_a_decimal_comma() -> None:
    assert decimal_number("0,5") == 0.5
    assert decimal_number("") is None
    assert decimal_number("half") == "half"


def test_settings_are_read_by_their_types() -> None:
    settings = [
        {"name": name, "type": kind}
        for name, kind in (("a", "integer"), ("b", "number"), ("c", "boolean"), ("d", "array"), ("e", "number"))
    ]
    form = Form({"p_a": ["7"], "p_b": ["0.3"], "p_c": ["true"], "p_d": ["1.5; 2"], "p_e": [""]})
    assert read_settings(form, "p_", settings) == {"a": 7, "b": 0.3, "c": True, "d": [1.5, 2.0]}


def test_a_promotion_names_its_products() -> None:
    fields = {"name": ["Sale"], "ends_at": ["2030-01-31T18:00"], "percent": ["20"], "products": ["7, 12 x"]}
    assert promotion_body(Form(fields)) == {
        "name": "Sale",
        "ends_at": "2030-01-31T18:00:00Z",
        "percent": 20,
        "products": [{"product": 7}, {"product": 12}, {"product": "x"}],
    }
    assert promotion_body(Form({**fields, "scope": ["all"]}))["all_products"] is True


# --- figures


def test_series_have_a_point_for_each_interval() -> None:
    hour = timedelta(hours=1)
    times = intervals(NOW, NOW + 3 * hour, hour)
    sold = [{"start": "2026-11-30T13:00:00Z", "orders": 2, "views": 0}]
    assert [(point.at, point.value) for point in points(sold, times, lambda each: each["orders"], 0.0)] == [
        (NOW, 0.0),
        (NOW + hour, 2.0),
        (NOW + 2 * hour, 0.0),
    ]
    assert [point.value for point in points(sold, times, lambda each: each["orders"], None)] == [None, None, None]


def test_changes_are_relative_to_the_time_before() -> None:
    figures = {"revenue": "120.00", "refunded_amount": "20.00"}
    before = {"revenue": "80.00", "refunded_amount": "0.00"}
    assert change(net_revenue, figures, before) == pytest.approx(0.25)
    assert change(net_revenue, figures, {"revenue": "0.00", "refunded_amount": "0.00"}) is None


# --- pages and actions, without scripts


def test_a_seller_lists_pauses_and_finds_a_product(browser: Browser) -> None:
    fields = {
        "name": "<b>Pot</b>",
        "category_id": "1",
        "price": "10.00",
        "cost": "4.00",
        "stock": "5",
        "is_active": "true",
    }
    shown = browser.submit("/seller/products/new/", fields, page="/seller/products/new/")
    assert "The product is listed." in shown.text
    assert "&lt;b&gt;Pot&lt;/b&gt;" in shown.text
    assert "<b>Pot</b>" not in shown.text
    number = _number(browser)
    assert "is paused" in browser.submit(f"/seller/products/{number}/pause/").text
    assert f'href="/seller/products/{number}/"' in browser.get("/seller/products/?is_active=false").text
    assert f'href="/seller/products/{number}/"' not in browser.get("/seller/products/?is_active=true").text
    assert "for sale again" in browser.submit(f"/seller/products/{number}/resume/").text


def test_products_are_filtered_by_stock_words_category_and_policy(seller: Person, browser: Browser) -> None:
    cup = seller.list(name="Blue cup", stock=3)["id"]
    vase = seller.list(name="Blue vase", stock=0, category_id=2)["id"]
    paused = seller.list(name="Red cup", stock=9, is_active=False)["id"]
    policy = answer(seller.post("/pricing/api/v1/policies/", {"name": "Vases"}), 201)["id"]
    answer(seller.patch(f"/pricing/api/v1/products/{vase}/", {"policy": policy}))
    for query, expected in (
        ("stock=low", {cup}), ("stock=out", {vase}), ("stock=in", {cup, paused}), ("search=cup", {cup, paused}),
        ("search=cup&is_active=false", {paused}), ("category=2", {vase}), (f"policy={policy}", {vase}),
    ):  # fmt: skip
        text = browser.get(f"/seller/products/?{query}").text
        assert {each for each in (cup, vase, paused) if f'href="/seller/products/{each}/"' in text} == expected, query
    refused = browser.get("/seller/products/?stock=plenty")
    assert refused.status_code == 400
    assert 'id="stock-errors"' in refused.text


def test_errors_stand_beside_their_fields_with_what_was_entered(browser: Browser) -> None:
    response = browser.post(
        "/seller/products/new/", {"name": "Pot", "category_id": "1", "price": "ten"}, page="/seller/products/new/"
    )
    assert response.status_code == 400
    assert 'id="price-errors"' in response.text
    assert 'value="ten"' in response.text


def test_an_edit_leaves_a_price_that_moved_meanwhile(site: Marketplace, seller: Person, browser: Browser) -> None:
    product = seller.list(name="Pot", price="10.00")["id"]
    path = f"/seller/products/{product}/edit/"
    fields = dict(re.findall(r'name="(initial_\w+)" value="([^"]*)"', browser.get(path).text))
    fields = {name: unescape(value) for name, value in fields.items()}
    fields |= {name.removeprefix("initial_"): value for name, value in fields.items()}
    site.reprice(product, "11.00")
    assert "The changes are saved." in browser.submit(path, {**fields, "name": "Tea pot"}, page=path).text
    stored = answer(seller.get(f"/products/api/v1/{product}/"))
    assert (stored["name"], stored["price"]) == ("Tea pot", "11.00")


def test_stock_is_changed_once_by_a_repeated_submission(seller: Person, browser: Browser) -> None:
    product = seller.list(name="Pot", stock=5)["id"]
    path, fields = f"/seller/products/{product}/stock/", {"delta": "3", "submission": "a-random-value"}
    assert "Available now: 8." in browser.submit(path, fields).text
    assert "Available now: 8." in browser.submit(path, fields).text
    assert answer(seller.get(f"/products/api/v1/{product}/"))["stock"] == 8


def test_the_price_page_explains_the_price(site: Marketplace, seller: Person, browser: Browser) -> None:
    product = seller.list(name="Pot", price="10.00", cost="4.00")["id"]
    site.reprice(product, "11.00")
    text = browser.get(f"/seller/products/{product}/").text
    assert "No pricing policy has decided about this product yet." in text
    assert "A pricing policy set this price" in text
    assert "$11.00" in text
    assert (
        browser.submit(f"/seller/products/{product}/exclude/").text.count(
            "No policy changes the price of this product."
        )
        == 1
    )


@pytest.fixture
def repriced(site: Marketplace, seller: Person) -> Any:
    """A run of an active policy that changed the prices of two products, and its policy."""
    for name in ("Pot", "Cup"):
        seller.list(name=name, price="20.00", cost="19.00", stock=5)
    eager = {"least_views": 0, "least_history_days": 0, "cooldown_days": 0, "breaker_share": 1, "breaker_mean": 1}
    parameters = {"vary": False, "caution": 0}
    made = answer(
        seller.post("/pricing/api/v1/policies/", {"name": "Learn", "guardrails": eager, "parameters": parameters}), 201
    )
    site.clock.advance(minutes=1)
    run = site.market.repricing.run(PolicyId(made["id"]))
    assert run.written == 2
    return run


def _products_of(seller: Person) -> list[int]:
    return [each["id"] for each in answer(seller.get("/products/api/v1/own/"))["results"]]


def test_a_rollback_stops_the_active_policy_first(seller: Person, browser: Browser, repriced: Any) -> None:
    path = f"/seller/runs/{repriced.id}/roll-back/"
    preview = browser.get(path).text
    assert "The policy Learn is active" in preview
    stop = f"/seller/policies/{repriced.policy_id}/deactivate/"
    assert f'action="{stop}"' in preview
    back = browser.submit(stop, {"run": str(repriced.id)}, page=path)
    assert "The policy is stopped." in back.text
    assert "Stop the policy first" not in back.text
    assert "Roll back now" in back.text
    assert not answer(seller.get(f"/pricing/api/v1/policies/{repriced.policy_id}/"))["is_active"]


def test_a_run_is_watched_only_by_those_who_may_read_it(site: Marketplace, anybody: Browser, repriced: Any) -> None:
    other = Browser(site.client)
    other.log_in(site.person().email, PASSWORD)
    assert anybody.get(f"/live/?run={repriced.id}").status_code == 401
    assert other.get(f"/live/?run={repriced.id}").status_code == 404


def test_a_rollback_says_how_many_prices_return_and_how_many_stay(
    site: Marketplace, seller: Person, browser: Browser, repriced: Any
) -> None:
    first, _second = _products_of(seller)
    site.clock.advance(minutes=1)
    answer(seller.patch(f"/products/api/v1/{first}/", {"price": "25.00"}))
    path = f"/seller/runs/{repriced.id}/roll-back/"
    assert "No: it has changed since" in browser.get(path).text
    shown = browser.submit(path).text
    assert "1 price returns. 1 price stays, because it has changed since." in shown
    assert f'data-live-run="{repriced.id}" data-status="ROLLING_BACK"' in shown
    site.market.repricing.finish(repriced.id)
    ended = browser.get(f"/seller/runs/{repriced.id}/").text
    assert "<dt>Rolled back at</dt>" in ended
    assert "<dt>Finished</dt>" not in ended
    assert "data-live-run" not in ended


def test_a_rollback_that_restores_no_price_is_not_offered(
    site: Marketplace, seller: Person, browser: Browser, repriced: Any
) -> None:
    site.clock.advance(minutes=1)
    for product in _products_of(seller):
        answer(seller.patch(f"/products/api/v1/{product}/", {"price": "25.00"}))
    path = f"/seller/runs/{repriced.id}/roll-back/"
    preview = browser.get(path).text
    assert "No price would return" in preview
    assert "Roll back now" not in preview
    refused = browser.submit(path).text
    assert 'class="notice error"' in refused
    assert answer(seller.get(f"/pricing/api/v1/runs/{repriced.id}/"))["status"] == "DONE"


def test_a_decision_of_an_earlier_price_does_not_explain_the_current_one(
    site: Marketplace, seller: Person, browser: Browser, repriced: Any
) -> None:
    product, _ = _products_of(seller)
    page = f"/seller/products/{product}/"
    note = "The last decision was for an earlier price:"
    assert note not in browser.get(page).text
    site.clock.advance(minutes=1)
    answer(seller.post(f"/pricing/api/v1/runs/{repriced.id}/rollback/"))
    site.market.repricing.finish(repriced.id)
    assert "$20.00: The pricing run that had changed the price was rolled back.</p>" in browser.get(page).text
    assert note in browser.get(page).text
    site.clock.advance(minutes=1)
    answer(seller.patch(f"/products/api/v1/{product}/", {"price": "25.00"}))
    assert "$25.00: The seller set this price.</p>" in browser.get(page).text


def test_a_policy_is_a_draft_until_it_is_activated(seller: Person, browser: Browser) -> None:
    form = "/seller/policies/new/?kind=elasticity_learning"
    fields = {"kind": "elasticity_learning", "name": "Learn", "scope": "all", "epoch_hours": "168", "fee_percent": "8"}
    shown = browser.submit("/seller/policies/new/", {**fields, "submission": "policy-1"}, page=form)
    assert "What the next run would do" in shown.text
    policy = answer(seller.get("/pricing/api/v1/policies/"))["results"][0]
    assert (policy["is_active"], policy["fee"], policy["epoch_seconds"]) == (False, 0.08, 604_800)
    root = f"/seller/policies/{policy['id']}/"
    assert "runs in shadow" in browser.submit(f"{root}activate/", {"shadow": "true"}).text
    assert "The policy is active." in browser.submit(f"{root}activate/").text
    assert "Learn" in browser.get("/seller/policies/stop/").text
    assert "All your policies are stopped." in browser.submit("/seller/policies/stop/").text
    assert not answer(seller.get(f"/pricing/api/v1/policies/{policy['id']}/"))["is_active"]


def test_a_sale_is_refunded_once(site: Marketplace, seller: Person, browser: Browser) -> None:
    product = seller.list(name="Pot", stock=5)["id"]
    order = site.sell(site.person(), (product, 2))["id"]
    fields = {
        "order": str(order),
        "product": str(product),
        "quantity": "1",
        "restock": "true",
        "submission": "refund-1",
    }
    for _ in range(2):
        assert f"order {order}" in browser.submit("/seller/sales/refund/", fields, page="/seller/sales/").text
    (sale,) = answer(seller.get("/orders/api/v1/sales/"))["results"]
    assert sale["refunded"] == 1


def test_a_secret_is_shown_once(browser: Browser) -> None:
    fields = {"url": "https://example.com/hooks", "topics": ["order.paid"], "submission": "endpoint-1"}
    shown = browser.post("/seller/webhooks/", fields, page="/seller/webhooks/").text
    secret = re.search(r'class="secret">([^<]+)<', shown)
    assert secret is not None
    listed = browser.get("/seller/webhooks/").text
    assert "https://example.com/hooks" in listed
    assert secret[1] not in listed


def test_a_file_is_imported_after_its_preview(seller: Person, browser: Browser) -> None:
    text = "sku,name,category,price\nA1,Pot,1,10.00\nA2,Cup,1,ten\n"
    data = {"form_token": browser.token("/seller/products/import/")}
    previewed = browser.send(
        "POST",
        "/seller/products/import/",
        data=data,
        files={"file": ("products.csv", text.encode())},
        headers={"Sec-Fetch-Site": "same-origin"},
    ).text
    assert "Nothing is written yet." in previewed
    assert "<code>price</code>" in previewed
    assert answer(seller.get("/products/api/v1/own/"))["results"] == []
    imported = browser.submit("/seller/products/import/", {"csv": text, "confirmed": "true"})
    assert "The file is imported." in imported.text
    (product,) = answer(seller.get("/products/api/v1/own/"))["results"]
    assert product["sku"] == "A1"
    exported = browser.get("/seller/products/export/")
    assert exported.headers["content-type"].startswith("text/csv")
    assert "A1" in exported.text


def test_the_product_of_another_seller_is_refused(site: Marketplace, browser: Browser) -> None:
    product = site.person().list(name="Pot")["id"]
    assert browser.get(f"/seller/products/{product}/").status_code == 403


def _number(browser: Browser) -> int:
    found = re.search(r'href="/seller/products/(\d+)/"', browser.get("/seller/products/").text)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("changes", "english", "russian"),
    [
        (
            {},
            (
                "Lowered by 5% to $19.00: past sales at other prices indicate that this price earns most; limited by"
                " the largest step."
            ),
            (
                "Снижена на 5\xa0% до 19,00\xa0$: судя по продажам при других ценах, эта цена самая прибыльная;"
                " ограничено наибольшим шагом."
            ),
        ),
        (
            {"new_price": "20.00", "guardrails": ["few_views"]},
            "Kept at $20.00: too few people have viewed the product.",
            "Цена осталась 20,00\xa0$: товар смотрело слишком мало людей.",
        ),
    ],
)
def test_the_reason_of_a_decision_of_a_run_is_in_the_reader_s_words(
    changes: dict[str, object], english: str, russian: str
) -> None:
    decision = {
        "product": 1, "policy": 2, "policy_version": 1, "epoch": 3, "old_price": "20.00", "new_price": "19.00",
        "currency": "USD", "motive": "learned", "guardrails": ["step"],
    } | changes  # fmt: skip
    assert decision_sentence(decision, load("en")) == english
    assert decision_sentence(decision, load("ru")) == russian


def test_each_strategy_has_a_title_in_lists(seller: Person, browser: Browser) -> None:
    words = strategy_words(load("ru"))
    assert {name for name in registered_strategies() if name not in words} == set()
    assert not [title for title in words.values() if re.search("[a-z]", title)]
    answer(seller.post("/pricing/api/v1/policies/", {"name": "Mine"}), 201)
    listed = browser.get("/seller/policies/").text
    assert "Learning from sales" in listed
    assert "elasticity_learning" not in listed


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        ("", ""),
        (
            "Circuit breaker not tripped: mean change +4.7%, 67% of 3 prices changed by more than 4%.",
            "Within the limits of the circuit breaker.",
        ),
        (
            "Approved by account 1. Circuit breaker not tripped: mean 0.1%, 0% of 9 prices moved by more than 4%.",
            "Approved by account 1. Within the limits of the circuit breaker.",
        ),
        ("The run was cancelled.", "The run was cancelled."),
    ],
)
def test_the_note_of_a_run_omits_the_figures_of_a_breaker_that_limited_nothing(note: str, shown: str) -> None:
    assert run_note(load("en"), note) == shown


def test_the_note_of_the_core_has_the_sentence_that_the_pages_shorten() -> None:
    assert Breaker(3, 0.67, 0.047, base_mean=0.047).sentence.startswith(UNLIMITED)


def test_a_message_beside_its_heading_does_not_repeat_it() -> None:
    message = {
        "template": "{price}, the seller's starting price",
        "parameters": {"price": {"kind": "amount", "value": "36.00"}},
    }
    assert format_message(message, load("en"), "USD") == "$36.00, as you set it"
    assert set(RENDERED) <= set(TEMPLATES)
    for template, other in RENDERED.items():
        assert set(re.findall(r"{\w+}", template)) == set(re.findall(r"{\w+}", other))
        assert set(re.findall(r"{\w+}", load("ru").gettext(other))) == set(re.findall(r"{\w+}", other))


def test_a_guardrail_that_is_the_cause_of_a_decision_is_named_once() -> None:
    held = {"template": "the change would be too small to matter", "parameters": {}}
    step = {"template": "limited to the largest change in a day", "parameters": {}}
    decision = {"causes": [held], "guardrail_messages": [held, step]}
    call = cast("PageCall", SimpleNamespace(language=load("en")))
    words = PriceWords(call, {"currency": "USD", "decision": decision})
    assert words.guardrails() == ["Limited to the largest change in a day."]


def test_each_guardrail_of_a_decision_has_a_sentence() -> None:
    names = list(explaining.GUARDRAIL_MESSAGES.templates)
    sentences = guardrail_sentences({"guardrails": names}, load("ru"))
    assert len(set(sentences)) == len(names)
    assert not [text for text in sentences if re.search("[a-z]{3}", re.sub("(min|max)_price", "", text))]


def test_each_status_of_a_run_has_a_word() -> None:
    assert set(run_words(load("en"))) == set(RUN_TONES) == {status.value for status in RunStatus}
    assert set(run_statuses(load("en"))) == set(run_words(load("en")))  # type: ignore[arg-type]
