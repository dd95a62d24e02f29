"""Which new passwords are too easy to guess."""

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from functools import cache
from typing import Final

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 128
"""Far above any real password; bounds the work that a request can cause."""

MAX_SIMILARITY: Final = 0.7
"""How alike (1: the same characters) a password and a personal word may not be."""

SEQUENCES: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
"""Runs along the alphabet or a keyboard, either way, are no passwords."""


def complaints(password: str, *, about: Iterable[str] = ()) -> list[str]:
    """What is wrong with a new password, as sentences; `about` holds the owner's e-mail address and names."""
    if len(password) > MAX_LENGTH:
        return [f"At most {MAX_LENGTH} characters are allowed."]
    said = []
    if len(password) < MIN_LENGTH:
        said.append(f"At least {MIN_LENGTH} characters are wanted.")
    if password.isdigit():
        said.append("A password must not be only digits.")
    if _is_common(password.casefold()):
        said.append("This password is too common.")
    if _is_close_to(password.casefold(), about):
        said.append("This password is too close to the e-mail address or a name.")
    return said


def _is_common(password: str) -> bool:
    return (
        password in _common_passwords()
        or _repeats(password)
        or any(_follows_sequence(row, password) for row in SEQUENCES)
    )


def _repeats(password: str) -> bool:
    """`aaaaaaaa`, `abcabcabc`: up to four characters, again and again."""
    return re.fullmatch(r"(.{1,4}?)\1+", password, re.DOTALL) is not None and len(password) >= MIN_LENGTH


def _follows_sequence(row: str, password: str) -> bool:
    return len(password) >= MIN_LENGTH and (password in row or password[::-1] in row)


def _is_close_to(password: str, about: Iterable[str]) -> bool:
    return any(
        SequenceMatcher(a=password, b=word).quick_ratio() >= MAX_SIMILARITY
        for word in _personal_words(about)
        # Words of very different length cannot be close; a short name inside a long password is no harm.
        if len(password) < 10 * len(word)
    )


def _personal_words(about: Iterable[str]) -> Iterator[str]:
    """Each text and its parts: `ann.lee@example.com`, `ann`, `lee`, `example`, `com`."""
    for text in about:
        folded = text.casefold()[:MAX_LENGTH]
        for word in dict.fromkeys([folded, *re.split(r"\W+", folded)]):
            if len(word) >= 3:
                yield word


@cache
def _common_passwords() -> frozenset[str]:
    # Imported late: 45 ms and some megabytes that only sign-ups need.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_LENGTH)
