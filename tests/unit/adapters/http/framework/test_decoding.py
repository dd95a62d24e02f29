import json
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.framework.decoding import decode_body, decode_query
from adapters.http.framework.json_parser import InvalidJson, _parse_in_python, parse_json
from adapters.http.framework.money_fields import Amount, Price
from adapters.http.framework.problems import Problem
from adapters.http.framework.validation import FieldErrors, convert_struct
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.money import MAX_PRICE


class Item(msgspec.Struct):
    product: Annotated[int, msgspec.Meta(ge=1)]
    quantity: Annotated[int, msgspec.Meta(ge=1)]
    price: Price | msgspec.UnsetType = msgspec.UNSET


class Order(msgspec.Struct):
    order_item: Annotated[list[Item], msgspec.Meta(min_length=1, max_length=3)]
    note: Annotated[str, msgspec.Meta(max_length=5)] | msgspec.UnsetType = msgspec.UNSET
    tags: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    gift: bool = False

    def __post_init__(self) -> None:
        if self.gift and self.note is msgspec.UNSET:
            raise Invalid.field("note", "A gift requires a note.")


class Search(msgspec.Struct):
    brand: list[str] = msgspec.field(default_factory=list)
    category: list[int] = msgspec.field(default_factory=list)
    price_min: Amount | None = None
    in_stock: bool | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


def refused(body: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        decode_body(body, Order)
    assert caught.value.status == 400
    return caught.value


def errors_of(body: bytes) -> dict[str, list[str]]:
    errors = refused(body).errors
    assert errors is not None
    return errors


def test_a_valid_body_is_decoded() -> None:
    body = b'{"order_item": [{"product": 1, "quantity": 2.0, "price": 6.21}], "note": "hello", "is_staff": true}'
    assert decode_body(body, Order) == Order([Item(1, 2, Price("6.21"))], "hello")


def test_an_optional_field_is_nullable_only_if_declared() -> None:
    assert decode_body(b'{"order_item": [{"product": 1, "quantity": 2}], "tags": null}', Order).tags is None
    assert errors_of(b'{"order_item": [{"product": 1, "quantity": 2}], "note": null}') == {
        "note": ["This must be text, not null."]
    }


def test_every_invalid_field_is_named() -> None:
    body = b"""{"order_item": [{"product": 0, "quantity": "2", "price": 6.21555}, 5, {"product": 1}],
                "note": "abcdefg", "gift": 1, "tags": ["a", 1]}"""
    assert errors_of(body) == {
        "order_item[0].product": ["This must be at least 1."],
        "order_item[0].quantity": ["This must be a whole number, not text."],
        "order_item[0].price": ["At most 4 decimals are allowed in any currency; this has 5."],
        "order_item[1]": ["This must be an object, not a whole number."],
        "order_item[2].quantity": ["This field is required."],
        "note": ["At most 5 characters are allowed."],
        "gift": ["This must be true or false, not a whole number."],
        "tags[1]": ["This must be text, not a whole number."],
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "This field is required."),
        (b'{"order_item": []}', "At least 1 is required."),
        (b'{"order_item": [1, 2, 3, 4]}', "At most 3 are allowed, not 4."),
        (b'{"order_item": {}}', "This must be a list, not an object."),
        (b'{"order_item": 1e400}', "This number is out of range."),
    ],
)
def test_the_length_of_a_list_is_checked(body: bytes, message: str) -> None:
    assert errors_of(body) == {"order_item": [message]}


def test_an_invalid_combination_of_fields_is_rejected() -> None:
    assert errors_of(b'{"order_item": [{"product": 1, "quantity": 2}], "gift": true}') == {
        "note": ["A gift requires a note."]
    }


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 5000, "9223372036854775808", "1e99999999", "1.5", "0"])
def test_a_number_out_of_range_is_rejected(number: str) -> None:
    assert list(errors_of(f'{{"order_item": [{{"product": {number}, "quantity": 1}}]}}'.encode())) == [
        "order_item[0].product"
    ]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b'"text"', "JSON object"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b'{"a": 01}', "not JSON"),
        (b'{"a": "\x01"}', "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": 1e9999999999999999999}', "out of range"),
        (b'\xff{"a": 1}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "more than 5000 values"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested"),
        (b"[" * 4_000, "nested"),
        (b'{"a":[' + b"0," * 5_000 + b"0]}", "more than 5000 values"),
        (b'{"a":[' + b"{}," * 40_000 + b"0]}", "more than 5000 values"),
        (b'{"a": 1\n, "b": 2 x}', "line 2 column 10"),
        (b'{"a": "' + b"x" * 20_000 + b'",\n "b": 2 x}', "line 2 column 9"),
        (b'{"a": "' + b"x" * 20_000, "not JSON"),
        (b'{"a": "' + b"x" * 20_000 + b'\xff"}', "not UTF-8"),
        (b'{"a": "' + b"x" * 20_000 + b'", "b": 1e9999999999999999999}', "out of range"),
        (b'{"a": "' + b'\\",' * 40_000, "not JSON"),
        (b'{"a": "' + b'\\",' * 40_000 + b"\\", "not JSON"),
        (b'{"a": ["' + b'","' * 40_000 + b'"]}', "more than 5000 values"),
        (b'{"a": ":::::", "b": {"c": 1, "c": 2}}', "'c' appears twice"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_rejected(body: bytes, why: str) -> None:
    problem = refused(body)
    assert why in problem.detail
    assert problem.code == "malformed"


def test_a_duplicate_name_among_many_is_found() -> None:
    names = ",".join(f'"{number}": 0' for number in range(4_000))
    assert "'3999' appears twice" in refused(f'{{{names}, "3999": 1}}'.encode()).detail


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\udfff x"])
def test_nul_and_lone_surrogates_are_rejected(escape: str) -> None:
    assert list(errors_of(f'{{"order_item": [{{"product": 1, "quantity": 2}}], "note": "{escape}"}}'.encode())) == [
        "note"
    ]


def test_brackets_and_commas_in_a_long_text_are_no_values() -> None:
    text = "[{," * 10_000 + '\\"'
    assert parse_json(json.dumps({"a": text, "b": []}).encode()) == {"a": text, "b": []}


def test_the_number_of_reported_fields_is_bounded() -> None:
    class Many(msgspec.Struct):
        numbers: list[int]

    with pytest.raises(Problem) as caught:
        decode_body(b'{"numbers": [' + b'"x",' * 4_000 + b'"x"]}', Many)
    assert caught.value.errors is not None
    assert len(caught.value.errors) == 100


def test_both_parsers_agree_on_numbers_and_names() -> None:
    body = b'{"a": [1, -0, 1.50, 1e3, 123456789012345678901234567890, true, null, ""], "b:": {"c": {"a": ":"}}, "": {}}'
    parsed = parse_json(body)
    assert parsed == _parse_in_python(body)
    assert list(map(repr, parsed["a"])) == list(map(repr, _parse_in_python(body)["a"]))
    exact = parse_json(b'{"a": 1.50}')["a"]
    assert (type(exact), str(exact)) == (Decimal, "1.50")


@given(
    st.recursive(
        st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(":a,[{\\'"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a:", max_size=2), inner, max_size=3),
    )
)
def test_both_parsers_agree(document: Any) -> None:
    body = json.dumps(document).encode()
    assert parse_json(body) == _parse_in_python(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["product", "quantity", "price", "x"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["order_item", "note", "tags", "gift"]), JSON))
def test_any_document_is_decoded_or_rejected_with_messages(document: dict[str, Any]) -> None:
    try:
        decode_body(msgspec.json.encode(document), Order)
    except Problem as problem:
        assert problem.errors  # noqa: PT017 - a success is valid too; a failure must have messages


NUMBERS = st.sampled_from([0, 1, 2, 7, True, 2**63 - 1, 2**63, 10**30, 1.0, 2.5, 1e300, "3", None])
TEXTS = st.text(alphabet="ab\x00\n\ud800é😀", max_size=6) | st.none() | st.integers()
ALMOST_ORDERS = st.fixed_dictionaries(
    {
        "order_item": st.lists(
            st.fixed_dictionaries(
                {"product": NUMBERS, "quantity": NUMBERS},
                optional={"price": st.sampled_from(["9.99", "1", 5, 9.99, 0, "x", None])},
            ),
            max_size=4,
        )
    },
    optional={"note": TEXTS, "tags": st.lists(TEXTS, max_size=3) | st.none(), "gift": st.booleans(), "x": NUMBERS},
)


@given(ALMOST_ORDERS, st.booleans())
def test_the_fast_and_the_full_conversion_agree(document: dict[str, Any], escaped: bool) -> None:
    body = json.dumps(document, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    found = FieldErrors()
    try:
        long_way = convert_struct(parse_json(body), Order, found)
    except InvalidJson:
        long_way = None
    try:
        assert decode_body(body, Order) == long_way
        assert not found.errors
    except Problem as problem:
        assert long_way is None
        assert problem.errors == (found.errors or None)  # noqa: PT017 - success and failure are valid, if both agree


@given(st.binary(max_size=200))
def test_any_bytes_are_rejected_without_an_exception(body: bytes) -> None:
    with pytest.raises(Problem):
        decode_body(body, Order)


# --- amounts


@pytest.mark.parametrize(
    ("given_amount", "read"),
    [("6.21", 621), ("6.2", 620), ("6", 600), (6, 600), (Decimal("6.210"), 621), ("99999999.99", MAX_PRICE)],
)
def test_valid_prices_are_parsed(given_amount: object, read: int) -> None:
    assert Price.parse(given_amount).to_minor_units("USD") == read


@pytest.mark.parametrize(
    "bad",
    [
        *["0", "0.00", 0, -1, "-1", "+1", "1e2", "NaN", "Infinity", "", " 1", "1 ", "1.", ".5", "007", "1,5", "٣"],
        *["9" * 50, "6.215", "6.210", Decimal("0.001"), Decimal("NaN"), Decimal("1e400"), Decimal(100_000_000)],
        *[True, None, 1.5, []],
    ],
)
def test_invalid_prices_are_rejected(bad: object) -> None:
    with pytest.raises(ValueError, match=r"\."):
        Price.parse(bad).to_minor_units("USD")


def test_an_amount_may_be_zero() -> None:
    assert Amount.parse("0") == 0


# --- query strings


def test_a_valid_query_string_is_decoded() -> None:
    found = decode_query(b"brand=A&brand=B%20C&category=5&price_min=0.5&in_stock=true&page_size=5", Search)
    assert found == Search(["A", "B C"], [5], Amount("0.50"), in_stock=True, page_size=5)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (b"page_size=0", "page_size"),
        (b"page_size=101", "page_size"),
        (b"page_size=x", "page_size"),
        (b"page_size=", "page_size"),
        (b"page_size=5.0", "page_size"),
        (b"page_size=1e1", "page_size"),
        (b"page_size=%2B5", "page_size"),
        (b"page_size=1_0", "page_size"),
        (b"page_size=%D9%A5", "page_size"),
        (b"category=05", "category"),
        (b"page_size=" + b"9" * 5000, "page_size"),
        (b"page_size=5&page_size=5", "page_size"),
        (b"category=books", "category"),
        (b"category=99999999999999999999", "category"),
        (b"price_min=NaN", "price_min"),
        (b"price_min=1e3", "price_min"),
        (b"price_min=1.29000", "price_min"),
        (b"price_min=1,290", "price_min"),
        (b"in_stock=maybe", "in_stock"),
        (b"brand=%00", "brand"),
        (b"brnd=A", "brnd"),
        (b"=A", ""),
        (b"brand=A&unknown=1&unknown=2", "unknown"),
        (b"x" * 200, "x" * 100 + "\u2026"),
    ],
)
def test_an_invalid_parameter_is_named(query: bytes, field: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_query(query, Search)
    assert caught.value.status == 400
    assert list(caught.value.errors or {}) == [field]


@pytest.mark.parametrize("query", [b"brand=%ff", b"brand=\xff", b"&".join([b"a=1"] * 300)])
def test_a_malformed_query_string_is_rejected(query: bytes) -> None:
    with pytest.raises(Problem) as caught:
        decode_query(query, Search)
    assert caught.value.status == 400


def test_unknown_and_invalid_parameters_are_reported_together() -> None:
    with pytest.raises(Problem) as caught:
        decode_query(b"page=2&page_size=x&categoryId=5&in_stock=true", Search)
    assert caught.value.errors == {
        "page": ["Unknown parameter. Did you mean page_size?"],
        "categoryId": ["Unknown parameter. Did you mean category?"],
        "page_size": ["'x' is not a whole number: write digits only, such as 1290."],
    }


def test_an_operation_without_parameters_accepts_only_an_empty_query_string() -> None:
    assert decode_query(b"", None) is None
    assert decode_query(b"&", None) is None
    with pytest.raises(Problem) as caught:
        decode_query(b"format=json", None)
    assert caught.value.errors == {"format": ["This operation takes no query parameters."]}


def test_only_the_first_unknown_parameters_get_a_suggestion() -> None:
    with pytest.raises(Problem) as caught:
        decode_query("&".join(f"brand{number}=A" for number in range(150)).encode(), Search)
    messages = [message for (message,) in (caught.value.errors or {}).values()]
    assert messages == ["Unknown parameter. Did you mean brand?"] * 10 + ["Unknown parameter."] * 90
