"""Forged views: one address asks for a product again and again, as another browser each time."""

import time
from typing import ClassVar, Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Target

MAX_REQUESTS: Final = 20_000
COUNTED_AFTER: Final = 5.0
"""Seconds after which views appear in an uncached response, with room for a busy machine."""
MOST_VIEWS: Final = 50
"""The default cap of a network, which includes honest clients at other addresses of it."""


class ChangedUserAgents(Attack):
    """Anonymous reads of one product from one address, each with another User-Agent."""

    name = "changed_user_agents"
    settings: ClassVar = {"CACHE_SECONDS": "1"}

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        path = f"/products/api/v1/{target.products[-1]}/"
        views_before = _views(target, path)
        with target.session() as session:
            for number, _ in zip(range(MAX_REQUESTS), target.time_left(), strict=False):
                reply = session.request("GET", path, User_Agent=f"Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0)")
                figures.requests += 1
                figures.answers[str(reply.status)] += 1
        time.sleep(COUNTED_AFTER)
        figures.notes["views counted"] = float(_views(target, path) - views_before)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        counted = report.figures.notes["views counted"]
        assert isinstance(counted, float)
        missed = []
        if report.figures.answers["200"] < report.figures.requests:
            missed.append(f"not all reads were answered: {dict(report.figures.answers)}")
        if report.figures.requests <= MOST_VIEWS:
            missed.append(f"only {report.figures.requests} requests were sent")
        if counted > MOST_VIEWS:
            missed.append(f"{counted:.0f} of {report.figures.requests} forged views were counted")
        return missed


def _views(target: Target, path: str) -> int:
    return int(target.request("GET", path, User_Agent="monitor").body["count_viewed"])


ATTACKS = (ChangedUserAgents(),)
