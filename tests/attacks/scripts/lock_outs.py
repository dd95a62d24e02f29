"""Lock-outs: wrong passwords that keep others from logging in."""

import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import ClassVar, Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import ATTACKER, Account, HttpSession, Target

TOKEN: Final = "/users/api/v1/token/"
ELSEWHERE: Final = "127.0.3.1"
"""An address from which nobody has logged in."""
GUESSES: Final = 12
INVENTED: Final = 110
PROXY_GUESSES: Final = 60
PAUSE: Final = 0.02
"""Seconds between two guesses through the proxy."""


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
    has_latency_bars = True

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
    has_latency_bars = True

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


class ProxyLockOut(Attack):
    """Failed log-ins for invented addresses from one client behind a proxy; then another client of it logs in."""

    name = "proxy_lock_out"
    has_latency_bars = True
    settings: ClassVar[Mapping[str, str]] = {
        "TRUSTED_PROXIES": "127.0.0.66",
        # Low limits, so that few guesses reach them; releases before the second setting allow ten times the first one.
        "LOGIN_ATTEMPTS": "3",
        "LOGIN_ATTEMPTS_PER_ADDRESS": "30",
    }

    def run(self, target: Target) -> AttackFigures:
        # The attack takes the part of the proxy: it appends its client's address to the list that the client sent.
        figures = AttackFigures()
        with target.session() as session:
            for left, number in zip(target.time_left(), range(PROXY_GUESSES), strict=False):
                guess = {"email": f"nobody-{number}@strangers.example", "password": "a wrong guess"}
                figures.requests += 1
                try:
                    reply = session.request(
                        "POST", TOKEN, guess, X_Forwarded_For=f"198.51.100.{number % 256}, 203.0.113.1"
                    )
                    figures.answers[str(reply.status)] += 1
                except (OSError, HTTPException) as error:
                    figures.answers[type(error).__name__] += 1
                time.sleep(min(PAUSE, left))
        for buyer in target.buyers[:1]:
            credentials = {"email": buyer.email, "password": buyer.password}
            reply = target.request("POST", TOKEN, credentials, X_Forwarded_For="203.0.113.2")
            figures.notes["answer to another client"] = str(reply.status)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        answer = report.figures.notes.get("answer to another client", "200")
        return [] if answer == "200" else [f"another client of the proxy got a {answer} for the right password"]


ATTACKS = (LockedSeller(), LockedNetwork(), ProxyLockOut())
