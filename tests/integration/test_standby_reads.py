"""Reads of the catalog from a real standby: at once up to date, two seconds behind, cut off, and promoted."""

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError

from adapters.db.core.engine import database_engine
from adapters.db.core.standby_monitor import PolledInstance, Primary, Standby, StandbyMonitor
from bench.standby_reads import Market, Shares, Site, measure, site
from tests.integration.engine_process import eventually
from tests.integration.ports import free_port


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Its last test promotes the standby."""
    with site(tmp_path_factory.mktemp("standby"), through_proxies=True, METRICS_PORT=str(free_port())) as found:
        yield found


def test_a_standby_answers_most_reads_and_no_answer_lacks_a_change_for_a_second(chosen: Site) -> None:
    def look() -> bool:
        report = measure(chosen, 0, 2)
        assert report.is_clean, str(report)
        return report.writes > 0 and report.shares.share > 0.5

    eventually(look, "a share of more than a half")


def test_no_answer_lacks_a_change_for_a_second_if_the_standby_is_two_seconds_behind(chosen: Site) -> None:
    def look() -> bool:
        report = measure(chosen, 2, 4)
        assert report.is_clean, str(report)
        return report.writes > 0 and report.shares.standby > 0 and report.shares.fallbacks.get("behind", 0) > 0

    try:
        eventually(look, "reads of products that did not change, and of others")
    finally:
        chosen.delay(0)


def test_reads_go_on_while_the_standby_is_cut_off(chosen: Site) -> None:
    market = Market(chosen, readers=3, pause=0.1)
    proxy = chosen.servers.proxy_of(chosen.servers.standby)
    try:
        _await_standby_reads(chosen)
        proxy.cut()
        before = chosen.shares()
        eventually(lambda: (chosen.shares() - before).fallbacks.get("away", 0) > 20, "reads from the primary")
        proxy.heal()
        _await_standby_reads(chosen)
    finally:
        proxy.heal()
        market.stop()
    assert market.failures == 0
    assert not [age for _, age in market.stale() if age > 1]


@pytest.fixture
def monitored(chosen: Site, database: str) -> Iterator[tuple[Primary, Primary]]:
    """The primary of the site, and that of another cluster."""
    engines = [database_engine(url) for url in (chosen.servers.direct_url(chosen.servers.primary), database)]
    yield Primary(engines[0]), Primary(engines[1])
    for engine in engines:
        engine.dispose()


def test_another_cluster_and_the_primary_are_refused(
    chosen: Site, monitored: tuple[Primary, Primary], caplog: pytest.LogCaptureFixture
) -> None:
    servers = chosen.servers
    hosts = [Standby(servers.direct_url(server)) for server in (servers.standby, servers.primary)]
    monitors = [StandbyMonitor([hosts[0]], monitored[1]), StandbyMonitor([hosts[1]], monitored[0])]
    for monitor in monitors:
        monitor.step()
        assert monitor.choose() is None
        monitor.close()
    logged = [each for each in caplog.records if each.name == "adapters.db.core.standby_monitor"]
    assert [each.levelno for each in logged] == [logging.ERROR, logging.ERROR]
    assert "it belongs to another cluster" in logged[0].message
    assert "it is the primary, which answers all reads already" in logged[1].message


def test_connections_to_another_server_than_the_polled_one_are_not_used(
    chosen: Site, monitored: tuple[Primary, Primary]
) -> None:
    standby = Standby(chosen.servers.direct_url(chosen.servers.standby))
    monitor = StandbyMonitor([standby], monitored[0])
    try:
        eventually(monitor.choose, "the standby")
        with standby.engine.connect() as connection:
            assert connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one() is True
        monitor.close()
        standby.instance = PolledInstance("another start of another server")
        with pytest.raises(InvalidRequestError):
            standby.engine.connect()
    finally:
        monitor.close()


def test_after_a_failover_the_new_standby_is_read_from_and_no_answer_is_stale(chosen: Site) -> None:
    servers = chosen.servers
    market = Market(chosen, readers=3, pause=0.1)
    try:
        _await_standby_reads(chosen)
        servers.proxy_of(servers.primary).cut()
        servers.promote()
        written = sum(map(len, market.acknowledged.values()))
        eventually(lambda: sum(map(len, market.acknowledged.values())) > written + 5, "changes on the new primary")
        # The former primary is no standby, so it is not read from.
        servers.proxy_of(servers.standby).heal()
        before = chosen.shares()
        eventually(lambda: (chosen.shares() - before).fallbacks.get("away", 0) > 20, "reads from the primary")
        servers.replace_former_primary()
        _await_standby_reads(chosen)
    finally:
        market.stop()
    assert market.reads
    assert not [age for _, age in market.stale() if age > 1]
    assert market.own_stale == 0


def _await_standby_reads(chosen: Site, count: int = 50) -> Shares:
    before = chosen.shares()
    eventually(lambda: (chosen.shares() - before).standby > count, "reads from the standby")
    return chosen.shares() - before
