"""Messages of the API in the reader's language."""

import logging

import pytest

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.api_messages import MAX_LENGTH, MAX_SENTENCES, ApiMessages, Template, placeholders
from adapters.web.framework.languages import FIELDS, load
from adapters.web.framework.message_sources import message_templates, templates_of
from scalecommerce_core.domain.errors import (
    InsufficientStock,
    NotFound,
    PriceMoved,
    TooManyOpenOrders,
    TransitionNotAllowed,
)
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.money import NotMoney, minor_units

RUSSIAN = load("ru")


@pytest.mark.parametrize(
    ("error", "russian"),
    [
        (NotFound("product", 7), "Не найдено: товар 7."),
        (TransitionNotAllowed(7, "PAID", "be paid"), "Состояние заказа 7 — «оплачен»: оплатить его уже нельзя."),
        (PriceMoved(7, "1264.99 USD"), "Цена товара 7 теперь 1\xa0264,99\xa0$: подтвердите её и закажите снова."),
        (InsufficientStock(ProductId(7), 3, 1), "Товар 7: запрошено 3, доступно 1."),
        (TooManyOpenOrders(21), "У вас 21 открытый заказ — больше нельзя: оплатите или отмените один."),
        (TooManyOpenOrders(22), "У вас 22 открытых заказа — больше нельзя: оплатите или отмените один."),
        (TooManyOpenOrders(25), "У вас 25 открытых заказов — больше нельзя: оплатите или отмените один."),
    ],
)  # fmt: skip
def test_errors_of_the_core_are_translated_with_their_parameters(error: Exception, russian: str) -> None:
    assert RUSSIAN.translated(str(error)) == russian


def test_a_message_made_of_alternatives_is_translated() -> None:
    with pytest.raises(NotMoney) as raised:
        minor_units("1.239", "USD")
    assert RUSSIAN.translated(str(raised.value)) == (
        "В валюте USD допускается не больше 2 знаков после точки; в 1.239 их 3."
    )


def test_several_messages_in_one_text_are_translated_one_by_one() -> None:
    text = "Approved by account 5. Product 5: 3 units requested, 1 in stock. This field is required."
    assert RUSSIAN.translated(text) == (
        "Одобрено: учётная запись 5. Товар 5: Запрошено единиц: 3, в наличии: 1. Заполните это поле."
    )


def test_lists_of_known_words_are_translated() -> None:
    assert RUSSIAN.translated("This must be a whole number or null, not text.") == (
        "Здесь нужно: целое число или пусто; получено: текст."
    )


def test_english_readers_get_the_texts_of_the_api() -> None:
    text = "Order 7 is being paid: read it again in a moment."
    assert load("en").translated(text) == text


def test_an_unknown_message_stays_english_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    messages = ApiMessages({"This field is required.": "Заполните это поле."}, RUSSIAN)
    with caplog.at_level(logging.INFO):
        assert messages.translate("Nobody has said this. This field is required.") == (
            "Nobody has said this. Заполните это поле."
        )
    assert [record.args for record in caplog.records] == [("Nobody has said this.",)]
    caplog.clear()


def test_causes_that_are_exceptions_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert RUSSIAN.translated("ZeroDivisionError: division by zero") == "ZeroDivisionError: division by zero"
    assert not caplog.records


def test_texts_of_readers_stay_as_they_are_within_a_message() -> None:
    hostile = "{0.__class__} %s {" + "a" * 50
    assert RUSSIAN.translated(f"There is no category {hostile}.") == f"Категории {hostile} нет."


def test_the_rest_of_a_long_text_is_not_translated() -> None:
    assert RUSSIAN.translated("a" * (MAX_LENGTH + 1)) == "a" * (MAX_LENGTH + 1)
    text = " ".join(["This field is required."] * (MAX_SENTENCES + 2))
    said = RUSSIAN.translated(text)
    assert said.startswith("Заполните это поле. " * MAX_SENTENCES)
    assert said.count("This field is required.") == 2


def test_messages_within_messages_are_translated_to_a_limited_depth() -> None:
    said = RUSSIAN.translated("Product 1: " * 100 + "x")
    assert said.startswith("Товар 1: Товар 1: ")
    assert said.count("1: ") == 100


@pytest.mark.parametrize(
    ("number", "rest"),
    [
        ("9" * 100 + " USD", " is not a host name."),
        ("1" + ",111" * 1_000, " is not a host name."),
        ("1" * 4_500, " more products have such errors."),
    ],
    ids=["amount", "grouped digits", "count"],
)
def test_long_numbers_of_readers_stay_as_they_are(number: str, rest: str) -> None:
    translated = RUSSIAN.translated(number + rest)
    assert number in translated
    assert rest not in translated


def test_a_template_needs_a_character_for_each_placeholder() -> None:
    template = Template.of("From {low} to {high}.", "От {low} до {high}.")
    assert template.match("From 1 to 2.") == {"low": "1", "high": "2"}
    assert template.match("From  to 2.") is None
    assert template.match("From 1 to .") is None
    assert template.match("From 1 till 2.") is None


def test_each_translation_has_the_placeholders_of_its_template() -> None:
    for template in message_templates():
        translation = RUSSIAN.api_translations[template]
        assert set(placeholders(translation)) == set(placeholders(template)), translation


def test_each_template_is_recognized_by_itself() -> None:
    """No other template takes the messages of one, except for an equal translation."""
    for template in message_templates():
        values = {name: str(number) for number, name in enumerate(placeholders(template), 3)}
        message = template.format_map(values)
        own = ApiMessages({template: RUSSIAN.api_translations[template]}, RUSSIAN).find(message)
        assert RUSSIAN.translated(message) == own, template


def test_a_new_message_of_the_core_becomes_a_template() -> None:
    code = '''
"""A docstring. It is no message."""
LIMIT = 5
SAID = "This text is a constant."
def check(order, count, is_late):
    """Another docstring. It is no message either."""
    logger.warning("This is for the log only.")
    state = "is late" if is_late else f"is {order.status}"
    if count > LIMIT:
        raise Refused(f"Order {order.id} {state}: wait.")
    if count < 0:
        raise TypeError("This is for programmers.")
    errors["name"] = [f"At most {len(order.name)} and {len(order.name)} letters."]
    raise NotFound("cupboard", order.id)
'''
    assert templates_of(code) == {
        "This text is a constant.",
        "Order {id} is late: wait.",
        "Order {id} is {status}: wait.",
        "At most {name} and {name_2} letters.",
        "cupboard",
    }


def test_the_templates_include_messages_of_each_layer() -> None:
    templates = set(message_templates())
    assert {
        "This field is required.",
        "There is no {kind} {key}.",
        "This password is too common.",
        "Somebody stopped the pricing of all sellers.",
        "Must be between {low} and {high}.",
        "Line {first} has the same sku.",
        "Smaller relative changes are not made.",
    } <= templates
    assert not [template for template in templates if "SELECT" in template]


def test_a_problem_names_fields_in_the_reader_s_language() -> None:
    errors = {"order_item[0].quantity": ["This field is required."], "unheard_of": ["This must not be blank."]}
    document = {"detail": "…", "errors": errors}
    assert ApiProblem(400, document, {}, RUSSIAN).detail == (
        "Количество: Заполните это поле. unheard_of: Заполните это поле."
    )
    assert ApiProblem(400, document, {}, load("en")).detail == (
        "order_item[0].quantity: This field is required. unheard_of: This must not be blank."
    )


def test_each_field_has_a_russian_name() -> None:
    assert all(RUSSIAN.field_name(name) != name for name in FIELDS)
