"""Measure the time that the server takes to answer each page, on a market with more than a page of rows of each kind.

Three figures per page, medians in milliseconds:

- loop: processor time of the event loop: the request, routing and answers of the API's operations that the
  page calls, rendering, and the client in the same process, which has no network
- process: the same and the threads in which the operations read: statements, conversion of rows, use cases
- all: the time that a reader waits, with PostgreSQL, which runs in processes of its own

Compression, which depends on the server in front, is left out.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from attrs import frozen

from adapters.db.migrate import upgrade
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.web.app import all_pages
from tests.integration.filled_pages import path_of, reading_staff
from tests.unit.support.browser import Browser

GOAL: Final = 30.0
"""Milliseconds of processor time on the event loop for a page."""
WARM: Final = 3


@frozen
class PageTime:
    """Medians in milliseconds."""

    path: str
    status: int
    loop: float
    process: float
    elapsed: float
    kilobytes: float


def measure(browser: Browser, path: str, rounds: int) -> PageTime:
    for _ in range(WARM):
        browser.send("GET", path)
    response = browser.send("GET", path)
    clocks = time.thread_time, time.process_time, time.perf_counter
    measured = []
    for _ in range(rounds):
        begun = [clock() for clock in clocks]
        response = browser.send("GET", path)
        measured.append([clock() - before for clock, before in zip(clocks, begun, strict=True)])
    loop, process, elapsed = (1_000 * median(each) for each in zip(*measured, strict=True))
    return PageTime(path, response.status_code, loop, process, elapsed, len(response.content) / 1_000)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.pages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="requests of each page (default 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as name, EmbeddedPostgres(Path(name)) as postgres:
        upgrade(postgres.url)
        with reading_staff(postgres.url) as browser:
            measured = [measure(browser, path_of(page), options.rounds) for page in all_pages() if page.method == "GET"]
    measured.sort(key=lambda each: -each.loop)
    print(f"{'page':<44}{'status':>7}{'loop':>9}{'process':>9}{'all':>9}{'kB':>8}")
    for each in measured:
        times = f"{each.loop:>9.1f}{each.process:>9.1f}{each.elapsed:>9.1f}"
        print(f"{each.path:<44}{each.status:>7}{times}{each.kilobytes:>8.0f}")
    slow = sum(each.loop > GOAL for each in measured)
    print(f"{len(measured)} pages, {slow} above {GOAL:.0f} ms on the event loop")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
