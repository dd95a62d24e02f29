"""Runs an attack beside an honest load and reports both."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Final

from attrs import Factory, evolve, frozen

from tests.attacks.attack import Attack, AttackFigures, AttackReport, Phase
from tests.attacks.engine import AttackedEngine
from tests.attacks.honest import Rates, latencies, run_honest_load
from tests.attacks.target import Target
from tests.attacks.usage import UsageMonitor

NICENESS: Final = 10
"""A real attacker has another machine; with a lower priority, the attack's own work delays the engine less."""


@frozen
class Schedule:
    """Seconds of each phase. The honest load begins with `warm`, which is not measured, and runs through all."""

    attack: float = 20.0
    warm: float = 3.0
    before: float = 6.0
    after: float = 10.0
    rates: Rates = Factory(Rates)


SHORT: Final = Schedule(attack=1.5, warm=0.3, before=0.3, after=0.7, rates=Rates(read=20, order=3, log_in=1))
"""For the test suite, which checks what must hold but no latencies."""


def known_attacks() -> list[Attack]:
    """The attacks in `ATTACKS` of each module in `scripts`, in the order of the modules' names."""
    found: list[Attack] = []
    for path in sorted(Path(__file__).with_name("scripts").glob("*.py")):
        found += import_module(f"tests.attacks.scripts.{path.stem}").ATTACKS
    return found


def select_attacks(only: Iterable[str]) -> list[Attack]:
    """The attacks with these names or topics; all of them if `only` is empty. Raise `ValueError` for another word."""
    wanted, attacks = list(only), known_attacks()
    for word in wanted:
        if not any(word in {attack.name, attack.topic} for attack in attacks):
            raise ValueError(f"There is no attack or topic {word}; `--list` shows them.")
    return [attack for attack in attacks if not wanted or {attack.name, attack.topic} & set(wanted)]


def run_attack(
    attack: Attack, engine: AttackedEngine, schedule: Schedule, on_phase: Callable[[str], None] = lambda _: None
) -> AttackReport:
    """Run the honest load and, in its middle, the attack; `on_phase` is called at the start of each phase."""
    target = evolve(engine.target, seconds=schedule.attack)
    monitor = UsageMonitor(engine.api)
    try:
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            # Both processes import their modules before anything is measured.
            for ready in [pool.submit(time.sleep, 0.3), pool.submit(time.sleep, 0.3)]:
                ready.result()
            total = schedule.warm + schedule.before + schedule.attack + schedule.after
            on_phase("honest load")
            honest = pool.submit(run_honest_load, target, schedule.rates, total)
            time.sleep(schedule.warm)
            monitor.phase()
            begun = time.monotonic()
            time.sleep(schedule.before)
            before = monitor.phase()
            on_phase("attack")
            attacked = time.monotonic()
            figures = pool.submit(_attack, attack, target).result()
            during = monitor.phase()
            ended = time.monotonic()
            on_phase("after the attack")
            samples = honest.result()
            after = monitor.phase()
    finally:
        monitor.close()
    return AttackReport(
        attack.name,
        attack.topic,
        figures,
        Phase(latencies(samples, begun, attacked), before),
        Phase(latencies(samples, attacked, ended), during),
        Phase(latencies(samples, ended, ended + schedule.after), after),
    )


def _attack(attack: Attack, target: Target) -> AttackFigures:
    os.nice(NICENESS)
    return attack.run(target)
