"""The search language: words, "phrases" and -exclusions; and the correction of words that no product has."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from scalecommerce_core.domain.spelling import KnownWord, completions, correction
from scalecommerce_core.domain.text import normal_line
from scalecommerce_core.domain.word_forms import MAX_FORMS, forms_of

MAX_TERMS: Final = 16
"""Terms of a search; the rest of the text is ignored."""
MAX_FORMS_OF_ALL_TERMS: Final = 48
"""Forms of words that a search looks for. With more than six terms, each has fewer forms than `MAX_FORMS`."""
_TERM: Final = re.compile(r'(-?)"([^"]*)(?:"|$)|(\S+)')
_WORDS: Final = re.compile(r"[^\W_]+")
_HYPHENS: Final = "-\u2010\u2011"
_HYPHENATED: Final = re.compile(rf"[\W_]*([^\W\d_][^\W_]*(?:[{_HYPHENS}][^\W_]+)+)[\W_]*")
"""A hyphenated word, with punctuation around it."""


@frozen
class Term:
    """A word or phrase that products must have, or must not have (`is_excluded`).

    `replacements` holds words to search for instead, any of them: corrections of the word or its completions. Of each
    text, the first `max_forms` forms are searched for.
    """

    text: str
    is_phrase: bool = False
    is_excluded: bool = False
    replacements: tuple[str, ...] = ()
    max_forms: int = MAX_FORMS

    @property
    def word(self) -> str | None:
        """The word, if the term is a single word that may be corrected; None for phrases and exclusions."""
        words = _WORDS.findall(self.text)
        return words[0] if len(words) == 1 and not self.is_phrase and not self.is_excluded else None

    @property
    def word_forms(self) -> tuple[str, ...]:
        """The word and its other forms if the term is a single word; otherwise empty."""
        return () if self.word is None else forms_of(self.word)

    @property
    def forms(self) -> tuple[str, ...]:
        """Texts that match the term, with as many words as it has: the term itself and its other forms."""
        texts = self.replacements or (self.text,)
        return tuple(dict.fromkeys(form for text in texts for form in forms_of(text)[: self.max_forms]))

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that match the term: its forms, and a hyphenated word without its hyphens.

        Products are indexed with hyphenated words both ways, so that wifi finds Wi-Fi.
        """
        if self.replacements or self.is_phrase or not (hyphenated := _HYPHENATED.fullmatch(self.text)):
            return self.forms
        return *self.forms, re.sub(f"[{_HYPHENS}]", "", hyphenated[1])

    def __str__(self) -> str:
        text = f'"{self.text}"' if self.is_phrase else self.text
        return f"-{text}" if self.is_excluded else self.replacements[0] if self.replacements else text


@frozen
class SearchText:
    """A search as a sequence of terms."""

    terms: tuple[Term, ...]

    @property
    def required(self) -> tuple[Term, ...]:
        """The terms that products must have."""
        return tuple(term for term in self.terms if not term.is_excluded)

    @property
    def excluded(self) -> tuple[Term, ...]:
        """The terms that products must not have."""
        return tuple(term for term in self.terms if term.is_excluded)

    @property
    def is_single_word(self) -> bool:
        """Whether the search is for one word in all of its forms, and for nothing else."""
        return len(self.terms) == 1 and bool(forms := self.terms[0].word_forms) and {*forms} <= {*self.terms[0].texts}

    def with_replacements(self, meant: Mapping[int, Sequence[str]]) -> "SearchText":
        """The search with replacements for the terms at these positions."""
        return SearchText(
            tuple(evolve(term, replacements=tuple(meant.get(place, ()))) for place, term in enumerate(self.terms))
        )

    @property
    def corrections(self) -> str:
        """The replacements as a text for `with_corrections`; empty if there are none."""
        return ";".join(
            f"{place}={','.join(term.replacements)}" for place, term in enumerate(self.terms) if term.replacements
        )

    def with_corrections(self, reading: str) -> "SearchText":
        """The search with the replacements that `corrections` returned as a text."""
        meant = {}
        for part in filter(None, reading.split(";")):
            place, _, words = part.partition("=")
            meant[int(place)] = words.split(",")
        return self.with_replacements(meant)

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))


def parse_search(search: str) -> SearchText:
    """Parse a search. Never fails: parts without a letter or digit are ignored."""
    terms = []
    # In the normal form, because an isolated mark would end a word, and an invisible character would split one.
    for minus, phrase, token in _TERM.findall(normal_line(search)):
        text, is_phrase, is_excluded = (phrase, True, bool(minus)) if not token else (token, False, False)
        if token.startswith("-"):
            text, is_excluded = token.lstrip("-"), True
        if _WORDS.search(text):
            terms.append(Term(text, is_phrase, is_excluded))
        if len(terms) == MAX_TERMS:
            break
    max_forms = max(1, MAX_FORMS_OF_ALL_TERMS // max(1, len(terms)))
    return SearchText(tuple(evolve(term, max_forms=min(max_forms, MAX_FORMS)) for term in terms))


MAX_UNKNOWN_WORDS: Final = 8
"""A search with more unknown words than this is not corrected."""
FEW_MATCHES: Final = 3
"""If fewer products match, the search looks for more frequent words to suggest."""
FREQUENCY_RATIO: Final = 20
"""A more frequent word must occur in at least this many times as many products as the rare word."""


def corrected_search(
    text: SearchText, unknown: Mapping[int, str], known: Callable[[str], Iterable[KnownWord]]
) -> SearchText | None:
    """The search with its unknown words replaced; None if a word has no correction.

    `unknown` holds the unknown words (folded) by position. The last word may also be completed, because it may be the
    beginning of a word that is still being typed.
    """
    if not 0 < len(unknown) <= MAX_UNKNOWN_WORDS:
        return None
    meant: dict[int, Sequence[str]] = {}
    for place, word in unknown.items():
        words = list(known(word))
        found: Sequence[str] = completions(word, words) if place == len(text.terms) - 1 else ()
        if not found:
            corrected = correction(word, words)
            if corrected is None:
                return None
            found = [corrected]
        meant[place] = found
    return text.with_replacements(meant)


def suggestion(meant: SearchText, words: Collection[tuple[int, str]]) -> str | None:
    """`did_you_mean`: the corrected search as text; None if no word was corrected or only the last one completed."""
    last = len(meant.terms) - 1
    corrected = [
        place for place, word in words if place != last or not meant.terms[place].replacements[0].startswith(word)
    ]
    return str(meant) if corrected else None


def more_frequent_search(
    text: SearchText, rare: Mapping[int, tuple[str, int]], known: Callable[[str], Iterable[KnownWord]]
) -> SearchText | None:
    """The search with its rare words replaced by much more frequent ones; None if there are none.

    `rare` holds, by position, the folded word and how many products have it.
    """
    meant = {
        place: [found]
        for place, (word, products) in rare.items()
        if (found := correction(word, known(word), times=FREQUENCY_RATIO * max(products, 1))) is not None
    }
    return text.with_replacements(meant) if meant else None
