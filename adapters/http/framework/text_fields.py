"""Types of text fields in requests: limited length, no NUL, blank only where allowed. The core validates them again."""

from typing import Annotated, Final

from msgspec import Meta

from scalecommerce_core.domain.account import EMAIL_LENGTH
from scalecommerce_core.domain.text import (
    BIO_LENGTH,
    BRAND_LENGTH,
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    REASON_LENGTH,
    SKU_LENGTH,
)

ANY_TEXT: Final = r"^[^\x00]*$"
_SPACE: Final = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_BLANK: Final = rf"^[^\x00]*[^\x00{_SPACE}][^\x00]*$"
"""Text with a character that `str.strip` does not remove, in a syntax that JavaScript and Rust share."""

MAX_SEARCH: Final = 200
"""Characters of the words of a search."""
Words = Annotated[str, Meta(max_length=MAX_SEARCH, extra_json_schema={"pattern": ANY_TEXT})]

EXAMPLE_EMAIL: Final = "kara@example.com"


def text_meta(at_most: int, example: str, *, blank: bool = True) -> Meta:
    """The constraints of a text field: at most `at_most` characters, and not blank unless `blank`.

    The pattern is for the document only; decoding rejects NUL in any text, with a better message. The example is
    required, since Swagger UI would generate an unreadable one from the pattern.
    """
    return Meta(
        min_length=None if blank else 1,
        max_length=at_most,
        examples=[example],
        extra_json_schema={"pattern": ANY_TEXT if blank else NOT_BLANK},
    )


Name = Annotated[str, text_meta(NAME_LENGTH, "Kara")]
DisplayName = Annotated[str, text_meta(NAME_LENGTH, "Kara's Teas")]
KeyName = Annotated[str, text_meta(NAME_LENGTH, "Warehouse", blank=False)]
ProductName = Annotated[str, text_meta(NAME_LENGTH, "Tea pot", blank=False)]
Brand = Annotated[str, text_meta(BRAND_LENGTH, "Leaf")]
Description = Annotated[str, text_meta(DESCRIPTION_LENGTH, "For green tea.")]
Bio = Annotated[str, text_meta(BIO_LENGTH, "Sells tea.")]
Sku = Annotated[str, text_meta(SKU_LENGTH, "TP-1", blank=False)]
Reason = Annotated[str, text_meta(REASON_LENGTH, "The decimal point was in the wrong place.", blank=False)]
Email = Annotated[str, Meta(max_length=EMAIL_LENGTH, examples=[EXAMPLE_EMAIL], extra_json_schema={"format": "email"})]
