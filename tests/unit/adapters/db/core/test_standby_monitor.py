"""The monitor of standbys with simulated servers; tests/integration/test_standby_reads.py has real ones."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from attrs import evolve

from adapters.db.core.change_notifications import change_number
from adapters.db.core.standby_monitor import (
    AWAY_SECONDS,
    CONFLICT_SECONDS,
    HEARTBEAT_CHECK_SECONDS,
    MAX_LAG_SECONDS,
    MAX_SILENCE,
    Heartbeat,
    Poll,
    PolledInstance,
    StandbyMonitor,
)
from scalecommerce_core.domain.errors import Unavailable

GOOD = Poll(is_standby=True, instance="started once", timeline=1, mark="first", xmin=50)


class SimulatedStandby:
    """`polled` is what a poll finds or raises, `cluster` the identifier of its cluster."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instance: PolledInstance | None = None
        self.polled: Poll | Exception = GOOD
        self.cluster: str | None = "shop"
        self.refused: Exception | None = None
        """What a connection for reads raises."""
        self.disconnected = 0

    def poll(self) -> Poll:
        if isinstance(self.polled, Exception):
            raise self.polled
        return self.polled

    def system(self) -> str | None:
        if isinstance(self.polled, Exception):
            raise self.polled
        return self.cluster

    def check(self) -> None:
        if self.refused is not None:
            raise self.refused

    def disconnect(self) -> None:
        self.disconnected += 1


class SimulatedPrimary:
    def __init__(self) -> None:
        self.sent: Heartbeat | Exception = Heartbeat("first", "the primary's", "shop")

    def heartbeat(self) -> Heartbeat:
        if isinstance(self.sent, Exception):
            raise self.sent
        return self.sent


class Site:
    """A monitor without its thread: `step` is what the thread does again and again."""

    def __init__(self, names: Sequence[str] = ("db2", "db3")) -> None:
        self.now = 1_000.0
        self.standbys = [SimulatedStandby(name) for name in names]
        self.primary = SimulatedPrimary()
        self.horizons: list[int] = []
        simulated: Any = self.standbys
        primary: Any = self.primary
        self.monitor = StandbyMonitor(simulated, primary, self.horizons.append, clock=lambda: self.now)
        # Its thread would poll the simulated servers at any time.
        self.monitor._start = lambda: None  # type: ignore[method-assign]

    def step(self, seconds: float = 0.0) -> str:
        """The name of the standby that is chosen after a step; empty for none."""
        self.now += seconds
        self.monitor.step()
        chosen = self.monitor.choose()
        return "" if chosen is None else chosen[0].name


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "adapters.db.core.standby_monitor"):
        yield caplog


def test_the_first_usable_standby_is_chosen_with_its_horizon(site: Site) -> None:
    assert site.step() == "db2"
    chosen: Any = site.monitor.choose()
    assert chosen[0] is site.standbys[0]
    assert chosen[1].number == change_number(1, 50)
    assert site.horizons == [change_number(1, 50)]


def test_a_horizon_names_the_instance_until_another_one_is_polled(site: Site) -> None:
    site = Site(["db2"])
    (standby,) = site.standbys

    def polled(instance: str) -> PolledInstance:
        standby.polled = evolve(GOOD, instance=instance)
        assert site.step() == "db2"
        chosen = site.monitor.choose()
        assert chosen is not None
        assert chosen[1].instance is standby.instance
        return chosen[1].instance

    first = polled("started once")
    assert polled("started once") is first
    second = polled("started twice")
    assert second is not first
    assert second.name == "started twice"
    # A name that leads to several servers: the horizons of the first time are not valid again.
    assert polled("started once") is not first


def test_a_standby_without_a_recent_poll_is_not_read_from(site: Site) -> None:
    site.step()
    site.now += MAX_SILENCE + 0.01
    assert site.monitor.choose() is None
    assert site.step() == "db2"


def test_the_next_standby_is_used_until_it_fails_too(site: Site, logged: pytest.LogCaptureFixture) -> None:
    first, second = site.standbys
    first.polled = psycopg.OperationalError("connection refused\nIs the server running?")
    assert site.step() == "db3"
    first.polled = GOOD
    assert site.step(AWAY_SECONDS + 1) == "db3"
    second.polled = psycopg.OperationalError("closed")
    assert site.step() == "db2"
    assert logged.messages == [
        "standby db2 is not read from: connection refused",
        "standby db3 answers reads of the catalog",
        "standby db3 is not read from: closed",
        "standby db2 answers reads of the catalog",
    ]
    assert first.disconnected == second.disconnected == 1


def test_a_standby_that_stays_away_is_logged_once_and_tried_after_a_pause(
    site: Site, logged: pytest.LogCaptureFixture
) -> None:
    for standby in site.standbys:
        standby.polled = psycopg.OperationalError("connection refused")
    assert not any(site.step(1.0) for _ in range(20))
    assert len(logged.messages) == 2
    assert [standby.disconnected for standby in site.standbys] == [4, 4]


def test_a_horizon_begins_with_the_timeline_that_the_standby_shows(site: Site) -> None:
    site.standbys[0].polled = evolve(GOOD, timeline=3)
    site.step()
    chosen = site.monitor.choose()
    assert chosen is not None
    assert change_number(2, 10**9) < chosen[1].number < change_number(4, 0)


def test_a_standby_must_show_a_mark_of_the_primary(site: Site, logged: pytest.LogCaptureFixture) -> None:
    site = Site(["db2"])
    standby = site.standbys[0]
    for unknown in (evolve(GOOD, mark="of another primary"), evolve(GOOD, mark=None, timeline=None)):
        standby.polled = unknown
        assert site.step(0.1) == ""
    # It may only be a moment behind, so nothing is logged and it is not left.
    assert logged.messages == []
    assert standby.disconnected == 0
    standby.polled = GOOD
    assert site.step(0.1) == "db2"


def test_a_standby_that_stays_behind_is_left(site: Site, logged: pytest.LogCaptureFixture) -> None:
    site.standbys[0].polled = evolve(GOOD, mark="of another primary")
    assert site.step() == ""
    assert site.step(MAX_LAG_SECONDS + 0.1) == "db3"
    assert logged.messages[0].startswith("standby db2 is not read from: it lacks what the primary wrote 3 seconds ago")


def test_a_former_mark_counts_for_as_long_as_the_lag_that_is_allowed(site: Site) -> None:
    site.step()
    site.primary.sent = Heartbeat("second", "the primary's", "shop")
    assert site.step(HEARTBEAT_CHECK_SECONDS) == "db2"
    assert site.step(MAX_LAG_SECONDS - HEARTBEAT_CHECK_SECONDS) == "db2"
    assert site.step(0.1) == ""
    site.standbys[0].polled = evolve(GOOD, mark="second")
    assert site.step(0.1) == "db2"


def test_without_heartbeats_of_the_primary_no_standby_is_read_from(
    site: Site, logged: pytest.LogCaptureFixture
) -> None:
    site.step()
    site.primary.sent = Unavailable("The database cannot be reached.")
    assert site.step(1.0) == "db2"
    assert site.step(MAX_LAG_SECONDS) == ""
    assert site.step(1.0) == ""
    assert len([line for line in logged.messages if "did not take their heartbeat" in line]) == 1
    site.primary.sent = Heartbeat("second", "the primary's", "shop")
    site.standbys[0].polled = evolve(GOOD, mark="second")
    assert site.step(1.0) == "db2"


def test_a_promoted_standby_is_not_read_from(site: Site, logged: pytest.LogCaptureFixture) -> None:
    site.step()
    site.standbys[0].polled = evolve(GOOD, is_standby=False)
    assert site.step() == "db3"
    assert "standby db2 is not read from: it is no standby, or was promoted" in logged.messages


@pytest.mark.parametrize(
    ("names", "level", "message"),
    [
        (["db1", "db2"], logging.INFO, "it is the primary"),
        (
            ["db1"],
            logging.ERROR,
            "it is the primary, which answers all reads already: name standbys in DATABASE_READ_URL",
        ),
    ],
)
def test_the_primary_is_left_out(names: list[str], level: int, message: str, logged: pytest.LogCaptureFixture) -> None:
    site = Site(names)
    site.standbys[0].polled = evolve(GOOD, is_standby=False, instance="the primary's")
    assert site.step() == ("" if len(names) == 1 else "db2")
    assert [(each.levelno, each.message) for each in logged.records if "db1" in each.message] == [
        (level, f"standby db1 is not read from: {message}")
    ]


def test_a_standby_of_another_cluster_is_refused(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.standbys[0].cluster = "another"
    assert site.step() == "db3"
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.message == (
        "standby db2 is not read from: it belongs to another cluster (system identifier another) than the primary"
        " (shop): correct DATABASE_READ_URL"
    )


def test_without_the_privilege_to_read_the_identifier_the_mark_decides(site: Site) -> None:
    site.standbys[0].cluster = None
    assert site.step() == "db2"


def test_a_standby_whose_connections_for_reads_fail_is_logged_once(
    site: Site, logged: pytest.LogCaptureFixture
) -> None:
    site.standbys[0].refused = Unavailable("The database has no free connections.")
    for _ in range(20):
        assert site.step(1.0) == "db3"
    assert logged.messages == [
        "standby db2 is not read from: The database has no free connections.",
        "standby db3 answers reads of the catalog",
    ]


def test_a_failed_read_pauses_the_standby(site: Site, logged: pytest.LogCaptureFixture) -> None:
    site.step()
    first, second = site.standbys
    site.monitor.report_failure(first, "server closed the connection")  # type: ignore[arg-type]
    assert site.monitor.choose() is None
    assert site.step() == "db3"
    assert "standby db2 is not read from: server closed the connection" in logged.messages
    site.monitor.report_failure(second, "conflict with recovery", CONFLICT_SECONDS)  # type: ignore[arg-type]
    assert site.step() == ""
    assert site.step(CONFLICT_SECONDS + 0.1) == "db3"
    # A cancelled statement is not logged: it may happen every second.
    assert not any("conflict" in line for line in logged.messages)
