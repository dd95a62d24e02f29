"""Chance, the same for the same seed: every batch of every step draws from a generator of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from enum import IntEnum
from typing import Any, TypeVar
from uuid import NAMESPACE_DNS, UUID, uuid5

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from scalecommerce_core.domain.identifiers import CommandId
from scalecommerce_core.services.seeding.vocabulary import Vocabulary

T = TypeVar("T")
Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


@frozen
class Source:
    """What seeded data is a function of, together with what the store held before."""

    rng_seed: int
    words: Vocabulary
    base: datetime
    """All times are relative to it: see `base_of`."""


class StreamName(IntEnum):
    USERS = 1
    PRODUCTS = 2
    ORDERS = 3


def generator(rng_seed: int, step: StreamName, *batch: int) -> np.random.Generator:
    """Independent of all others, so that steps can be made on their own and batches keep what they draw."""
    return np.random.default_rng([rng_seed, step, *batch])


def base_of(now: datetime) -> datetime:
    """What all seeded times are relative to: the last midnight (UTC), so that a seed gives the same all day long."""
    return datetime.combine(now.astimezone(UTC).date(), time(), UTC)


def picked(rng: np.random.Generator, words: Sequence[T], count: int) -> list[T]:
    return [words[index] for index in rng.integers(0, len(words), count).tolist()]


def command_ids(rng_seed: int, start: int, count: int) -> list[CommandId]:
    """Of the orders `start`, `start + 1`, …: known from the seed alone, and neighbours in an index."""
    first = uuid5(NAMESPACE_DNS, f"seed-{rng_seed}.example").int & ~0xFFFF_FFFF
    return [CommandId(UUID(int=first | number)) for number in range(start, start + count)]
