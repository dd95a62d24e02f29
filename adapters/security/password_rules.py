"""Rules for new passwords: length, common passwords, similarity to personal data, and the number of guesses."""

import re
from collections.abc import Collection, Iterable, Iterator
from difflib import SequenceMatcher
from functools import cache
from typing import Final

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 128
"""Bounds the hashing work per request; far above the length of real passwords."""

SERVICE_NAME: Final = "scalecommerce"

MAX_SIMILARITY: Final = 0.7
"""A password this similar to a personal word, or more, is refused (`SequenceMatcher.quick_ratio`, from 0 to 1)."""

SEQUENCES: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
"""Passwords that follow the alphabet or a keyboard row, forwards or backwards, are refused."""

MIN_GUESSES: Final = 10**8
"""A password that zxcvbn expects to be found within fewer guesses is refused, such as a common password or a name with
changed case, look-alike characters or added digits (`Passw0rd!`, `Summer2024!`). Eight random characters pass."""

MAX_ESTIMATED: Final = 24
"""Only this many characters are estimated: the time grows with the square of the length (24 characters: 6 ms)."""
LOOK_ALIKES: Final = frozenset("4@8({[<369#1!|0$57+%2")
"""Characters that zxcvbn also reads as letters; each further one multiplies the readings that it tries."""
MAX_LOOK_ALIKES: Final = 6
MAX_ESTIMATED_LOOK_ALIKES: Final = 12
"""Characters that are estimated of a password with more than `MAX_LOOK_ALIKES` different look-alike characters."""


def find_violations(password: str, *, about: Collection[str] = ()) -> list[str]:
    """Return one sentence per violated rule; `about` holds the owner's e-mail address and names."""
    if len(password) > MAX_LENGTH:
        return [f"At most {MAX_LENGTH} characters are allowed."]
    violations = []
    if len(password) < MIN_LENGTH:
        violations.append(f"At least {MIN_LENGTH} characters are required.")
    if password.isdigit():
        violations.append("A password must not be only digits.")
    if _is_common(password.casefold()):
        violations.append("This password is too common.")
    if _is_similar_to(password.casefold(), about):
        violations.append("This password is too similar to the e-mail address or a name.")
    if not violations and _estimate_guesses(password, about) < MIN_GUESSES:
        violations.append(
            "This password is easy to guess, also with changed letters or added digits and punctuation: use several"
            " words that do not belong together."
        )
    return violations


def _is_common(password: str) -> bool:
    return (
        password in _common_passwords()
        or _repeats(password)
        or any(_follows_sequence(row, password) for row in SEQUENCES)
    )


def _repeats(password: str) -> bool:
    """Whether it repeats up to four characters: `aaaaaaaa`, `abcabcabc`."""
    return re.fullmatch(r"(.{1,4}?)\1+", password, re.DOTALL) is not None and len(password) >= MIN_LENGTH


def _follows_sequence(row: str, password: str) -> bool:
    return len(password) >= MIN_LENGTH and (password in row or password[::-1] in row)


def _is_similar_to(password: str, about: Collection[str]) -> bool:
    return any(
        SequenceMatcher(a=password, b=word).quick_ratio() >= MAX_SIMILARITY
        for word in _personal_words(about)
        # A short name inside a long password is allowed; this also skips the comparison.
        if len(password) < 10 * len(word)
    )


def _personal_words(about: Iterable[str]) -> Iterator[str]:
    """Yield each text and its words of three or more letters: `ann.lee@example.com`, `ann`, `lee`, `example`, `com`."""
    for text in about:
        folded = text.casefold()[:MAX_LENGTH]
        for word in dict.fromkeys([folded, *re.split(r"\W+", folded)]):
            if len(word) >= 3:
                yield word


def _estimate_guesses(password: str, about: Collection[str]) -> int:
    """Return how many guesses zxcvbn expects to be necessary (D. Wheeler, USENIX Security 2016)."""
    from zxcvbn.matching import RANKED_DICTIONARIES, build_ranked_dict, omnimatch  # noqa: PLC0415 - see below
    from zxcvbn.scoring import most_guessable_match_sequence  # noqa: PLC0415

    has_many = len(LOOK_ALIKES.intersection(password)) > MAX_LOOK_ALIKES
    estimated = password[: MAX_ESTIMATED_LOOK_ALIKES if has_many else MAX_ESTIMATED]
    # Not `zxcvbn.zxcvbn`, which stores the personal words of one thread where all threads read them.
    personal = build_ranked_dict([SERVICE_NAME, *_personal_words(about)])
    matches = omnimatch(estimated, {**RANKED_DICTIONARIES, "user_inputs": personal})
    return int(most_guessable_match_sequence(estimated, matches)["guesses"])


@cache
def _common_passwords() -> frozenset[str]:
    # Imported here: it takes 45 ms and some megabytes, and only sign-ups need it.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_LENGTH)
