"""Languages: choice, catalogues and formats."""

import re
from datetime import UTC, datetime
from io import BytesIO

import pytest
from babel.messages.pofile import read_po

from adapters.web.framework.catalogues import update
from adapters.web.framework.languages import CATALOGUES, choose, load
from adapters.web.framework.templates import environment

PLACEHOLDER = re.compile(r"%\(\w+\)s|%%")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.5, ru;q=0.9", "ru"),
        ("de-DE,de;q=0.9", "en"),
        ("ru;q=0", "en"),
        ("ru;q=x", "en"),
        ("*", "en"),
        (",;,", "en"),
    ],
)
def test_the_best_language_of_the_header_is_chosen(header: str, code: str) -> None:
    assert choose(None, header).code == code


def test_the_reader_s_choice_comes_first() -> None:
    assert choose("ru", "en").code == "ru"
    assert choose("xx", "ru").code == "ru"


@pytest.mark.parametrize("section", sorted(update("ru")))
def test_catalogues_are_complete_and_up_to_date(section: str) -> None:
    current = update("ru")[section]
    stored = CATALOGUES / "ru" / f"{section}.po"
    assert stored.exists(), "run `python -m adapters.web.framework.catalogues`"
    assert stored.read_bytes() == current, "run `python -m adapters.web.framework.catalogues`"
    for message in read_po(BytesIO(current), locale="ru"):
        if message.id:
            sources = [message.id] if isinstance(message.id, str) else list(message.id)
            texts = [message.string] if isinstance(message.string, str) else list(message.string or ())
            assert texts, f"{message.id!r} has no translation"
            assert all(texts), f"{message.id!r} has no translation"
            used = {name for source in sources for name in PLACEHOLDER.findall(source)}
            for text in texts:
                # The form for one may spell the number.
                assert set(PLACEHOLDER.findall(text)) <= used, text
            assert set(PLACEHOLDER.findall(texts[-1])) == used, texts


def test_a_message_has_the_same_translation_in_all_catalogues() -> None:
    """All sections share one table of messages: give a second meaning a context (`pgettext`)."""
    found: dict[tuple[str | None, str], dict[str, str]] = {}
    for path in sorted((CATALOGUES / "ru").glob("*.po")):
        for message in read_po(BytesIO(path.read_bytes()), locale="ru"):
            source = message.id if isinstance(message.id, str) else message.id[0]
            found.setdefault((message.context, source), {})[path.stem] = str(message.string)
    assert not {source: texts for (_, source), texts in found.items() if source and len(set(texts.values())) > 1}


def test_there_is_no_catalogue_without_messages() -> None:
    assert {path.stem for path in (CATALOGUES / "ru").glob("*.po")} == set(update("ru"))


def test_amounts_and_times_have_the_formats_of_the_language() -> None:
    english, russian = load("en"), load("ru")
    assert english.money("1234.50", "USD") == "$1,234.50"
    assert russian.money("1234.50", "USD") == "1\xa0234,50\xa0$"
    assert english.money("1234", "JPY") == "¥1,234"
    assert english.percent(0.1234) == "12.3%"
    assert russian.percent(0.1234) == "12,3\xa0%"
    noon = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
    assert english.day(noon) == "May 1, 2026"
    assert english.moment("2026-05-01T14:00:00+02:00").startswith("May 1, 2026, 12:00:00")
    assert "мая" in russian.moment(noon)


@pytest.mark.parametrize(("number", "form"), [(1, 0), (2, 1), (5, 2), (11, 2), (21, 0), (22, 1), (111, 2)])
def test_russian_has_three_plural_forms(number: int, form: int) -> None:
    assert load("ru").plural_form(number) == form


@pytest.mark.parametrize(("code", "text"), [("en", "2,600 views"), ("ru", "2\xa0600 просмотров")])
def test_numbers_of_counted_things_are_grouped(code: str, text: str) -> None:
    template = environment(code, load(code)).from_string('{{ ngettext("%(num)d view", "%(num)d views", 2600) }}')
    assert template.render() == text
