"""An account that a stranger opened under the address of a future member of staff, whom an operator then promotes."""

import subprocess
from typing import Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Target

USERS: Final = "/users/api/v1/"
ADDRESS: Final = "admin@corp.example"
PASSWORD: Final = "stranger of seven seas"
NEW_PASSWORD: Final = "operator on nine hills"
PATIENCE: Final = 120


class PromotedStranger(Attack):
    """A stranger signs up as admin@corp.example and stays logged in; an operator runs `createsuperuser --promote`."""

    name = "promoted_stranger"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        credentials = {"email": ADDRESS, "password": PASSWORD}
        profile = {"first_name": "Chief", "last_name": "Administrator"}
        figures.answers[str(target.request("POST", f"{USERS}sign-up/", credentials | profile).status)] += 1
        pair = target.request("POST", f"{USERS}token/", credentials).body
        if _promote(target) != 0:
            # This release requires a new password.
            figures.notes["refused without a password"] = "yes"
            _promote(target, "--password-stdin")
        entered = target.request("POST", f"{USERS}token/", credentials)
        tokens = [entered.body["access"]] if entered.status == 200 else []
        refreshed = target.request("POST", f"{USERS}token/refresh/", {"refresh": pair["refresh"]})
        tokens += [refreshed.body["access"]] if refreshed.status == 200 else []
        lists = [target.request("GET", USERS, token=token).status for token in (*tokens, pair["access"])]
        figures.requests = 5 + len(lists)
        figures.notes["stranger's log-in"] = float(entered.status)
        figures.notes["stranger's refresh"] = float(refreshed.status)
        figures.notes["lists of all accounts"] = float(lists.count(200))
        owner = target.request("POST", f"{USERS}token/", {"email": ADDRESS, "password": NEW_PASSWORD})
        figures.notes["owner's log-in"] = float(owner.status)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        wanted = {
            "stranger's log-in": 401.0, "stranger's refresh": 401.0, "lists of all accounts": 0.0,
            "owner's log-in": 200.0,
        }  # fmt: skip
        notes = report.figures.notes
        return [f"{name}: {notes[name]}, must be {value}" for name, value in wanted.items() if notes[name] != value]


def _promote(target: Target, *options: str) -> int:
    where = ["--data", target.data] if target.data else []
    command = [*target.command, "createsuperuser", "--email", ADDRESS, "--promote", *where, *options]
    done = subprocess.run(
        command, input=f"{NEW_PASSWORD}\n", capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode


ATTACKS = (PromotedStranger(),)
