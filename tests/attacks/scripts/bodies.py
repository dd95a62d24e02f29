"""JSON bodies that cost much more to parse than to send, on operations without authentication."""

import time
from collections.abc import Sequence
from http.client import HTTPException
from itertools import cycle
from typing import ClassVar

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Target

RATE = 50
"""Requests per second."""
OPERATIONS = ("token/", "token/refresh/", "token/verify/", "sign-up/")
SHAPES = (b"{}", b"[" * 30 + b"]" * 30, b'{"":0}', b"0", b"1e1", b'""', b'"\\u0000"', b"1.5")
"""Items of a list. Each costs its parser about as much as a hundred times as many bytes of text."""


def list_of(item: bytes, size: int) -> bytes:
    """A JSON object of at most `size` bytes with a list of equal items."""
    head, tail = b'{"email":[', b"]}"
    return head + b",".join([item] * ((size - len(head) - len(tail)) // (len(item) + 1))) + tail


def many_names(size: int) -> bytes:
    """A JSON object of about `size` bytes with distinct names, the first of which is repeated at its end."""
    names = b",".join(b'"%x":0' % number for number in range(size // 9))
    return b"{" + names + b',"0":0}'


class _DenseBodies(Attack):
    has_latency_bars = True
    size: ClassVar[int]

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        bodies: Sequence[bytes] = [*(list_of(shape, self.size) for shape in SHAPES), many_names(self.size)]
        slowest, next_request = 0.0, time.monotonic()
        with target.session() as session:
            for (operation, body), left in zip(
                cycle([(operation, body) for body in bodies for operation in OPERATIONS]),
                target.time_left(),
                strict=False,
            ):
                begun = time.monotonic()
                figures.requests += 1
                try:
                    reply = session.request("POST", f"/users/api/v1/{operation}", body)
                    figures.answers[str(reply.status)] += 1
                except (OSError, HTTPException) as error:
                    # An engine may answer and close before all of a long body is sent.
                    figures.answers[type(error).__name__] += 1
                slowest = max(slowest, time.monotonic() - begun)
                next_request += 1 / RATE
                time.sleep(min(max(0.0, next_request - time.monotonic()), left))
        figures.notes["slowest answer, s"] = slowest
        return figures

    def check(self, report: AttackReport) -> list[str]:
        odd = {answer for answer in report.figures.answers if answer.startswith("5") and answer != "503"}
        return [f"the engine answered {', '.join(sorted(odd))}"] if odd else []


class LargeBodies(_DenseBodies):
    """Bodies of a mebibyte, 50 per second."""

    name = "large_bodies"
    size = 1024 * 1024

    def check(self, report: AttackReport) -> list[str]:
        read = report.figures.answers["400"]
        return [*super().check(report), *([f"{read} bodies of a mebibyte were parsed"] if read else [])]


class SmallDenseBodies(_DenseBodies):
    """The most expensive bodies of 16 KiB, 50 per second."""

    name = "small_dense_bodies"
    size = 16 * 1024


ATTACKS = (LargeBodies(), SmallDenseBodies())
