"""Spelling correction: what counts as a typo, and which known word replaces an unknown one.

A typo is one letter too many, too few or wrong, or two neighbouring letters swapped. Words of three letters and more
may have one; words of eight and more may have two, if the words are similar (`MIN_SIMILARITY`).
"""

from collections.abc import Iterable
from typing import Final

from attrs import frozen

MIN_WORD_LENGTH: Final = 3
"""Shorter words are neither corrected nor suggested."""
TWO_TYPOS_LENGTH: Final = 8
"""Words of this length may have two typos."""
MIN_SIMILARITY: Final = 0.3
"""Least share of common trigrams of two words with two typos: the default threshold of pg_trgm."""
MAX_COMPLETIONS: Final = 8
"""The beginning of a word is completed to at most this many of the most frequent words."""
MIN_PREFIX_LENGTH: Final = 2
"""Shorter beginnings are not completed."""


@frozen
class KnownWord:
    """A word of names and brands, and how many active products have it."""

    word: str
    products: int


def edit_distance(first: str, second: str, at_most: int) -> int:
    """Number of typos between two words (optimal string alignment distance); `at_most` + 1 if there are more.

    >>> edit_distance("taepot", "teapot", 2), edit_distance("tea", "toe", 1)
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
    """Share of common trigrams of two words, computed as by pg_trgm."""
    ours, theirs = _trigrams(first), _trigrams(second)
    return len(ours & theirs) / len(ours | theirs)


def can_be_corrected(word: str) -> bool:
    """Whether a word is long enough and has no digits: "iPhone 15" is not a misspelt "iPhone 14"."""
    return len(word) >= MIN_WORD_LENGTH and not any(letter.isdigit() for letter in word)


def correction(word: str, known: Iterable[KnownWord], *, times: int = 1) -> str | None:
    """The known word with the fewest typos, of these the most frequent; only words in at least `times` products."""
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
    """The most frequent known words that begin with `beginning`."""
    if len(beginning) < MIN_PREFIX_LENGTH:
        return ()
    found = sorted(
        (-each.products, each.word) for each in known if each.products > 0 and each.word.startswith(beginning)
    )
    return tuple(word for _, word in found[:MAX_COMPLETIONS])


def _trigrams(word: str) -> set[str]:
    padded = f"  {word} "
    return {padded[place : place + 3] for place in range(len(padded) - 2)}
