"""Which word was meant: what counts as a typo, and which of the words that come into question is taken.

One typo is a letter too many, too few, another one, or two neighbours that have changed places. Words of three letters
and more may have one. Words of eight and more may have two, if they still look alike: see `LOOKS_ALIKE`.
"""

from collections.abc import Iterable
from typing import Final

from attrs import frozen

MIN_WORD_LENGTH: Final = 3
"""Words of fewer letters are neither corrected nor suggested."""
TWO_TYPOS_LENGTH: Final = 8
MIN_SIMILARITY: Final = 0.3
"""The share of trigrams that two words with two typos have in common: pg_trgm's default threshold."""
MAX_COMPLETIONS: Final = 8
"""The beginning of a word stands for so many of the most frequent words that begin so."""
MIN_PREFIX_LENGTH: Final = 2


@frozen
class KnownWord:
    """A word of the catalogue's names and brands, and how many active products have it."""

    word: str
    products: int


def edit_distance(first: str, second: str, at_most: int) -> int:
    """Typos between two words (optimal string alignment), or `at_most` + 1 if there are more.

    >>> distance("taepot", "teapot", 2), distance("tea", "toe", 1)
    (1, 2)
    """
    if abs(len(first) - len(second)) > at_most:
        return at_most + 1
    above: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        above, row, older = row, [i], above
        for j, other in enumerate(second, 1):
            cost = min(row[-1] + 1, above[j] + 1, above[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > at_most and min(above) > at_most:
            return at_most + 1
    return min(row[-1], at_most + 1)


def similarity(first: str, second: str) -> float:
    """The share of trigrams that two words have in common, as pg_trgm counts them."""
    ours, theirs = _trigrams(first), _trigrams(second)
    return len(ours & theirs) / len(ours | theirs)


def can_be_corrected(word: str) -> bool:
    """Numbers are meant as they are: an iPhone 15 is no misspelt iPhone 14."""
    return len(word) >= MIN_WORD_LENGTH and not any(letter.isdigit() for letter in word)


def correction(word: str, known: Iterable[KnownWord], *, times: int = 1) -> str | None:
    """The word that was meant: of those with the fewest typos the most frequent, in `times` products at least."""
    if not can_be_corrected(word):
        return None
    allowed = 2 if len(word) >= TWO_TYPOS_LENGTH else 1
    best: tuple[int, int, str] | None = None
    for each in known:
        if each.products < times or each.word == word or not can_be_corrected(each.word):
            continue
        typos = edit_distance(word, each.word, allowed)
        if typos > allowed or (typos > 1 and similarity(word, each.word) < MIN_SIMILARITY):
            continue
        candidate = typos, -each.products, each.word
        best = candidate if best is None else min(best, candidate)
    return None if best is None else best[2]


def completions(beginning: str, known: Iterable[KnownWord]) -> tuple[str, ...]:
    """The most frequent words that begin so."""
    if len(beginning) < MIN_PREFIX_LENGTH:
        return ()
    found = sorted(
        (-each.products, each.word) for each in known if each.products > 0 and each.word.startswith(beginning)
    )
    return tuple(word for _, word in found[:MAX_COMPLETIONS])


def _trigrams(word: str) -> set[str]:
    padded = f"  {word} "
    return {padded[place : place + 3] for place in range(len(padded) - 2)}
