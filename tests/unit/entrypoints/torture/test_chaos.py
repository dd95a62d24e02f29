"""The plan of kills."""

from itertools import islice

from entrypoints.torture.chaos import DECK, FailPoint, Victim, plan

SEAMS = ("commit:before", "commit:after", "stock.save:before")


def test_the_same_seed_makes_the_same_plan() -> None:
    assert list(islice(plan(7, SEAMS), 200)) == list(islice(plan(7, SEAMS), 200))
    assert list(islice(plan(7, SEAMS), 200)) != list(islice(plan(8, SEAMS), 200))


def test_each_process_is_killed_once_per_deck() -> None:
    assert {kill.victim for kill in islice(plan(1), len(DECK))} == set(Victim)


def test_every_fail_point_is_used_before_one_is_repeated() -> None:
    turns = [kill.victim for kill in islice(plan(1, SEAMS), 400) if isinstance(kill.victim, FailPoint)]
    for start in range(0, len(turns) - len(SEAMS), len(SEAMS)):
        assert {seam.name for seam in turns[start : start + len(SEAMS)]} == set(SEAMS)


def test_kills_occur_after_recovery_during_recovery_and_simultaneously() -> None:
    kills = list(islice(plan(3), 100))
    assert any(kill.after_settling for kill in kills)
    assert any(not kill.after_settling and kill.pause > 0.2 for kill in kills)
    assert any(kill.pause < 0.05 for kill in kills)
