"""Unknown query parameters are rejected with a suggestion."""

import pytest

from adapters.http.framework.query_names import suggest_parameters, unknown_parameter_message
from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, Person, answer, problem
from tests.unit.support.http_operations import Endpoint, endpoints, every

LISTS = {each.name: each.query_parameters for each in endpoints()}


@pytest.mark.parametrize(
    ("operation", "name", "meant"),
    [
        ("searchProducts", "category_id", ["category"]),
        ("searchProducts", "categories", ["category"]),
        ("searchProducts", "category[]", ["category"]),
        ("searchProducts", "min_price", ["price_min"]),
        ("searchProducts", "priceMin", ["price_min"]),
        ("searchProducts", "price__gte", ["price_min"]),
        ("searchProducts", "price[lte]", ["price_max"]),
        ("searchProducts", "price", ["price_min", "price_max"]),
        ("searchProducts", "page", ["cursor", "page_size"]),
        ("searchProducts", "offset", ["cursor", "page_size"]),
        ("searchProducts", "limit", ["page_size"]),
        ("searchProducts", "q", ["search"]),
        ("searchProducts", "sort", ["ordering"]),
        ("searchProducts", "Ordering", ["ordering"]),
        ("searchProducts", "seller_id", ["seller"]),
        ("searchProducts", "from", ["created_after"]),
        ("searchProducts", "serach", ["search"]),
        ("searchProducts", "utm_source", []),
        ("searchProducts", "x" * 5_000, []),
        ("listOrders", "page", ["cursor", "page_size"]),
        ("listOrders", "q", []),
        ("readEvents", "page_size", ["limit"]),
        ("readEvents", "offset", ["cursor", "after"]),
        ("readSellerStats", "interval", ["series"]),
        ("readSellerStats", "since", ["from"]),
        ("readProductStatistics", "series", ["interval"]),
        ("readProductStatistics", "until", ["to"]),
        ("listWebhookDeliveries", "state", ["status"]),
        ("listPricingRuns", "policy_id", ["policy"]),
        ("previewPricingPolicy", "category_id", ["category"]),
        ("previewPricingPolicy", "page_size", ["limit"]),
    ],
)
def test_an_unknown_name_suggests_a_synonym_or_the_most_similar_parameter(
    operation: str, name: str, meant: list[str]
) -> None:
    assert suggest_parameters(name, LISTS[operation]) == meant


def test_the_message_lists_all_parameters_without_a_similar_one() -> None:
    assert unknown_parameter_message("utm_source", ["page_size", "cursor"]) == (
        "Unknown parameter. Known parameters: cursor, page_size."
    )
    assert unknown_parameter_message("page", ["page_size", "cursor"]) == (
        "Unknown parameter. Did you mean cursor or page_size?"
    )
    assert unknown_parameter_message("page", []) == "This operation takes no query parameters."


@every()
def test_every_operation_rejects_unknown_parameters(staff: Person, endpoint: Endpoint) -> None:
    refused = staff.send(endpoint.method, endpoint.path(), params={"colour": "red"})
    problem(refused, 400, "colour")
    assert 400 in endpoint.statuses


def test_cached_products_and_lists_reject_unknown_parameters(place: Marketplace, seller: Person) -> None:
    path = f"{PRODUCTS}{seller.list()['id']}/"
    kept = (path, PRODUCTS, f"{PRODUCTS}categories/")
    for each in kept:
        answer(place.anybody.get(each))
        problem(place.anybody.get(each, params={"v": "2"}), 400, "v")
    place.flush_views()
    assert answer(seller.get(path))["count_viewed"] == 1, "a refused request is no view"
