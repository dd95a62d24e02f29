"""Markup of charts: escaped text, and elements that carry classes and presentation attributes only."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

FONT_SIZE: Final = 12.0
"""Height of text in user units; `charts.css` sets the same size."""

_INVALID: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML does not allow, such as NUL and lone surrogates."""
_SPECIAL: Final = re.compile("[^\t\n\r !#-%(-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that `escape` replaces."""
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI", "PDF", "PDI"})
_NARROW: Final = frozenset(" .,:;!|'`·ijlftrI1()[]\u00a0\u2009\u202f")
_WIDE: Final = frozenset("mwMW@%ЖМШЩЮФжмшщюф€₽")


class Html(str):
    """Markup that template engines insert without escaping it."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def escape(text: str) -> str:
    """`text` for element content and quoted attributes; characters that XML does not allow become U+FFFD."""
    if _SPECIAL.search(text) is None:
        return text
    return _INVALID.sub("\ufffd", text).translate(_ESCAPES)


def isolate(text: str) -> str:
    """`text` in Unicode isolates if it has right-to-left characters, so that it does not reorder its neighbours."""
    if text.isascii() or not any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in text):
        return text
    # A name that closes isolates itself would end the one around it.
    return f"\u2068{text.translate({0x2069: None})}\u2069"


@lru_cache(maxsize=4096)
def text_width(text: str) -> float:
    """Estimated width of `text` in user units, for a sans-serif font; rather too wide than too narrow."""
    return sum(map(_character_width, text)) * FONT_SIZE


def _character_width(character: str) -> float:
    if character in _NARROW:
        return 0.36
    if character in _WIDE:
        return 0.92
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0
    if unicodedata.east_asian_width(character) in ("W", "F"):
        return 1.05
    return 0.7 if character.isupper() else 0.6


def shorten(text: str, width: float) -> str:
    """The longest beginning of `text` that fits into `width` user units, with an ellipsis if it was cut."""
    if text_width(text) <= width:
        return text
    kept, total = 0, _character_width("…") * FONT_SIZE
    for character in text:
        total += _character_width(character) * FONT_SIZE
        if total > width:
            break
        kept += 1
    # A combining mark or joiner must not be separated from the character that it belongs to.
    while 0 < kept < len(text) and (unicodedata.combining(text[kept]) or "\u200d" in text[kept - 1 : kept + 1]):
        kept -= 1
    return text[:kept].rstrip() + "…"


def coordinate(value: float) -> str:
    """A coordinate with four digits, which is a tenth of a unit or finer below 1000."""
    return f"{value:.4g}"


def text_element(x: float, y: float, text: str, anchor: str = "start", name: str = "chart-text") -> str:
    """Text at (x, y); `anchor` is start, middle or end of a left-to-right line."""
    return (
        f'<text class="{name}" x="{coordinate(x)}" y="{coordinate(y)}" text-anchor="{anchor}">'
        f"{escape(isolate(text))}</text>"
    )


def line_element(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    """A straight line with the class `name`."""
    return (
        f'<line class="{name}" x1="{coordinate(x1)}" y1="{coordinate(y1)}" '
        f'x2="{coordinate(x2)}" y2="{coordinate(y2)}"/>'
    )


def dot_element(x: float, y: float, name: str = "chart-dot") -> str:
    """A disc with its centre at (x, y)."""
    return f'<circle class="{name}" cx="{x:.4g}" cy="{y:.4g}" r="3.5"/>'


def rect_element(x: float, y: float, width: float, height: float, name: str) -> str:
    """A rectangle without content; negative sizes count as zero."""
    return (
        f'<rect class="{name}" x="{coordinate(x)}" y="{coordinate(y)}" '
        f'width="{coordinate(max(width, 0))}" height="{coordinate(max(height, 0))}"/>'
    )


def tooltip_element(lines: Iterable[str]) -> str:
    """The tooltip of a group."""
    text = escape("\n".join(lines))
    return f"<title>{text}</title>"


def with_tooltip(marks: str, tooltip: str, name: str = "chart-hit") -> str:
    """A group of `marks` with a `tooltip_element`."""
    return f'<g class="{name}">{tooltip}{marks}</g>'
