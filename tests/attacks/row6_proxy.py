"""Guesses of passwords by one client of a reverse proxy, which must not lock out the other clients of the proxy."""

import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import ClassVar

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Target

LOG_IN = "/users/api/v1/token/"
GUESSES = 60
PAUSE = 0.02


class ProxyLockout(Attack):
    """Failed log-ins for invented addresses from one client behind a proxy; then another client of it logs in.

    The attack plays the proxy: it appends the address of its client to the list that the client sent.
    """

    name = "proxy_lockout"
    row = 6
    settings: ClassVar[Mapping[str, str]] = {
        "TRUSTED_PROXIES": "127.0.0.66",
        # Low limits, so that few guesses reach them; releases before the second setting allow ten times the first one.
        "LOGIN_ATTEMPTS": "3",
        "LOGIN_ATTEMPTS_PER_ADDRESS": "30",
    }

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        with target.session() as session:
            for left, number in zip(target.time_left(), range(GUESSES), strict=False):
                guess = {"email": f"nobody-{number}@strangers.example", "password": "a wrong guess"}
                figures.requests += 1
                try:
                    reply = session.request(
                        "POST", LOG_IN, guess, X_Forwarded_For=f"198.51.100.{number % 256}, 203.0.113.1"
                    )
                    figures.answers[str(reply.status)] += 1
                except (OSError, HTTPException) as error:
                    figures.answers[type(error).__name__] += 1
                time.sleep(min(PAUSE, left))
        for buyer in target.buyers[:1]:
            credentials = {"email": buyer.email, "password": buyer.password}
            reply = target.request("POST", LOG_IN, credentials, X_Forwarded_For="203.0.113.2")
            figures.notes["answer to another client"] = str(reply.status)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        answer = report.figures.notes.get("answer to another client", "200")
        return [] if answer == "200" else [f"another client of the proxy got a {answer} for the right password"]


ATTACKS = (ProxyLockout(),)
