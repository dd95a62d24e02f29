"""The words that seeded users and products are made of."""

from typing import Final

from attrs import field, frozen


def _not_empty(_instance: object, attribute: object, words: tuple[str, ...]) -> None:
    if not words:
        raise ValueError(f"A vocabulary needs at least one of its {getattr(attribute, 'name', 'words')}.")


@frozen
class Vocabulary:
    """Lists of words, none of them empty; a value, so that the same words and seed give the same data."""

    first_names: tuple[str, ...] = field(validator=_not_empty)
    last_names: tuple[str, ...] = field(validator=_not_empty)
    brands: tuple[str, ...] = field(validator=_not_empty)
    adjectives: tuple[str, ...] = field(validator=_not_empty)
    praises: tuple[str, ...] = field(validator=_not_empty)
    """Short phrases for descriptions, without a full stop."""


ADJECTIVES: Final = (
    "Compact", "Classic", "Light", "Sturdy", "Everyday", "Premium", "Foldable", "Handy", "Modern", "Quiet", "Slim",
    "Warm", "Soft", "Bright", "Natural", "Robust", "Smart", "Simple", "Large", "Small", "Travel", "Family", "Pocket",
    "Vintage", "Urban", "Outdoor", "Active", "Pure", "Fresh", "Fine",
)  # fmt: skip

PLAIN: Final = Vocabulary(
    first_names=(
        "Ada", "Ali", "Ana", "Ben", "Chloe", "Daniel", "Elena", "Emil", "Fatima", "George", "Grace", "Hugo", "Ines",
        "Ivan", "Jana", "Karl", "Kara", "Leo", "Lina", "Marco", "Maya", "Nadia", "Noah", "Olga", "Omar", "Priya",
        "Rosa", "Sofia", "Tom", "Yuki",
    ),
    last_names=(
        "Abara", "Almeida", "Bauer", "Costa", "Diaz", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen",
        "Kowalski", "Kumar", "Lang", "Lopez", "Martin", "Meyer", "Nguyen", "Novak", "Okafor", "Petrov", "Quinn",
        "Rossi", "Sato", "Sexton", "Silva", "Smith", "Tanaka", "Weber", "Young",
    ),
    brands=(
        "Alderon", "Brightwell", "Cobalt & Co", "Dunmore", "Elmstone", "Fernlight", "Galen", "Harrow", "Ivory Lane",
        "Juniper", "Kestrel", "Lumina", "Marlow", "Northfield", "Orchard", "Penrose", "Quarry", "Ridgeway", "Solace",
        "Tidewater", "Umber", "Vantage", "Westbrook", "Yarrow",
    ),
    adjectives=ADJECTIVES,
    praises=(
        "made to last", "easy to clean", "loved by our regular customers", "packed without plastic",
        "a good present", "tested for years", "ready to use out of the box", "designed for small homes",
        "with two years of warranty", "made of recycled material", "available in limited numbers",
        "light enough to take along", "a favourite of the season", "with spare parts for ten years",
    ),
)  # fmt: skip
