"""Full text in miniature: words of products and searches, naive on purpose, as an oracle for faster ways.

The rules are those of docs/http-api.md; nothing here is shared with the adapter of PostgreSQL.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from html.entities import html5
from typing import Final

from attrs import frozen

NAME: Final = "A"
BRAND: Final = "B"
DESCRIPTION: Final = "C"


_NAMES: Final = (
    "a abbr acronym address area article aside audio b base basefont bdi bdo big blink blockquote body br button "
    "canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed "
    "fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i "
    "iframe img input ins kbd label legend li link main map mark marquee menu meta meter nav nobr noframes "
    "noscript object ol optgroup option output p param picture pre progress q rp rt ruby s samp script search "
    "section select slot small source span strike strong style sub summary sup svg table tbody td template "
    "textarea tfoot th thead time title tr track tt u ul var video wbr"
)
ELEMENTS: Final = frozenset(_NAMES.split())
_WITHIN_WORDS: Final = frozenset({"sub", "sup", "wbr"})
_FLAG_NAMES: Final = "hidden disabled checked selected nowrap noshade async defer controls loop muted autoplay"
_FLAGS: Final = frozenset(_FLAG_NAMES.split())
_ATTRIBUTE: Final = re.compile(r"""([^\s=<>"'/]+)(\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+))?""")
_TAG: Final = re.compile(rf"</?([a-zA-Z][a-zA-Z0-9]*)((?:\s+{_ATTRIBUTE.pattern})*)\s*/?>")
_REFERENCE: Final = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]*);")


def name_has_words(name: str, search: str) -> bool:
    """Whether the name has all words of the search, and there is one."""
    words = stems(search)
    found = {each for each, field in Document.of(name, "", "").stems if field == NAME}
    return bool(words) and found.issuperset(words)


def plain_text(text: str) -> str:
    """The text without HTML comments, scripts, styles and tags, and with character references replaced."""
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.DOTALL)
    for name in ("script", "style"):
        text = re.sub(rf"<{name}(\s[^>]*)?>.*?</{name}\s*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    text = re.sub(r"<!doctype[^<>]*>", " ", text, flags=re.IGNORECASE)
    return _REFERENCE.sub(_referred, _TAG.sub(_of_tag, text))


def _of_tag(tag: re.Match[str]) -> str:
    name = tag[1].lower()
    attributes = _ATTRIBUTE.findall(tag[2])
    if name not in ELEMENTS or any(not value and each.lower() not in _FLAGS for each, value in attributes):
        return tag[0]
    return "" if name in _WITHIN_WORDS else " "


def _referred(reference: re.Match[str]) -> str:
    name = reference[1]
    if name.startswith("#"):
        character = html.unescape(f"&{name};")
        return " " if character in {"", "\ufffd"} else character
    return html5.get(f"{name};", reference[0])


def folded(text: str) -> str:
    """The text in lower case, without accents and invisible characters."""
    return "".join(_unaccented(each) for each in unicodedata.normalize("NFC", text).casefold() if not _is_unseen(each))


def _is_unseen(character: str) -> bool:
    return (
        unicodedata.category(character) == "Cf"
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
        or "\ufe00" <= character <= "\ufe0f"
    )


def _unaccented(character: str) -> str:
    if character == "й":
        # й is a different letter from и, while ё is searched as е.
        return character
    decomposed = unicodedata.normalize("NFKD", character)
    return "".join(part for part in decomposed if not unicodedata.combining(part))


def vocabulary_words(text: str) -> set[str]:
    """The words of a name or brand, as suggestions show them."""
    plain = plain_text(text)
    words = re.findall(r"[^\W_]+", folded(f"{plain} {' '.join(joined_words(plain))}"))
    return {word for word in words if 2 <= len(word) <= 40}


def joined_words(text: str) -> list[str]:
    """Words with hyphens, joined: WiFi for Wi-Fi."""
    found = re.findall(r"(?<![^\W_])[^\W\d_][^\W_]*(?:[-\u2010\u2011][^\W_]+)+", text)
    return [re.sub("[-\u2010\u2011]", "", word) for word in found]


def words(text: str) -> list[str]:
    """The text with numbers in one form, and with spaces between digits and letters except in codes such as x200."""
    found: list[str] = []
    for run in re.findall(r"(?:[^\W_]|(?<=[0-9])[.,](?=[0-9]))+", folded(text)):
        found += _parts(run)
    return found


def _parts(run: str) -> list[str]:
    """The words of the text: letters and digits, with points and commas within numbers."""
    if code := re.match(r"(?!v)[^\W\d_][0-9][^\W_]*", run):
        return [code[0], *words(run[code.end() :])]
    found: list[str] = []
    for part in re.findall(r"[0-9][0-9.,]*|[^\W\d_]+", run):
        found += _number(part) if part[0].isdigit() else [part]
    return found


def _number(text: str) -> list[str]:
    if re.fullmatch(r"[1-9][0-9]{0,2}(,[0-9]{3}){1,2}(\.[0-9]+)?", text):
        text = text.replace(",", "")
    elif re.fullmatch(r"[1-9][0-9]{0,2}(\.[0-9]{3}){2}", text):
        text = text.replace(".", "")
    elif re.fullmatch(r"[1-9][0-9]{0,2}\.[0-9]{3},[0-9]{1,2}", text):
        text = text.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"[0-9]+,[0-9]+", text):
        text = text.replace(",", ".")
    elif "," in text:
        return [each for part in text.split(",") for each in _number(part)]
    return [re.sub(r"^([0-9]+)\.0{1,2}$", r"\1", text)]


@lru_cache(maxsize=10_000)
def stems(text: str) -> tuple[str, ...]:
    return tuple(_stem(word) for word in words(text))


def _stem(word: str) -> str:
    """A simple stemmer for English and Russian that maps plurals and cases to one stem."""
    endings = ("ами", "ями", "ого", "ому", "ing", "ies", "ые", "ий", "ый", "ая", "ой", "ам", "ах", "ов", "ed", "es")
    for ending in (*endings, "ь", "ы", "и", "а", "я", "у", "ю", "е", "о", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


@frozen
class Document:
    """The stems of a product in order, each with its field."""

    stems: Sequence[tuple[str, str]]

    @classmethod
    @lru_cache(maxsize=10_000)
    def of(cls, name: str, brand: str, description: str) -> "Document":
        fields = [(NAME, plain_text(name)), (BRAND, plain_text(brand)), (DESCRIPTION, plain_text(description))]
        found = [(stem, field) for field, text in fields for stem in stems(text)]
        found += [(stem, field) for field, text in fields for stem in stems(" ".join(joined_words(text)))]
        return cls(found)

    def holds(self, text: str, fields: str = NAME + BRAND + DESCRIPTION) -> bool:
        """Whether the stems of `phrase` follow each other in these fields."""
        phrase = stems(text)
        return any(
            all(
                stem == wanted and field in fields
                for (stem, field), wanted in zip(self.stems[i : i + len(phrase)], phrase, strict=True)
            )
            for i in range(len(self.stems) - len(phrase) + 1)
        )
