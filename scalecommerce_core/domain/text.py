"""The normal form in which text fields are stored and compared, and what they may contain.

`normal_line` and `normal_text` compute that form. Aggregates apply them to the texts they store, filters and look-ups
to the texts they compare, so that texts that look the same compare equal:

- Unicode normalization form C (UAX #15);
- no control characters and no default-ignorable code points (Unicode's `Default_Ignorable_Code_Point`: zero-width
  spaces, soft hyphens, directional marks, fillers), except those that change the rendering: ZERO WIDTH JOINER and
  NON-JOINER in Indic, Arabic and Persian words, ZERO WIDTH JOINER and tags in emoji sequences, and variation
  selectors after a character that has variants (emoji, ideographs, Mongolian);
- no whitespace at either end;
- `normal_line`: any run of whitespace (line breaks, tabs, no-break spaces) is one space;
- `normal_text`: every line break is a line feed, and whitespace within lines is kept.

NUL, lone surrogates and long runs of combining marks are kept, so that `text_errors` refuses them.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from scalecommerce_core.domain.errors import Invalid, MarketError

NAME_LENGTH = 100
BRAND_LENGTH = 100
DESCRIPTION_LENGTH = 10_000
BIO_LENGTH = 1_000
SKU_LENGTH = 64
REASON_LENGTH = 500
CAUSE_LENGTH = 255
_SURROGATE = re.compile("[\ud800-\udfff]")

# --- the normal form

ZWNJ: Final = "\u200c"
ZWJ: Final = "\u200d"
DEFAULT_IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt), as the inside of a character class."""
# Control characters that are neither NUL nor whitespace, and interlinear annotation characters.
_INVISIBLE: Final = re.compile(f"[\x01-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufff9-\ufffb{DEFAULT_IGNORABLE}]")
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_FLAG: Final = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
"""The flag of a region: WAVING BLACK FLAG and tag characters."""
_EMOJI_SELECTORS: Final = "\ufe0e\ufe0f"
_VIRAMA: Final = 9
"""Canonical combining class of viramas."""
MAX_COMBINING_MARKS: Final = 30
"""The longest run of combining marks that is accepted, as in the Stream-Safe Text Format (UAX #15, section 13)."""
_FIRST_MARK: Final = "\u0300"
_DECOMPOSED_MARKS: Final = "\u0f73\u0f75\u0f81"
"""Tibetan vowel signs of combining class 0 that normalization decomposes into two marks."""


def normal_line(value: str) -> str:
    r"""The normal form of a text of one line.

    >>> normal_line(" T1\u200b\n")
    'T1'
    """
    if value.isascii() and value.isprintable():
        return value if "  " not in value and value[:1] != " " and value[-1:] != " " else " ".join(value.split())
    return " ".join(_without_invisible(value).split())


def normal_text(value: str) -> str:
    """The normal form of a text that may have several lines."""
    if value.isascii() and value.isprintable():
        return value.strip()
    return _without_invisible(_LINE_BREAK.sub("\n", value)).strip()


def canonical(value: str) -> str:
    """Normalization form C; the unchanged value if `text_errors` refuses it for a long run of combining marks.

    Normalization takes time quadratic in the length of such a run.
    """
    return value if has_long_run(value) else unicodedata.normalize("NFC", value)


def has_long_run(value: str) -> bool:
    """Whether more than `MAX_COMBINING_MARKS` combining marks are in one run."""
    if value.isascii():
        return False
    # Every longer run contains one of these positions, so most characters need not be tested.
    for place in range(MAX_COMBINING_MARKS, len(value), MAX_COMBINING_MARKS + 1):
        begin = end = place
        while begin >= 0 and _is_mark(value[begin]):
            begin -= 1
        while end < len(value) and end - begin <= MAX_COMBINING_MARKS + 1 and _is_mark(value[end]):
            end += 1
        if end - begin - 1 > MAX_COMBINING_MARKS:
            return True
    return False


def _is_mark(character: str) -> bool:
    """Whether normalization reorders the character among its neighbours."""
    return character >= _FIRST_MARK and (unicodedata.combining(character) > 0 or character in _DECOMPOSED_MARKS)


def _without_invisible(value: str) -> str:
    """Normalization form C without invisible characters; takes time linear in the length."""
    value = canonical(value)
    if not _INVISIBLE.search(value):
        return value
    kept = {place for flag in _FLAG.finditer(value) for place in range(*flag.span())}
    following = _next_visible(value)
    before = _KeptText()
    for place, character in enumerate(value):
        if (
            place in kept
            or not _INVISIBLE.match(character)
            or _affects_rendering(character, before, following[place], value, place)
        ):
            before.append(character)
    # A removed character may have separated a letter from its mark, so compose again.
    return canonical("".join(before.parts))


class _KeptText:
    """The characters kept so far, with the context that decides whether a joiner is kept."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.base = ""
        """The last character that is not a combining mark."""
        self.has_virama = False
        """Whether a virama is among the marks after `base`, in any order."""

    def append(self, character: str) -> None:
        self.parts.append(character)
        if unicodedata.combining(character):
            self.has_virama = self.has_virama or _is_virama(character)
        else:
            self.base, self.has_virama = character, False

    @property
    def last(self) -> str:
        return self.parts[-1] if self.parts else ""


def _affects_rendering(character: str, before: _KeptText, following: str, value: str, place: int) -> bool:
    """Whether an invisible character changes how its neighbours are rendered; `following` is the next visible one."""
    previous = before.last
    if character == ZWNJ:
        return (before.has_virama and _is_letter(following)) or _stops_joining(before.base, following)
    if character == ZWJ:
        return (
            before.has_virama
            or (_is_letter(previous) and _is_virama(following))
            or (_ends_emoji(before.parts) and _is_symbol(following))
        )
    if character in _EMOJI_SELECTORS:
        return _is_symbol(previous) or (previous in "#*0123456789" and value[place + 1 : place + 2] == "\u20e3")
    if "\ufe00" <= character <= "\ufe0d":
        return unicodedata.category(previous or " ") in {"Sm", "So"} or _is_named(previous, "CJK", "MYANMAR", "PHAGS")
    if "\U000e0100" <= character <= "\U000e01ef":
        return _is_named(previous, "CJK")
    if "\u180b" <= character <= "\u180f":
        return _is_named(previous, "MONGOLIAN LETTER")
    return False


def _next_visible(value: str) -> list[str]:
    """For each position the next visible character after it; empty if there is none."""
    found, seen = [""] * len(value), ""
    for place in range(len(value) - 1, -1, -1):
        found[place] = seen
        if not _INVISIBLE.match(value[place]):
            seen = value[place]
    return found


def _is_letter(character: str) -> bool:
    return character.isalpha()


def _is_virama(character: str) -> bool:
    return bool(character) and unicodedata.combining(character) == _VIRAMA


def _is_symbol(character: str) -> bool:
    """Whether the character may be an emoji or be rendered as one."""
    return bool(character) and (unicodedata.category(character) in {"So", "Sm", "Sk"} or character in "‼⁉〰")


def _is_named(character: str, *beginnings: str) -> bool:
    return bool(character) and unicodedata.name(character, "").startswith(beginnings)


def _ends_emoji(before: list[str]) -> bool:
    last = before[-1] if before else ""
    return _is_symbol(before[-2] if last in _EMOJI_SELECTORS and len(before) > 1 else last)


def _stops_joining(last: str, following: str) -> bool:
    """Whether the letters on both sides would be joined (RFC 5892, appendix A.1)."""
    return _is_cursive(last) and last not in _RIGHT_JOINING and _is_cursive(following) and following != "ء"


def _is_cursive(character: str) -> bool:
    return _is_letter(character) and _is_named(character, "ARABIC", "SYRIAC", "MANDAIC", "NKO", "MONGOLIAN")


def _right_joining() -> Iterator[str]:
    """Arabic letters that do not join with the following letter: they have a final form and no initial form."""
    forms: dict[str, set[str]] = {}
    for code in range(0xFB50, 0xFEFF):
        kind, _, letter = unicodedata.decomposition(chr(code)).partition(" ")
        if kind.startswith("<") and " " not in letter:
            forms.setdefault(chr(int(letter, 16)), set()).add(kind)
    return (letter for letter, kinds in forms.items() if "<initial>" not in kinds)


_RIGHT_JOINING: Final = frozenset(_right_joining())


# --- what is refused


def text_errors(value: str, *, at_most: int, at_least: int = 0) -> list[str]:
    """Messages about a text that is too long, too short, or contains NUL, lone surrogates or long runs of marks."""
    said = []
    if len(value) > at_most:
        said.append(f"At most {at_most} characters are allowed, this has {len(value)}.")
    if len(value.strip()) < at_least:
        said.append("This must not be blank." if at_least == 1 else f"At least {at_least} characters are required.")
    if "\x00" in value:
        said.append("NUL characters are not allowed.")
    if has_long_run(value):
        said.append(f"At most {MAX_COMBINING_MARKS} combining marks may follow one another.")
    if _SURROGATE.search(value):
        said.append("Lone surrogates are not allowed.")
    return said


def checked(field: str, value: str, *, at_most: int, at_least: int = 0) -> str:
    """Return `value`; raise `Invalid` naming `field` if `text_errors` has messages."""
    said = text_errors(value, at_most=at_most, at_least=at_least)
    if said:
        raise Invalid({field: said})
    return value


# --- output

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0001]"
)
"""Control characters except tab and line feed, line separators, marks that change the direction of text or are
invisible everywhere, and lone surrogates."""


def printable(text: str) -> str:
    r"""Escape characters that could control a terminal or hide text: ESC becomes `\x1b`.

    Line feeds and tabs are kept.
    """
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)


def printable_line(text: str) -> str:
    r"""Like `printable`, with line feeds and tabs as escapes too, so that a text cannot look like several lines."""
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


def normal_reason(text: str) -> str:
    """A reason that somebody gives, as one line; raise `Invalid`, which names `reason`."""
    reason = normal_line(text)
    if errors := text_errors(reason, at_most=REASON_LENGTH, at_least=1):
        raise Invalid({"reason": errors})
    return reason


def cause_text(error: Exception | str) -> str:
    r"""The cause of a failure as it is stored: the first line of an error, at most `CAUSE_LENGTH` characters.

    An exception is preceded by the name of its class, unless it is a `MarketError`, whose message is for people.

    >>> cause_text(KeyError("sku"))
    "KeyError: 'sku'"
    >>> cause_text("no route to host\n\nThe request was ...")
    'no route to host'
    """
    message = str(error)
    if isinstance(error, Exception) and not isinstance(error, MarketError):
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    first = next(iter(message.replace("\0", "").strip().splitlines()), "")
    return first.encode("utf-8", "replace").decode()[:CAUSE_LENGTH] or "unknown"
