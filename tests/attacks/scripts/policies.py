"""Pricing policies with the shortest epochs, as many as three accounts may have, beside an honest policy."""

import time
from typing import Any, Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import HttpSession, Target

POLICIES: Final = "/pricing/api/v1/policies/"
RUNS: Final = "/pricing/api/v1/runs/"
ACCOUNTS: Final = 3
WANTED: Final = 100
"""Policies of each account."""
EPOCHS: Final = (1, 60)
"""Seconds; the second is tried where the first is refused."""
PATIENCE: Final = 60.0


class ManyPolicies(Attack):
    """Three accounts with up to 100 policies each that want to run every second."""

    name = "many_policies"

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        honest, *attackers = [target.log_in(account) for account in target.buyers[: ACCOUNTS + 1]]
        with target.session() as session:
            for token in attackers:
                for number in range(WANTED):
                    if not self._create_one(session, token, number, figures):
                        break
            begun = time.monotonic()
            delays: list[float] = []
            while not delays or time.monotonic() - begun < target.seconds:
                delays.append(self._wait_for_run(session, honest, figures))
                if delays[-1] >= PATIENCE:
                    break
            time.sleep(max(0.0, target.seconds - (time.monotonic() - begun)))
            figures.notes |= {
                "policies of the attackers": float(figures.answers["create 201"]),
                "honest runs": float(len(delays)),
                "median delay of an honest run, s": sorted(delays)[len(delays) // 2],
                "longest delay, s": max(delays),
                "run rows of the attackers": float(sum(self._count_runs(session, token) for token in attackers)),
            }
        return figures

    def _create_one(self, session: HttpSession, token: str, number: int, figures: AttackFigures) -> bool:
        """Create a policy with the shortest epoch that is accepted; return whether one was."""
        for seconds in EPOCHS:
            document = {"name": f"Often {number}", "epoch_seconds": seconds, "assigned_only": True}
            reply = session.request("POST", POLICIES, document, token=token)
            figures.requests += 1
            figures.answers[f"create {reply.status}"] += 1
            if reply.status == 201:
                return True
        return False

    def _wait_for_run(self, session: HttpSession, token: str, figures: AttackFigures) -> float:
        """Create a policy, wait for the end of its first run and delete it; return the seconds until then."""
        begun = time.monotonic()
        document = {"name": "Honest", "epoch_seconds": 3_600, "assigned_only": True}
        policy = session.request("POST", POLICIES, document, token=token).body["id"]
        while (waited := time.monotonic() - begun) < PATIENCE:
            found = session.request("GET", f"{RUNS}?policy={policy}", token=token).body["results"]
            figures.requests += 1
            if any(run["finished_at"] for run in found):
                break
            time.sleep(0.1)
        session.request("DELETE", f"{POLICIES}{policy}/", token=token)
        return min(waited, PATIENCE)

    def _count_runs(self, session: HttpSession, token: str) -> int:
        count, path = 0, f"{RUNS}?page_size=100"
        while path:
            page: dict[str, Any] = session.request("GET", path, token=token).body
            count += len(page["results"])
            path = page["next"].partition("://")[2].partition("/")[2] if page["next"] else ""
            path = f"/{path}" if path else ""
        return count

    def check(self, report: AttackReport) -> list[str]:
        notes = report.figures.notes
        missed = []
        if float(notes["longest delay, s"]) >= PATIENCE:
            missed.append("a policy of the honest account did not run")
        if float(notes["run rows of the attackers"]) > 2 * float(notes["policies of the attackers"]):
            missed.append("runs without effect left more rows than two for each policy")
        return missed


ATTACKS = (ManyPolicies(),)
