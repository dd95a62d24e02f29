"""Cursors of the event feed."""

import pytest

from scalecommerce_core.domain.feed_cursor import (
    EXAMPLE,
    MAX_NUMBER,
    NotCursor,
    decode_feed_cursor,
    encode_feed_cursor,
)


@pytest.mark.parametrize("number", [0, 1, 255, 256, 52_311, 2**32, MAX_NUMBER])
def test_a_cursor_contains_its_number(number: int) -> None:
    cursor = encode_feed_cursor(number)
    assert decode_feed_cursor(cursor) == number
    assert not cursor.isdecimal()


def test_the_form_of_a_cursor_stays_that_of_earlier_releases() -> None:
    """Clients store cursors, so later releases must read them."""
    assert encode_feed_cursor(52_311) == EXAMPLE
    assert decode_feed_cursor("AQAAAAAAAAAA") == 0


@pytest.mark.parametrize(
    "text",
    ["", "0", "1", "AQ", "aqaaaaaaaaaa", "AQAAAAAAAAA", "AQAAAAAAAAAAAA", " AQAAAAAAAAAA", "AgAAAAAAAAAA", "Ж" * 12],
)
def test_other_texts_are_no_cursors(text: str) -> None:
    with pytest.raises(NotCursor):
        decode_feed_cursor(text)
