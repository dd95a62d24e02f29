"""Tokens that were stolen, or belong to somebody who has left, and are used after access was ended."""

import secrets
import subprocess
import time
from collections.abc import Callable
from typing import Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Target

USERS: Final = "/users/api/v1/"
PASSWORD: Final = "thief of seven seas"
NEW_PASSWORD: Final = "owner on nine hills"
PATIENCE: Final = 120
POLL_SECONDS: Final = 0.05
WAITS: Final = ("log-out", "new password", "deactivation", "dismissal")


class EndedAccess(Attack):
    """Access tokens are used after a log-out, a new password, a deactivation and the dismissal of a member of staff."""

    name = "ended_access"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()

        def end(what: str, token: str, path: str, act: Callable[[], bool]) -> None:
            before = target.request("GET", path, token=token)
            figures.requests += 1
            assert before.status == 200, before
            if not act():
                figures.notes[f"{what}: refused after (s)"] = "no command"
                return
            begun, waited = time.monotonic(), -1.0
            while (passed := time.monotonic() - begun) < max(3.0, target.seconds):
                figures.requests += 1
                status = target.request("GET", path, token=token).status
                figures.answers[str(status)] += 1
                if status == 401:
                    waited = round(passed, 2)
                    break
                time.sleep(POLL_SECONDS)
            figures.notes[f"{what}: refused after (s)"] = waited if waited >= 0 else "never"

        email = self._sign_up(target)
        owner, thief = self._log_in(target, email), self._log_in(target, email)
        end("log-out", owner, f"{USERS}me/", lambda: _ends(target, "logout/", owner))
        owner = self._log_in(target, email)
        change = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
        end("new password", thief, f"{USERS}me/", lambda: _ends(target, "password/", owner, change))
        left = self._sign_up(target)
        token = self._log_in(target, left)
        end("deactivation", token, f"{USERS}me/", lambda: _operator(target, "users", "deactivate", left))
        staff = f"staff-{secrets.token_hex(4)}@example.com"
        if _operator(target, "createsuperuser", "--email", staff, "--password-stdin"):
            token = self._log_in(target, staff, NEW_PASSWORD)
            # One active staff account must remain.
            _operator(target, "createsuperuser", "--email", f"other-{staff}", "--password-stdin")
            end("dismissal", token, USERS, lambda: _operator(target, "users", "dismiss-staff", staff))
        return figures

    def check(self, report: AttackReport) -> list[str]:
        notes = report.figures.notes
        seconds = {what: notes.get(f"{what}: refused after (s)") for what in WAITS}
        return [
            f"{what}: the token was refused after {found} s" for what, found in seconds.items() if not _is_soon(found)
        ]

    @staticmethod
    def _sign_up(target: Target) -> str:
        email = f"leaver-{secrets.token_hex(4)}@example.com"
        reply = target.request("POST", f"{USERS}sign-up/", {"email": email, "password": PASSWORD})
        assert reply.status == 201, reply
        return email

    @staticmethod
    def _log_in(target: Target, email: str, password: str = PASSWORD) -> str:
        reply = target.request("POST", f"{USERS}token/", {"email": email, "password": password})
        assert reply.status == 200, reply
        return str(reply.body["access"])


def _ends(target: Target, path: str, token: str, body: object = None) -> bool:
    return target.request("POST", USERS + path, body, token=token).status == 204


def _operator(target: Target, *command: str) -> bool:
    """Run a command of the engine; whether it succeeded."""
    where = ["--data", target.data] if target.data else []
    reason = ["--reason", "An attack."] if command[0] == "users" else []
    done = subprocess.run(
        [*target.command, *command, *where, *reason],
        input=f"{NEW_PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode == 0


def _is_soon(found: object) -> bool:
    """The generous bound of a test on a busy machine; a report shows the seconds themselves."""
    return isinstance(found, float) and found < 10


ATTACKS = (EndedAccess(),)
