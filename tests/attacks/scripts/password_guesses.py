"""Guesses at the password of the account whose access token was stolen."""

from typing import Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Target

PATH: Final = "/users/api/v1/password/"
GUESSES: Final = 2_000
ALLOWED: Final = 10
"""The default of `LOGIN_ATTEMPTS`."""


class PasswordGuesses(Attack):
    """Wrong old passwords with a valid access token."""

    name = "password_guesses"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        token = target.log_in(target.buyers[-3])
        with target.session() as session:
            for number, _ in zip(range(GUESSES), target.time_left(), strict=False):
                body = {"old_password": f"guess {number}", "new_password": "seven tall teapots"}
                reply = session.request("POST", PATH, body, token=token)
                figures.requests += 1
                figures.answers[str(reply.status)] += 1
        return figures

    def check(self, report: AttackReport) -> list[str]:
        verified = report.figures.answers["400"]
        return [f"{verified} guesses were verified"] if verified > ALLOWED else []


ATTACKS = (PasswordGuesses(),)
