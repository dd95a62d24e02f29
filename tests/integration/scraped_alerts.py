"""The shipped alert rules, evaluated by promtool on what the programs of a running engine export.

A scrape stands for `Stage.step` seconds, so that an hour of a fault takes a few seconds and the rules stay as they are.
Ages are not stretched: 40 s in a gauge stay 40 s, and the time since the last message of beat is unchanged.
"""

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml
from attrs import define, field
from prometheus_client.parser import text_string_to_metric_families

RULES: Final = Path(__file__).parents[2] / "deploy/monitoring/alerts.yml"
PROGRAMS: Final = ("api", "worker", "beat")
"""The programs of `up` that export metrics, in the order of their ports."""
SHORTEST_STEP: Final = 15
"""Seconds between two scrapes in the shipped configuration."""
LONGEST_STEP: Final = 120
"""A rate over five minutes needs two scrapes."""
RATES: Final = 300
"""Seconds after which the rates of most rules are those of a stage."""
LATENESS: Final = 2
"""Scrapes after the end of `for` by which an alert must fire."""
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}
_TIMESTAMP: Final = "_timestamp_seconds"
_TIMEOUT, _FROZEN_TIMEOUT = 10.0, 0.1
"""Seconds to wait for the answer of a program. A frozen one does not answer."""


def free_ports(count: int) -> Sequence[int]:
    """Ports in a row that are free on this machine."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            try:
                for port in range(first + 1, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except (OSError, OverflowError):
                continue
            return range(first, first + count)


def rules() -> Sequence[Mapping[str, Any]]:
    """The rules in the order of the file."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


_USED: Final = frozenset(re.findall(r"\bscalecommerce_\w+", "\n".join(str(rule["expr"]) for rule in rules())))
_PENDING: Final[Mapping[str, int]] = {
    rule["alert"]: int(rule["for"][:-1]) * _SECONDS[rule["for"][-1]] for rule in rules()
}
"""The `for` of each alert, in seconds."""


def alert_names() -> frozenset[str]:
    return frozenset(_PENDING)


@define
class Stage:
    """The scrapes of one stage of a test. The `expected` alerts must fire in it, and those of `lasting` faults must be
    pending at least; no other may be pending.
    """

    name: str
    expected: frozenset[str]
    lasting: frozenset[str] = frozenset()
    build_up: int = 0
    """Scrapes until the figures of the rules have reached their limits."""
    scrapes: list[dict[str, float]] = field(factory=list)

    @property
    def step(self) -> int:
        """Seconds between two scrapes."""
        return max(SHORTEST_STEP, min(LONGEST_STEP, self._pending(self.expected) // 10))

    @property
    def length(self) -> int:
        """The number of scrapes."""
        return 1 + self.deadline(*self.expected)

    def deadline(self, *alerts: str) -> int:
        """The number of the scrape by which these alerts must fire."""
        return -(-self._pending(alerts) // self.step) + self.build_up + LATENESS

    @staticmethod
    def _pending(alerts: Collection[str]) -> int:
        """The longest `for`."""
        return max((_PENDING[alert] for alert in alerts), default=RATES)


@define
class Scraper:
    """Scrapes the programs of an engine whose ports of metrics begin at `port`, one after another."""

    port: int
    frozen: set[str] = field(factory=set)
    """Programs that are known not to answer."""
    _client: httpx2.Client = field(factory=httpx2.Client)

    def scrape(self, offset: float = 0.0) -> dict[str, float]:
        """The value of each series that the rules use; `offset` in seconds is added to moments."""
        found: dict[str, float] = {}
        for port, program in enumerate(PROGRAMS, self.port):
            labels = {"job": f"scalecommerce-{program}", "instance": f"{program}:{port}"}
            text = self._get(program, port)
            found[_series("up", labels)] = 0 if text is None else 1
            for family in text_string_to_metric_families(text or ""):
                for sample in family.samples:
                    if sample.name in _USED:
                        moved = offset if sample.name.endswith(_TIMESTAMP) and sample.value else 0.0
                        found[_series(sample.name, {**sample.labels, **labels})] = sample.value + moved
        return found

    def _get(self, program: str, port: int) -> str | None:
        timeout = _FROZEN_TIMEOUT if program in self.frozen else _TIMEOUT
        try:
            text = self._client.get(f"http://127.0.0.1:{port}/metrics", timeout=timeout).raise_for_status().text
        except httpx2.HTTPError:
            return None
        # Parsing the other series would take most of the time of a scrape.
        return "".join(line for line in text.splitlines(keepends=True) if line.startswith(tuple(_USED)))

    def last(self, name: str, **labels: str) -> float:
        """The largest value of a series that the rules use, now; -1 without one."""
        name = f"scalecommerce_{name}"
        assert name in _USED
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        values = [
            value
            for series, value in self.scrape().items()
            if series.startswith(f"{name}{{") and all(each in series for each in wanted)
        ]
        return max(values, default=-1.0)

    def close(self) -> None:
        self._client.close()

    def fill(self, stage: Stage, each: Callable[[], object], *, is_beat_silent: bool = False) -> None:
        """Make the scrapes of a stage, with a call before each of them.

        `is_beat_silent`: beat sends no message meanwhile, so that its silence lasts as long as the stage.
        """
        begun = time.time()
        for number in range(stage.length):
            each()
            offset = -begun if is_beat_silent else number * stage.step - time.time()
            stage.scrapes.append(self.scrape(offset))
        if is_beat_silent:
            sent = {value for scrape in stage.scrapes for name, value in scrape.items() if _TIMESTAMP in name}
            assert len(sent) == 1, f"beat was not silent: {sent}"


def _series(name: str, labels: Mapping[str, str]) -> str:
    return name + "{" + ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(labels.items())) + "}"


def check_alerts(stages: Sequence[Stage], directory: Path) -> None:
    """Let promtool evaluate the rules on each stage: each expected alert fires in time, and at the end no other one is
    pending. Fail with the differences.
    """
    file = directory / "scraped.yml"
    tests = [_test(stage) for stage in stages]
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": tests}, width=10**9)
    )
    result = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def _test(stage: Stage) -> Mapping[str, Any]:
    names = sorted({series for scrape in stage.scrapes for series in scrape})
    return {
        "name": stage.name,
        "interval": f"{stage.step}s",
        "input_series": [{"series": name, "values": _values(stage.scrapes, name)} for name in names],
        "promql_expr_test": [
            *(
                _expect(stage, stage.deadline(alert), f'ALERTS{{alertname="{alert}",alertstate="firing"}}', [alert])
                for alert in sorted(stage.expected)
            ),
            _expect(stage, stage.length - 1, "ALERTS", sorted(stage.expected | stage.lasting)),
        ],
    }


def _expect(stage: Stage, scrape: int, expression: str, alerts: Sequence[str]) -> Mapping[str, Any]:
    return {
        "expr": f"group by (alertname) ({expression})",
        "eval_time": f"{scrape * stage.step}s",
        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts],
    }


def _values(scrapes: Sequence[Mapping[str, float]], name: str) -> str:
    """The values of a series. As Prometheus does, a series ends with the first scrape that lacks it."""
    values, known = [], False
    for scrape in scrapes:
        value = scrape.get(name)
        values.append(f"{value:.3f}" if value is not None else "stale" if known else "_")
        known = value is not None
    return " ".join(values)
