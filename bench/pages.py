"""Measure the processor time that the server takes to answer each page, and the time that the reader waits.

The market has more than a page of rows of each kind. The processor time is that of this process: parsing the request,
all calls of the API, reading rows from the driver, rendering, and the client in the same process, which has no network.
PostgreSQL runs in processes of its own; what it takes is part of the second figure only. Compression, which depends on
the server in front, is left out.
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
"""Milliseconds of processor time for a page."""
WARM: Final = 3


@frozen
class PageTime:
    """Medians in milliseconds."""

    path: str
    status: int
    processor: float
    elapsed: float
    kilobytes: float


def measure(browser: Browser, path: str, rounds: int) -> PageTime:
    for _ in range(WARM):
        response = browser.send("GET", path)
    processor, elapsed = [], []
    for _ in range(rounds):
        used, begun = time.process_time(), time.perf_counter()
        response = browser.send("GET", path)
        processor.append(time.process_time() - used)
        elapsed.append(time.perf_counter() - begun)
    size = len(response.content) / 1_000
    return PageTime(path, response.status_code, 1_000 * median(processor), 1_000 * median(elapsed), size)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.pages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="requests of each page (default 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as name, EmbeddedPostgres(Path(name)) as postgres:
        upgrade(postgres.url)
        with reading_staff(postgres.url) as browser:
            measured = [measure(browser, path_of(page), options.rounds) for page in all_pages() if page.method == "GET"]
    measured.sort(key=lambda each: -each.processor)
    print(f"{'page':<44}{'status':>7}{'CPU ms':>9}{'all ms':>9}{'kB':>8}")
    for each in measured:
        print(f"{each.path:<44}{each.status:>7}{each.processor:>9.1f}{each.elapsed:>9.1f}{each.kilobytes:>8.0f}")
    slow = sum(each.processor > GOAL for each in measured)
    print(f"{len(measured)} pages, {slow} above {GOAL:.0f} ms of processor time")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
