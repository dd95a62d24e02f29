"""Assigns a category to each stock code by words in its name, because the data set has no categories."""

from collections.abc import Mapping
from typing import Final

DEFAULT: Final = "accessories"
"""The closest default category for a shop that sold "unique all-occasion gift-ware"."""

_WORDS: Final = {
    "toys": "toy toys doll dolls game games puzzle playhouse teddy skittles spaceboy",
    "garden": "garden plant planter watering herb seeds parasol picnic birdhouse",
    "office_supplies": "card cards pen pens pencil pencils notebook notebooks wrap paper stationery memo",
    "furniture": "cabinet chair drawer drawers stool shelf cushion cushions mirror",
    "home_appliances": (
        "mug teacup teapot cup plate bowl jar tin tins cake cakestand lunch cutlery kitchen bottle lantern lamp"
        " holder clock"
    ),
    "clothing": "apron gloves scarf hat umbrella shirt socks slippers",
    "books": "book books",
    "beauty_health": "soap bath manicure hair plasters incense",
}
CATEGORY_BY_WORD: Final[Mapping[str, str]] = {
    word: category for category, words in _WORDS.items() for word in words.split()
}


def category_of(code: str, name: str) -> str:
    """Codes without a digit are charges such as postage, bank fees and corrections: the category `services`."""
    if not any(character.isdigit() for character in code) or code == "C2":
        return "services"
    words = name.lower().replace(",", " ").split()
    return next((CATEGORY_BY_WORD[word] for word in words if word in CATEGORY_BY_WORD), DEFAULT)
