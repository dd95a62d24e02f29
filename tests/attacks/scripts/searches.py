"""Searches that share nothing with each other, so that neither cached answers nor cached statements help."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from threading import Lock
from urllib.parse import urlencode

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Target

CONNECTIONS = 16
MAX_GROWTH = 150 * 1024 * 1024
"""Bytes by which the memory of the API may grow."""
WORDS = ("shelves", "knives", "wi-fi", "lamp", "kettle", "garden", "chairs", "boxes", "women", "leaves")
ORDERS = ("relevance", "price", "-price", "created_at", "-created_at", "-count_viewed")


class UniqueSearches(Attack):
    """Searches of distinct shapes over 16 connections from one address: words, exclusions, filters, orders, facets."""

    name = "unique_searches"

    def run(self, target: Target) -> AttackFigures:
        figures, lock = AttackFigures(), Lock()
        searches, took = unique_searches(), []

        def search_until_the_end() -> None:
            with target.session() as session:
                for _ in target.time_left():
                    with lock:
                        query = next(searches)
                    begun = time.monotonic()
                    try:
                        answer = str(session.request("GET", f"/products/api/v1/?{query}").status)
                    except (OSError, HTTPException) as error:
                        answer = type(error).__name__
                    with lock:
                        figures.requests += 1
                        figures.answers[answer] += 1
                        took.append(time.monotonic() - begun)

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for attacker in [pool.submit(search_until_the_end) for _ in range(CONNECTIONS)]:
                attacker.result()
        figures.notes["slowest answer, s"] = max(took, default=0.0)
        return figures

    def check(self, report: AttackReport) -> list[str]:
        missed = []
        growth = report.after.usage.rss - report.before.usage.rss
        if growth > MAX_GROWTH:
            missed.append(f"the memory of the API grew by {growth / 1024 / 1024:.0f} MiB")
        if "400" in report.figures.answers:
            missed.append("searches of the attack are invalid")
        return missed


def unique_searches(seed: int = 1) -> Iterator[str]:
    """Query strings of searches; the number of words, exclusions, filters and facets makes almost every shape new."""
    chance = random.Random(seed)
    while True:
        words = [chance.choice(WORDS) for _ in range(chance.randint(1, 24))]
        excluded = [f"-{chance.choice(WORDS)}" for _ in range(chance.randint(0, 6))]
        query: list[tuple[str, str]] = [("search", " ".join([*words, *excluded])[:200])]
        if chance.random() < 0.5:
            query.append(("price_min", str(chance.randint(1, 50))))
        if chance.random() < 0.5:
            query.append(("price_max", str(chance.randint(60, 5_000))))
        if chance.random() < 0.3:
            query.append(("in_stock", chance.choice(("true", "false"))))
        if chance.random() < 0.3:
            query.append(("created_after", "2020-01-01T00:00:00Z"))
        query += [("brand", f"Brand {chance.randint(1, 999)}") for _ in range(chance.randint(0, 3))]
        query.append(("ordering", chance.choice(ORDERS)))
        query += [("facets", facet) for facet in ("category", "brand", "price") if chance.random() < 0.4]
        yield urlencode(query)


ATTACKS = (UniqueSearches(),)
