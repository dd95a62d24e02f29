"""Words for seeded data out of Faker, in place of the core's short lists."""

from collections.abc import Callable
from typing import Final

from faker import Faker

from scalecommerce_core.services.seeding import Vocabulary
from scalecommerce_core.services.seeding.vocabulary import ADJECTIVES

LOCALES: Final = ("en_US", "de_DE", "fr_FR")
"""Names with and without accents, as customers have them."""


def vocabulary(rng_seed: int) -> Vocabulary:
    """The same for the same seed and the same release of Faker."""
    names, english = Faker(list(LOCALES)), Faker("en_US")
    # Of the instances, not of the class: nobody else's Faker is disturbed.
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
    """Without repetitions, in the order in which they were drawn."""
    return tuple(dict.fromkeys(make() for _ in range(draws)))
