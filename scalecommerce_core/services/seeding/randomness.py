"""Seeded random numbers: every batch of every step has its own generator."""

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
    """The inputs that determine seeded data, together with the contents of the store."""

    rng_seed: int
    words: Vocabulary
    base: datetime
    """The time that all seeded times are relative to (`reference_time`)."""


class Stream(IntEnum):
    """Steps of seeding, each with its own stream of random numbers."""

    USERS = 1
    PRODUCTS = 2
    ORDERS = 3


def generator(rng_seed: int, step: Stream, *batch: int) -> np.random.Generator:
    """A generator that depends on its arguments only, so that steps and batches can be made independently."""
    return np.random.default_rng([rng_seed, step, *batch])


def reference_time(now: datetime) -> datetime:
    """The last midnight (UTC), so that a seed gives the same data all day."""
    return datetime.combine(now.astimezone(UTC).date(), time(), UTC)


def pick(rng: np.random.Generator, words: Sequence[T], count: int) -> list[T]:
    """Draw `count` of the words, with repetition."""
    return [words[index] for index in rng.integers(0, len(words), count).tolist()]


def command_ids(rng_seed: int, start: int, count: int) -> list[CommandId]:
    """Command ids of the orders `start`, `start + 1`, …: they depend on the seed only and are adjacent in an index."""
    first = uuid5(NAMESPACE_DNS, f"seed-{rng_seed}.example").int & ~0xFFFF_FFFF
    return [CommandId(UUID(int=first | number)) for number in range(start, start + count)]
