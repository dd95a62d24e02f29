"""Messages of the HTTP API in the reader's language.

The messages of the API are in English: `Order 7 is being paid: read it again in a moment.` The catalogue `api` has the
translation of each message as a template, `Order {order_id} is being paid: read it again in a moment.`
(`framework.message_sources` reads the templates from the source code). A message is recognized by the literal texts of
its template, its parameters are put into the translation. A translation may choose the form of a word by a number:
`{count} {count:строка|строки|строк}`.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, Protocol

from attrs import field, frozen

logger = logging.getLogger(__name__)

MAX_LENGTH: Final = 5_000
"""Characters. Longer texts are not translated."""
MAX_SENTENCES: Final = 40
"""Further sentences of a text are not translated."""
MAX_DEPTH: Final = 3
"""Messages within messages."""
INDEX_LENGTH: Final = 4
"""Characters at the beginning of templates, by which they are looked up."""
MAX_MESSAGE_SENTENCES: Final = 4
"""Sentences of one message, unless it extends to the end of the text."""
CACHE_SIZE: Final = 2_000
"""Translations that are kept."""
MAX_DIGITS: Final = 15
"""Digits of a number that is formatted. A longer one is a reader's text, which may exceed the limits of arithmetic."""
_PLACEHOLDER: Final = re.compile(r"\{(\w*)\}")
_SENTENCE_END: Final = re.compile(r"(?<=[.?!]) +(?=\S)")
_EXCEPTION_NAME: Final = re.compile(r"[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit)\b")
"""The name of an exception, before a text that is not the API's own."""
_AMOUNT: Final = re.compile(rf"(-?\d{{1,{MAX_DIGITS}}}(?:\.\d{{1,4}})?) ([A-Z]{{3}})", re.ASCII)
_GROUPED: Final = re.compile(r"-?\d{1,3}(?:,\d{3}){1,4}", re.ASCII)
_PERCENT: Final = re.compile(r"([+-]?\d+(?:\.\d+)?)%")
_SEPARATORS: Final = ((" or ", " или "), (" and ", " и "), (", ", ", "))


class Formats(Protocol):
    """The formats of the reader's language (`languages.Language`)."""

    plural_form: Callable[[int], int]

    def money(self, amount: str | Decimal, currency: str) -> str: ...

    def number(self, value: float | Decimal) -> str: ...


@frozen
class Template:
    """An English template with its translation."""

    translation: str
    names: Sequence[str]
    literals: Sequence[str]
    """The texts before, between and after the placeholders."""
    sentences: int
    weight: int = field(init=False)
    """Letters that are fixed: of several templates that fit, the one with the most applies, but one that begins with
    a placeholder only if no other fits.
    """

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "weight", sum(map(len, self.literals)))

    @classmethod
    def of(cls, source: str, translation: str) -> "Template":
        parts = _PLACEHOLDER.split(source)
        return cls(translation, parts[1::2], parts[::2], len(_SENTENCE_END.split(source)))

    def match(self, text: str) -> Mapping[str, str] | None:
        """The values of the placeholders; None for a text of another template. Takes a time linear in the text."""
        first, *middle, last = self.literals
        if not text.startswith(first) or not text.endswith(last) or len(text) < self.weight + len(self.names):
            return None
        values, begin, end = [], len(first), len(text) - len(last)
        for literal in middle:
            # Each placeholder stands for a character at least.
            at = text.find(literal, begin + 1, end)
            if at < 0:
                return None
            values.append(text[begin:at])
            begin = at + len(literal)
        if begin >= end:
            return None
        return dict(zip(self.names, [*values, text[begin:end]], strict=True))


class ApiMessages:
    """The messages of one language."""

    def __init__(self, translations: Mapping[str, str], formats: Formats) -> None:
        """`translations` are those of English texts and templates; without any, messages stay as they are."""
        self._formats = formats
        self._texts = {source: text for source, text in translations.items() if not _PLACEHOLDER.search(source)}
        templates = [Template.of(source, text) for source, text in translations.items() if source not in self._texts]
        templates.sort(key=lambda each: (not each.literals[0], -each.weight))
        self._by_beginning: dict[str, list[Template]] = {}
        for template in templates:
            begin = template.literals[0][:INDEX_LENGTH]
            self._by_beginning.setdefault(begin if len(begin) == INDEX_LENGTH else "", []).append(template)
        self._is_source = not translations
        self.translate = lru_cache(CACHE_SIZE)(self._translate)

    def _translate(self, text: str, depth: int = 0) -> str:
        """A message, or several in one text, in the language. An unknown one stays English and is logged."""
        if self._is_source or not text or len(text) > MAX_LENGTH:
            return text
        sentences = _SENTENCE_END.split(text.strip(), MAX_SENTENCES)
        rest = sentences[MAX_SENTENCES:]
        del sentences[MAX_SENTENCES:]
        translated: list[str] = []
        at = 0
        while at < len(sentences):
            count, found = self._first_message(sentences[at:], depth)
            if found is None and not _EXCEPTION_NAME.match(sentences[at]):
                logger.info("a message of the API has no translation: %r", sentences[at])
            translated.append(sentences[at] if found is None else found)
            at += count
        return " ".join([*translated, *rest])

    def _first_message(self, sentences: Sequence[str], depth: int) -> tuple[int, str | None]:
        """How many sentences the first message has, and its translation; None for an unknown one."""
        counts = range(min(MAX_MESSAGE_SENTENCES, len(sentences)), 0, -1)
        for count in counts:
            found = self.find(" ".join(sentences[:count]), depth, sentences=count)
            if found is not None:
                return count, found
        # A parameter contains sentences.
        for count in dict.fromkeys([*reversed(counts), len(sentences)]):
            found = self.find(" ".join(sentences[:count]), depth)
            if found is not None:
                return count, found
        return 1, None

    def find(self, text: str, depth: int = 0, *, sentences: int | None = None) -> str | None:
        """The translation of one message; None if no template, or none of so many sentences, fits. `depth` messages
        contain it.
        """
        if text in self._texts:
            return self._texts[text]
        candidates: list[Template] = [*self._by_beginning.get(text[:INDEX_LENGTH], []), *self._by_beginning.get("", [])]
        for template in candidates:
            values = template.match(text) if sentences in {None, template.sentences} else None
            if values is not None:
                formatted = {
                    name: _Value(self._value(value, depth + 1), self._formats) for name, value in values.items()
                }
                return template.translation.format_map(formatted)
        return None

    def _value(self, value: str, depth: int) -> str:
        """The value of a placeholder: a word or a message, an amount, a list of these, or anything else."""
        formats = self._formats
        if (amount := _AMOUNT.fullmatch(value)) is not None:
            return formats.money(amount[1], amount[2])
        if _GROUPED.fullmatch(value):
            return formats.number(int(value.replace(",", "")))
        if (percent := _PERCENT.fullmatch(value)) is not None:
            return f"{percent[1].replace('.', ',')}\N{NO-BREAK SPACE}%"
        if depth > MAX_DEPTH or not re.search("[A-Za-z]{2}", value):
            return value
        if _SENTENCE_END.search(value) and (found := self._first_message(_SENTENCE_END.split(value, 1), depth)[1]):
            return self._translate(value, depth)
        found = self.find(value, depth)
        return found or self._list(value) or value

    def _list(self, value: str) -> str | None:
        """A list of known words; None if one of them is unknown."""
        for separator, translation in _SEPARATORS:
            if separator in value:
                words = [self._texts.get(word) or self._list(word) for word in value.split(separator)]
                return None if None in words else translation.join(filter(None, words))
        return None


@frozen
class _Value:
    """The value of a placeholder. A format such as `строка|строки|строк` chooses a word by the number."""

    text: str
    formats: Formats

    def __format__(self, spec: str) -> str:
        if "|" not in spec:
            return self.text
        forms = spec.split("|")
        # The plural form depends on the last digits.
        digits = re.sub("[^0-9]", "", self.text)[-MAX_DIGITS:]
        return forms[min(self.formats.plural_form(int(digits or 0)), len(forms) - 1)]


def placeholders(template: str) -> Iterator[str]:
    """The names of the placeholders of a template or of a translation, with those that only choose a form."""
    for match in re.finditer(r"\{(\w*)(?::[^}]*)?\}", template):
        yield match[1]
