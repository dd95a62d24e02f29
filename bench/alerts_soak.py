"""An hour of load on a running engine, while a Prometheus evaluates the shipped alert rules: none may fire."""

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.failover import Client
from entrypoints.demo.traffic.pacing import Pacer
from tests.integration.engine_process import EngineProcess, eventually
from tests.integration.scraped_alerts import PROGRAMS, RULES, free_ports, rules

BUYERS: Final = 8
PAID: Final = 4
"""One order in this many is paid; the reservations of the others expire."""
POLL_SECONDS: Final = 5.0
WIDTH: Final = 120
"""Columns of the report in a file or pipe."""
SETTINGS: Final = {
    # One buyer places all orders, and pays few of them.
    "OPEN_ORDERS_PER_ACCOUNT": "0",
    "UNPAID_SHARE_PERCENT": "0",
    "ACCESS_TOKEN_SECONDS": "86400",
}


def configuration(port: int) -> Mapping[str, Any]:
    """The shipped configuration, with the addresses of an engine whose ports of metrics begin at `port`."""
    shipped: dict[str, Any] = yaml.safe_load(RULES.with_name("prometheus.yml").read_text())
    del shipped["alerting"]
    shipped["rule_files"] = [str(RULES)]
    for job in shipped["scrape_configs"]:
        target = port + PROGRAMS.index(job["job_name"].removeprefix("scalecommerce-"))
        job["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
    return shipped


@define
class Prometheus:
    """A running Prometheus."""

    url: str

    @property
    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready") as answer:  # noqa: S310 - the URL is our own
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    def query(self, expression: str) -> Sequence[tuple[Mapping[str, str], float]]:
        """The labels and values of an expression now."""
        asked = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}") as answer:  # noqa: S310 - as above
            found = json.load(answer)["data"]["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]


@contextmanager
def prometheus(directory: Path, port: int) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the engine."""
    file, (own,) = directory / "prometheus.yml", free_ports(1)
    file.write_text(yaml.safe_dump(configuration(port)))
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
            stdout=log,
            stderr=log,
            # Ctrl-C must not reach it before the report is made.
            start_new_session=True,
        )  # fmt: skip
    found = Prometheus(f"http://127.0.0.1:{own}")
    try:
        eventually(lambda: found.is_ready, f"Prometheus: {(directory / 'prometheus.log').read_text()}")
        yield found
    finally:
        process.terminate()
        process.wait()


@define
class Load:
    """Buyers who order, read and pay at random moments; `rate` is in orders per second."""

    url: str
    token: str
    product: int
    rate: float
    answers: Counter[str] = field(factory=Counter)
    """Number of responses by request and status; status 0: no response."""
    _lock: threading.Lock = field(factory=threading.Lock)
    _stopping: threading.Event = field(factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        pacer = Pacer(self.rate, random.Random(1))
        buyers = [threading.Thread(target=self._buy, args=[pacer], daemon=True) for _ in range(BUYERS)]
        for buyer in buyers:
            buyer.start()
        try:
            yield
        finally:
            self._stopping.set()
            for buyer in buyers:
                buyer.join()

    @property
    def accepted(self) -> int:
        """Acknowledged orders so far."""
        return self.answers["order 201"] + self.answers["order 202"]

    def _buy(self, pacer: Pacer) -> None:
        client, number = Client(self.url, self.token), 0
        while not self._stopping.wait(pacer.next_delay()):
            number += 1
            body = {"order_item": [{"product": self.product, "quantity": 1}]}
            if number % PAID:
                self._send(client, "order", "POST", "/orders/api/v1/", body)
            else:
                # A decided order can be paid.
                ordered = self._send(client, "order", "POST", "/orders/api/v1/", body, Prefer="wait=3")
                if ordered is not None:
                    self._send(client, "payment", "POST", f"/orders/api/v1/{ordered['id']}/pay/")
            self._send(client, "product", "GET", f"/products/api/v1/{self.product}/")
            self._send(client, "search", "GET", f"/products/api/v1/?search=kettle&page_size={20 + number % 40}")
        client.close()

    def _send(
        self, client: Client, name: str, method: str, path: str, body: object = None, **headers: str
    ) -> "dict[str, Any] | None":
        """Return the document of a successful response."""
        answer = client.ask(method, path, body, **headers)
        with self._lock:
            self.answers[f"{name} {answer.status}"] += 1
        return answer.body if answer.status in {200, 201, 202} else None


def wait(watched: Prometheus, load: Load, seconds: float, console: Console) -> None:
    """Show progress for `seconds`, and a line when the pending or firing alerts change; Ctrl-C ends it earlier."""
    begun, shown = time.monotonic(), ""
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=seconds)
        while (passed := time.monotonic() - begun) < seconds:
            alerts = watched.query("ALERTS")
            found = ", ".join(sorted(f"{labels['alertname']} {labels['alertstate']}" for labels, _ in alerts))
            if found != shown:
                console.print(f"after {passed / 60:.1f} min: {found or 'no alert'}", markup=False)
                shown = found
            progress.update(task, completed=passed, description=f"{load.accepted:,} orders; {found or 'no alert'}")
            time.sleep(min(POLL_SECONDS, max(0.0, seconds - passed)))


def threshold(expression: str) -> "tuple[str, str] | None":
    """The figure of a rule and its limit, `figure > limit`; None for another rule."""
    found = re.match(r"(.*?) > ([\d.]+)", expression, re.DOTALL)
    return found and (found[1], found[2])


def report(watched: Prometheus, seconds: int) -> tuple[Table, bool]:
    """How close each rule came to its limit in the last `seconds`, and whether no alert fired."""
    counted = watched.query(f"sum by (alertname, alertstate) (count_over_time(ALERTS[{seconds}s]))")
    states = {(labels["alertname"], labels["alertstate"]): count for labels, count in counted}
    table = Table("alert", "limit", "highest", "pending", "firing", show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for rule in rules():
        figure, limit = threshold(rule["expr"]) or ("", "")
        highest = watched.query(f"max(max_over_time(({figure})[{seconds}s:15s]))") if figure else ()
        table.add_row(
            rule["alert"],
            limit,
            f"{highest[0][1]:.3g}" if highest else "",
            *(f"{states.get((rule['alert'], state), 0):.0f}" for state in ("pending", "firing")),
        )
    return table, not any(state == "firing" for _, state in states)


def soak(engine: EngineProcess, directory: Path, port: int, minutes: float, rate: float) -> int:
    """Return the exit status: 1 if an alert fired or nothing was measured, 130 after Ctrl-C."""
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    if not out.is_terminal:
        out.width = WIDTH
    people = engine.log_ins()
    product = {"name": "Kettle stand", "category_id": 1, "price": "9.00", "stock": 2_000_000_000}
    _, made = engine.request("/products/api/v1/", token=engine.token(people["seller"]), body=product)
    load = Load(engine.url, engine.token(people["buyer"]), made["id"], rate)
    interrupted = False
    with prometheus(directory, port) as watched:
        begun = time.monotonic()
        with load.running():
            try:
                wait(watched, load, minutes * 60, err)
            except KeyboardInterrupt:
                interrupted = True
            seconds = max(1, round(time.monotonic() - begun))
        table, is_clean = report(watched, seconds)
        scrapes = watched.query(f'sum(count_over_time(up{{job=~"scalecommerce-.*"}}[{seconds}s]))')
    out.print(table)
    answers = ", ".join(f"{name}: {count:,}" for name, count in sorted(load.answers.items()))
    out.print(f"{seconds / 60:.1f} minutes, {load.accepted:,} orders accepted; {answers}", markup=False)
    out.print(f"{scrapes[0][1] if scrapes else 0:.0f} scrapes; {'no alert fired' if is_clean else 'ALERTS FIRED'}")
    if interrupted:
        return 130
    return 0 if is_clean and scrapes and load.accepted else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.alerts_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the load (default 60)")
    parser.add_argument("--rate", type=float, default=30.0, help="orders per second (default 30)")
    chosen = parser.parse_args()
    if shutil.which("prometheus") is None:
        print("prometheus is missing on this machine (Debian: apt-get install prometheus)", file=sys.stderr)
        return 1
    # SIGTERM ends all processes in order, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="scalecommerce-soak-") as name:
        port = free_ports(len(PROGRAMS))[0]
        engine = EngineProcess(Path(name) / "engine", "--demo", METRICS_PORT=str(port), **SETTINGS)
        try:
            return soak(engine, Path(name), port, chosen.minutes, chosen.rate)
        except KeyboardInterrupt:
            print("Interrupted; all processes have been ended.", file=sys.stderr)
            return 130
        finally:
            engine.end()


if __name__ == "__main__":
    sys.exit(main())
