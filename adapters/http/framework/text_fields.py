"""Text in requests: bounded, without NUL, and blank only where that is allowed. The core has the last word."""

from typing import Annotated, Final

from msgspec import Meta

from scalecommerce_core.domain.account import EMAIL_LENGTH
from scalecommerce_core.domain.text import BIO_LENGTH, BRAND_LENGTH, DESCRIPTION_LENGTH, NAME_LENGTH, SKU_LENGTH

ANY_TEXT: Final = r"^[^\x00]*$"
_SPACE: Final = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_BLANK: Final = rf"^[^\x00]*[^\x00{_SPACE}][^\x00]*$"
"""As `str.strip` sees it, in regular expressions that JavaScript and Rust read alike."""

EXAMPLE_EMAIL: Final = "kara@example.com"


def text_meta(at_most: int, example: str, *, blank: bool = True) -> Meta:
    """Patterns are for the document only: reading a request finds NUL in any text, with a better message.

    Without an example, browsers of the document make one up from the pattern, which is not nice to look at.
    """
    return Meta(
        min_length=None if blank else 1,
        max_length=at_most,
        examples=[example],
        extra_json_schema={"pattern": ANY_TEXT if blank else NOT_BLANK},
    )


Name = Annotated[str, text_meta(NAME_LENGTH, "Kara")]
ProductName = Annotated[str, text_meta(NAME_LENGTH, "Tea pot", blank=False)]
Brand = Annotated[str, text_meta(BRAND_LENGTH, "Leaf")]
Description = Annotated[str, text_meta(DESCRIPTION_LENGTH, "For green tea.")]
Bio = Annotated[str, text_meta(BIO_LENGTH, "Sells tea.")]
Sku = Annotated[str, text_meta(SKU_LENGTH, "TP-1", blank=False)]
Email = Annotated[str, Meta(max_length=EMAIL_LENGTH, examples=[EXAMPLE_EMAIL], extra_json_schema={"format": "email"})]
