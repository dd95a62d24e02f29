"""Filling a market with believable people, products and orders, by the rules that real ones follow.

`service` holds the use cases; `people`, `goods` and `purchases` decide what to make, out of a seeded generator.
"""

from scalecommerce_core.services.seeding.seeded import AlreadySeeded, NothingToSeedOn, Seeded
from scalecommerce_core.services.seeding.service import PASSWORD, Seeding
from scalecommerce_core.services.seeding.vocabulary import PLAIN, Vocabulary

__all__ = ["PASSWORD", "PLAIN", "AlreadySeeded", "NothingToSeedOn", "Seeded", "Seeding", "Vocabulary"]
