"""Words for seeded data from Faker, instead of the core's short lists."""

from collections.abc import Callable
from typing import Final

from faker import Faker

from scalecommerce_core.services.seeding import Vocabulary
from scalecommerce_core.services.seeding.vocabulary import ADJECTIVES

LOCALES: Final = ("en_US", "de_DE", "fr_FR")
"""Locales with and without accented names."""


def vocabulary(rng_seed: int) -> Vocabulary:
    """Generate words; they depend only on the seed and the release of Faker."""
    names, english = Faker(list(LOCALES)), Faker("en_US")
    # Seed the instances, not the class, whose seed other code may use.
    names.seed_instance(rng_seed)
    english.seed_instance(rng_seed)
    return Vocabulary(
        first_names=_different(names.first_name, 300),
        last_names=_different(names.last_name, 500),
        brands=_different(lambda: str(english.company()).partition(",")[0], 300),
        adjectives=ADJECTIVES,
        praises=_different(lambda: str(english.catch_phrase()).lower(), 300),
    )


def _different(make: Callable[[], str], draws: int) -> tuple[str, ...]:
    """Draw `draws` words and remove duplicates."""
    return tuple(dict.fromkeys(make() for _ in range(draws)))
