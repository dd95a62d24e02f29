"""Word forms that stemming does not unify, as alternatives for a search.

PostgreSQL's stemmers (Snowball) remove endings: kettles and kettle, чайники and чайником have one stem. If a form
changes the word before its ending, the stems differ: shelf and shelves, чашка and чашек. For a word of a search this
module returns the other forms of such words; the index does not contain them, so a change needs no re-indexing. It
covers:

- English plurals in -ves of nouns in -f and -fe, in -men, and the irregular nouns of `_ENGLISH`;
- Russian nouns with a fleeting о or е: a genitive plural (чашка, чашек; окно, окон), or all forms but the nominative
  (подарок, подарки; огурец, огурцы), by the rule of `_with_vowel` and `_without_vowel`; nouns in -ёнок (котёнок,
  котята) and such as магнит, whose end looks like a verb's; and the irregular nouns of `_RUSSIAN`.

The rule also makes words that do not exist. No product has them, and looking one up takes microseconds.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice, product
from typing import Final

MAX_FORMS: Final = 8
"""Most forms of a word or phrase that are searched for."""
CACHED_WORDS: Final = 10_000
"""Words whose forms are cached."""

_WORD: Final = re.compile(r"([^\W_]+)")
_PLURAL_IN_VES: Final = (
    "calf", "dwarf", "half", "hoof", "kerchief", "knife", "leaf", "life", "loaf", "scarf", "self", "sheaf", "shelf",
    "thief", "wharf", "wife", "wolf",
)  # fmt: skip
"""Nouns with a plural in -ves; a compound such as bookshelf may end in one of them."""
_ENGLISH: Final = (
    ("antenna", "antennae"), ("analysis", "analyses"), ("bacterium", "bacteria"), ("bus", "buses"),
    ("cactus", "cacti"), ("canvas", "canvases"), ("child", "children"), ("criterion", "criteria"), ("elf", "elves"),
    ("foot", "feet"), ("fungus", "fungi"), ("gas", "gases"), ("goose", "geese"), ("index", "indices"),
    ("larva", "larvae"), ("lens", "lenses"), ("louse", "lice"), ("matrix", "matrices"), ("mouse", "mice"),
    ("ox", "oxen"), ("penny", "pence"), ("person", "people"), ("quiz", "quizzes"), ("radius", "radii"),
    ("tooth", "teeth"), ("vertebra", "vertebrae"), ("vertex", "vertices"),
)  # fmt: skip
_RUSSIAN: Final = (
    ("ребенок", "ребенка", "дети", "детей"), ("человек", "люди"), ("яйцо", "яиц"), ("ухо", "уши"),
    ("семя", "семена", "семян"), ("время", "времена", "времени"), ("имя", "имена"), ("дерево", "деревья"),
    ("друг", "друзья"), ("лист", "листья"), ("стул", "стулья"), ("перо", "перья"), ("крыло", "крылья"),
    ("щенок", "щенята"),
)  # fmt: skip
_GROUPS: Final = {word: group for group in (*_ENGLISH, *_RUSSIAN) for word in group}

_VOWELS: Final = frozenset("аеиоуыэюя")
_SOFT_SIGNS: Final = frozenset("ьй")
_HUSHING: Final = frozenset("жчшщц")
_FLEETING_BEFORE: Final = frozenset("кцнлрвмг")
"""The consonants after a fleeting vowel."""
_ENDINGS: Final = (
    "ами", "ями", "ах", "ях", "ам", "ям", "ой", "ою", "ей", "ею", "ом", "ем", "ов", "ев", "а", "я", "о", "е", "ы", "и",
    "у", "ю", "ь",
)  # fmt: skip
"""Endings of nouns, longest first."""
_VERB_ENDINGS: Final = ("ал", "ял", "ан", "ян", "ил", "ыл", "ен", "ит", "ят", "ыт", "им", "ем", "ом")
_SHORTEST_BASE: Final = 3
_YOUNG: Final = ("онок", "енок"), ("ата", "ята")


def forms_of(text: str) -> tuple[str, ...]:
    """The forms to search for, the given text first.

    >>> forms_of("shelves")
    ('shelves', 'shelf')
    """
    # Words are at odd positions, separators at even ones.
    parts = [_word_forms(part) if place % 2 else (part,) for place, part in enumerate(_WORD.split(text))]
    return tuple(islice(map("".join, product(*parts)), MAX_FORMS))


@lru_cache(CACHED_WORDS)
def _word_forms(word: str) -> tuple[str, ...]:
    folded = word.casefold().replace("ё", "е")
    if not folded.isalpha():
        return (word,)
    if folded in _GROUPS:
        others: Iterator[str] = iter(_GROUPS[folded])
    else:
        others = _english(folded) if folded.isascii() else _russian(folded)
    return word, *dict.fromkeys(other for other in others if other != folded)


# --- English


def _english(word: str) -> Iterator[str]:
    for singular in _PLURAL_IN_VES:
        base = singular.removesuffix("e").removesuffix("f")
        if word.endswith(singular):
            yield f"{word.removesuffix(singular)}{base}ves"
        elif word.endswith(f"{base}ves"):
            yield f"{word.removesuffix(f'{base}ves')}{singular}"
    if len(word) > 2 and word.endswith("man"):
        yield f"{word[:-3]}men"
    elif len(word) > 2 and word.endswith("men"):
        yield f"{word[:-3]}man"


# --- Russian


def _russian(word: str) -> Iterator[str]:
    for one, many in zip(_YOUNG[0], _YOUNG[1], strict=True):
        if word.endswith(one):
            yield f"{word.removesuffix(one)}{many}"
        elif word.endswith(many):
            yield f"{word.removesuffix(many)}{one}"
    yield from _without_vowel(word)
    base = next((word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)), word)
    if base != word:
        yield from _with_vowel(base)
    yield from _like_verbs(word)
    yield from _like_verbs(base)


def _without_vowel(word: str) -> Iterator[str]:
    """The forms without a fleeting vowel of a form with one: чашек, чашка; маек, майка; писем, письма."""
    word = word.removesuffix("ь")
    base, vowel, last = word[:-2], word[-2:-1], word[-1:]
    if vowel not in {"о", "е"} or last not in _FLEETING_BEFORE or not _VOWELS & set(base):
        return
    if base[-1] in _VOWELS:
        if vowel == "е":
            yield f"{base}й{last}а"
        return
    yield f"{base}{last}а"
    if vowel == "е" and base[-1] not in _HUSHING:
        yield f"{base}ь{last}а"


def _with_vowel(base: str) -> Iterator[str]:
    """The forms with a fleeting vowel of a base without one: чашк, чашек; майк, маек; письм, писем."""
    if len(base) < _SHORTEST_BASE or base[-1] not in _FLEETING_BEFORE or base[-2] in _VOWELS:
        return
    before, last = base[:-1], base[-1]
    if not _VOWELS & set(before):
        return
    if before[-1] in _SOFT_SIGNS:
        yield f"{before[:-1]}е{last}"
    elif last == "ц":
        yield f"{before}е{last}"
    elif last in {"к", "г"}:
        yield f"{before}о{last}"
        if before[-1] in _HUSHING:
            yield f"{before}е{last}"
    else:
        yield f"{before}е{last}"
        yield f"{before}о{last}"
        if last == "н":
            # The stemmer keeps the е of ремень, but removes the ен of песен as an ending.
            yield f"{before}ень"


def _like_verbs(base: str) -> Iterator[str]:
    """Forms of a noun that ends like a verb, which the stemmer therefore stems in two ways: магнит, магнитом; альбом,
    альбомы.
    """
    if len(base) > _SHORTEST_BASE and base.endswith(_VERB_ENDINGS):
        yield base
        # The base with one of these endings does not end like a verb or an adjective.
        yield f"{base}ы" if base.endswith("м") else f"{base}у"
