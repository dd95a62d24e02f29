"""Seeding: fills a marketplace with plausible users, products and orders, made by the same methods as real ones.

`service` holds the use cases; `users`, `products` and `orders` draw the data from a seeded generator.
"""

from scalecommerce_core.services.seeding.seed_state import AlreadySeeded, NothingToSeedOn, Seeded
from scalecommerce_core.services.seeding.service import PASSWORD, Seeding
from scalecommerce_core.services.seeding.vocabulary import PLAIN, Vocabulary

__all__ = ["PASSWORD", "PLAIN", "AlreadySeeded", "NothingToSeedOn", "Seeded", "Seeding", "Vocabulary"]
