"""Lock-outs: wrong passwords that keep others from logging in."""

from typing import Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import ATTACKER, Account, HttpSession, Target

TOKEN: Final = "/users/api/v1/token/"
ELSEWHERE: Final = "127.0.3.1"
"""An address from which nobody has logged in."""
GUESSES: Final = 12
INVENTED: Final = 110


def _try(session: HttpSession, figures: AttackFigures, email: str, password: str) -> int:
    status = session.request("POST", TOKEN, {"email": email, "password": password}).status
    figures.requests += 1
    figures.answers[str(status)] += 1
    return status


def _log_in(target: Target, account: Account, address: str) -> float:
    body = {"email": account.email, "password": account.password}
    return float(target.request("POST", TOKEN, body, address=address).status)


class LockedSeller(Attack):
    """A dozen wrong passwords for the account of a seller, whose log-in name products may show."""

    name = "locked_seller"
    row = 6

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        owner = target.buyers[-1]
        rows = target.request("GET", "/products/api/v1/?page_size=100").body["results"]
        figures.notes["log-in names in 100 products"] = float(sum("email" in row["seller"] for row in rows))
        with target.session() as session:
            for number in range(GUESSES):
                _try(session, figures, owner.email, f"guess {number}")
        figures.notes["owner elsewhere"] = _log_in(target, owner, ELSEWHERE)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        notes, guesses = report.figures.notes, report.figures.answers
        return [
            *([f"{notes['log-in names in 100 products']} products show a log-in name"]
              if notes["log-in names in 100 products"] else []),
            *([f"the owner's log-in was answered with {notes['owner elsewhere']}"]
              if notes["owner elsewhere"] != 200 else []),
            *([f"{guesses['401']} guesses at one account were allowed"] if guesses["401"] > 10 else []),
        ]  # fmt: skip


class LockedNetwork(Attack):
    """Wrong passwords for invented accounts, from the client address that an honest user shares."""

    name = "locked_network"
    row = 6

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        with target.session() as session:
            for number in range(INVENTED):
                _try(session, figures, f"nobody.{number}@strangers.example", "a wrong guess")
        figures.notes["neighbour"] = _log_in(target, target.buyers[-2], ATTACKER)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        status = report.figures.notes["neighbour"]
        return [f"the log-in of a neighbour was answered with {status}"] if status != 200 else []


ATTACKS = (LockedSeller(), LockedNetwork())
