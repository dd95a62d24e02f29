"""Colours of charts have the contrasts that WCAG 2.2 requires: 4.5 for text, 3 for lines and marks."""

import re
from pathlib import Path
from typing import Final

import pytest

STYLES: Final = Path("adapters/web/static/charts.css").read_text()
COLOURS: Final = {
    name: themes
    for name, *themes in re.findall(
        r"--chart-([\w-]+): (?:var\(--card, )?light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\)", STYLES
    )
}


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour, from 0 to 1."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_has_the_highest_contrast() -> None:
    assert contrast("000000", "ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("text", 4.5),
        ("strong", 4.5),
        # Labels of vertical lines have the colours of their lines.
        ("purple", 4.5),
        ("green", 4.5),
        ("first", 3),
        ("before", 3),
        ("orange", 3),
        ("axis", 3),
    ],
)
def test_colours_stand_out_from_the_page(name: str, least: float, theme: int) -> None:
    assert contrast(COLOURS[name][theme], COLOURS["surface"][theme]) >= least


def test_all_colours_are_checked_or_only_decorative() -> None:
    checked = {"text", "strong", "purple", "green", "first", "before", "orange", "axis"}
    assert COLOURS.keys() - checked == {"surface", "grid"}
