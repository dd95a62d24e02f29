"""What a text field may hold."""

import re

from scalecommerce_core.domain.errors import Invalid

NAME_LENGTH = 100
BRAND_LENGTH = 100
DESCRIPTION_LENGTH = 10_000
BIO_LENGTH = 1_000
SKU_LENGTH = 64
_SURROGATE = re.compile("[\ud800-\udfff]")


def text_errors(value: str, *, at_most: int, at_least: int = 0) -> list[str]:
    """Messages on a text that is too long, too short or holds what no database and no reader wants."""
    said = []
    if len(value) > at_most:
        said.append(f"At most {at_most} characters are allowed, this has {len(value)}.")
    if len(value.strip()) < at_least:
        said.append("This must not be blank." if at_least == 1 else f"At least {at_least} characters are wanted.")
    if "\x00" in value:
        said.append("NUL characters are not allowed.")
    if _SURROGATE.search(value):
        said.append("Lone surrogates are not text.")
    return said


def checked(field: str, value: str, *, at_most: int, at_least: int = 0) -> str:
    """`value`, or `Invalid` naming `field`."""
    said = text_errors(value, at_most=at_most, at_least=at_least)
    if said:
        raise Invalid({field: said})
    return value
