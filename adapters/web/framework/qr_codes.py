"""QR codes as inline SVG."""

from typing import Final

import segno
from markupsafe import Markup

MAX_BYTES: Final = 2_953
"""The capacity of the largest QR code at the lowest level of error correction."""


def qr_code(text: str) -> Markup:
    """The QR code of a text as an `<svg>` element; empty markup if the text is longer than `MAX_BYTES` in UTF-8.

    Dark modules are black in either theme, on a white ground that includes the quiet zone of four modules: many
    readers do not recognize light modules on a dark ground. The colours are presentation attributes, which the
    Content-Security-Policy of pages allows. The element has no size and no text alternative.
    """
    if len(text.encode()) > MAX_BYTES:
        return Markup()
    code = segno.make(text, micro=False)
    return Markup(  # noqa: S704 - the markup consists of numbers and does not contain the text
        code.svg_inline(border=4, dark="#000", light="#fff", svgclass=None, lineclass=None, omitsize=True)
    )
