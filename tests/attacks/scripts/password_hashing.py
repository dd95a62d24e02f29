"""Floods of the operations that hash passwords, from one address."""

import itertools
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.client import HTTPException
from typing import ClassVar, Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import ATTACKER, HttpSession, Target

CONNECTIONS: Final = 300
ACCOUNTS_PER_ADDRESS: Final = 20
"""The default of `SIGN_UPS_PER_ADDRESS`."""
PAUSE: Final = 1.0
"""Seconds that a connection waits after a refusal: on one machine the attacker's own work would delay the engine.
CONTRIBUTING.md has figures with a shorter one, and of a control that sends the same requests to /healthz."""
PASSWORD: Final = "kettle on seven bricks"


class _HashingFlood(Attack):
    has_latency_bars = True
    path: ClassVar[str]

    def run(self, target: Target) -> AttackFigures:
        figures, lock = AttackFigures(), threading.Lock()
        numbers, run = itertools.count(), secrets.token_hex(4)

        def client() -> None:
            with target.session(ATTACKER, timeout=target.seconds + 5) as session:
                for left in target.time_left():
                    answer = _send(session, self.path, self.body(f"{run}.{next(numbers)}@strangers.example"))
                    with lock:
                        figures.requests += 1
                        figures.answers[answer] += 1
                    if answer not in {"201", "401"}:
                        time.sleep(min(PAUSE, left))

        clients = [threading.Thread(target=client, daemon=True) for _ in range(CONNECTIONS)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        return figures

    def body(self, email: str) -> Mapping[str, str]:
        return {"email": email, "password": PASSWORD}

    def check(self, report: AttackReport) -> list[str]:
        answers = report.figures.answers
        odd = {answer for answer in answers if answer.startswith("5") and answer != "503"}
        failed = _failed_log_ins(report)
        return [
            *([f"the engine answered {', '.join(sorted(odd))}"] if odd else []),
            *([f"honest log-ins failed: {dict(failed)}"] if failed else []),
        ]


class SignUpFlood(_HashingFlood):
    """300 connections of one address create accounts."""

    name = "sign_up_flood"
    path = "/users/api/v1/sign-up/"

    def check(self, report: AttackReport) -> list[str]:
        made = report.figures.answers["201"]
        too_many = [f"one address created {made} accounts"] if made > ACCOUNTS_PER_ADDRESS else []
        return [*super().check(report), *too_many]


class LogInFlood(_HashingFlood):
    """300 connections of one address try passwords of accounts that do not exist."""

    name = "log_in_flood"
    path = "/users/api/v1/token/"


def _send(session: HttpSession, path: str, body: Mapping[str, str]) -> str:
    try:
        return str(session.request("POST", path, body).status)
    except (OSError, HTTPException) as error:
        return type(error).__name__


def _failed_log_ins(report: AttackReport) -> Counter[str]:
    failed: Counter[str] = Counter()
    for phase in (report.during, report.after):
        if (log_ins := phase.honest.get("log_in")) is not None:
            failed.update(log_ins.failed)
    return failed


ATTACKS = (SignUpFlood(), LogInFlood())
