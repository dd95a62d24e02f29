"""The times of visits, on a clock that the test advances."""

import random

import pytest

from entrypoints.demo.traffic.pacing import MAX_LATENESS, Pacer


class Hands:
    """A clock's."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


def test_visits_have_the_configured_average_rate(clock: Hands) -> None:
    pacer, visits, begun = Pacer(25.0, random.Random(1), clock), 5_000, clock.now
    for _ in range(visits):
        clock.now += pacer.next_delay()
    assert visits / (clock.now - begun) == pytest.approx(25.0, rel=0.05)


def test_intervals_between_visits_are_exponentially_distributed(clock: Hands) -> None:
    pacer, pauses = Pacer(1.0, random.Random(2), clock), []
    for _ in range(5_000):
        pauses.append(pacer.next_delay())
        clock.now += pauses[-1]
    mean = sum(pauses) / len(pauses)
    # The standard deviation of an exponential distribution equals its mean.
    assert (sum((pause - mean) ** 2 for pause in pauses) / len(pauses)) ** 0.5 == pytest.approx(mean, rel=0.1)


def test_the_duration_of_a_visit_is_not_added_to_the_pause(clock: Hands) -> None:
    pacer, begun = Pacer(25.0, random.Random(3), clock), clock.now
    for _ in range(2_000):
        clock.now += pacer.next_delay() + 0.01
    assert 2_000 / (clock.now - begun) == pytest.approx(25.0, rel=0.1)


def test_visits_missed_during_a_stall_are_not_made_up(clock: Hands) -> None:
    pacer = Pacer(25.0, random.Random(4), clock)
    pacer.next_delay()
    clock.now += 3_600.0
    at_once = 0
    while pacer.next_delay() == 0.0:
        at_once += 1
    assert at_once <= 3 * 25.0 * MAX_LATENESS
