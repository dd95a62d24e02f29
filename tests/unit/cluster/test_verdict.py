"""What the test of the cluster counts, from what clients sent and received."""

from collections.abc import Sequence

import pytest

from tests.cluster.cluster_run import Round
from tests.cluster.load import AcknowledgedOrder, ClientLog, PriceChange, PriceRead, ReadinessAnswer
from tests.cluster.options import parse
from tests.cluster.report import Report, describe
from tests.cluster.verdict import (
    RoundFigures,
    Totals,
    compare_orders,
    count_late_writes,
    count_oversold,
    count_stale_reads,
    gaps,
    measure,
    percentile_95,
)


def order(number: int, ended: float, api: int = 0, product: int = 7) -> AcknowledgedOrder:
    return AcknowledgedOrder(api, f"order-{number}", product, number, ended - 0.1, ended)


def a_round(begun: float = 100, elected_at: float = 120) -> Round:
    return Round(
        1,
        "kill",
        "2026-12-01T00:00:00Z",
        "postgres-1",
        "postgres-2",
        begun,
        elected_at,
        126,
        healthy_at=130,
        over_at=140,
    )


def figures(*, election: float = 20, outage: float = 21, ready: float = 0) -> RoundFigures:
    return RoundFigures(1, "kill", election, outage, outage, ready, 4, 100)


def report(rounds: Sequence[RoundFigures], totals: Totals) -> Report:
    return Report(parse(["--faults", str(len(rounds)), "--seed", "1"]), [a_round()] * len(rounds), rounds, totals)


def failing(of: Report) -> list[str]:
    return [criterion.name for criterion in of.criteria() if not criterion.holds]


def test_gaps_include_the_edges_of_the_interval() -> None:
    assert [gap.seconds for gap in gaps([1, 4, 5, 20], begun=3, ended=9)] == [1, 1, 4]


def test_the_95th_percentile_is_one_of_the_values() -> None:
    assert percentile_95(range(1, 101)) == 95
    assert percentile_95([7]) == 7
    assert percentile_95(range(50)) == 47


def test_the_outage_is_that_of_the_process_with_the_longer_one() -> None:
    log = ClientLog(orders=[order(n, 99 + n) for n in range(42) if not 2 <= n <= 20])
    log.orders += [order(100 + n, 99.5 + n, api=1) for n in range(42) if not 2 <= n <= 25]
    found = measure(a_round(), log)
    assert (found.election, found.outage, found.recovery) == (20, 25, 4)
    assert found.intake_outage == 20 - 0.5
    assert found.excess == 5
    assert found.orders == sum(99 <= each.ended <= 140 for each in log.orders)


def test_readiness_counts_only_while_no_order_is_acknowledged() -> None:
    log = ClientLog(orders=[order(n, 99 + n) for n in range(42) if not 2 <= n <= 20])
    log.readiness = [ReadinessAnswer(0, 99.5, True), ReadinessAnswer(0, 104, True), ReadinessAnswer(0, 112, False)]
    assert measure(a_round(), log).ready_in_outage == 4
    # Ready again, and within a second the next order is acknowledged.
    log.readiness.append(ReadinessAnswer(0, 119.5, True))
    assert measure(a_round(), log).ready_in_outage == 4
    assert not measure(a_round(), log).is_ready_while_intake_hangs
    log.readiness.append(ReadinessAnswer(0, 112, True))
    assert measure(a_round(), log).is_ready_while_intake_hangs
    # The other process is ready, and has orders.
    other = ClientLog(orders=[order(n, 99 + n) for n in range(42)], readiness=log.readiness)
    assert measure(a_round(), other).ready_in_outage == 0


def test_a_read_is_stale_if_a_higher_price_was_acknowledged_a_second_before() -> None:
    changes = [PriceChange(1001, 10, 200), PriceChange(1002, 11, 200), PriceChange(1003, 12, 503)]
    assert count_stale_reads(changes, [PriceRead(11.5, 1001), PriceRead(20, 1002), PriceRead(20, 1003)]) == 0
    assert count_stale_reads(changes, [PriceRead(12.5, 1001), PriceRead(10.5, 1000), PriceRead(11.5, 1000)]) == 2


def test_a_price_below_the_one_before_was_written_late() -> None:
    assert count_late_writes([1000, 1001, 1005]) == 0
    assert count_late_writes([1000, 1005, 1001, 1006]) == 1


def test_orders_are_compared_with_what_was_acknowledged() -> None:
    acknowledged = [order(1, 1), order(2, 2), order(3, 3)]
    totals = Totals()
    compare_orders(acknowledged, 1, {1: 7, 2: 7, 3: 7, 4: 7}, totals)
    assert (totals.acknowledged, totals.lost, totals.altered, totals.duplicated) == (3, 0, 0, 0)
    compare_orders(acknowledged, 0, {1: 7, 2: 8, 4: 7}, totals)
    assert (totals.lost, totals.altered, totals.duplicated) == (1, 1, 1)
    compare_orders([*acknowledged, order(3, 4)], 0, {1: 7, 2: 7, 3: 7}, totals)
    assert totals.duplicated == 1


def test_units_beyond_the_stock_are_oversold() -> None:
    totals = Totals()
    count_oversold({7: 150, 8: 150, 9: 150}, {7: 150, 8: 152}, totals)
    assert (totals.oversold, totals.sold_out) == (2, 1)


def test_a_report_without_violations_is_passed() -> None:
    passed = report([figures()], Totals(acknowledged=5))
    assert failing(passed) == []
    assert passed.is_passed
    assert passed.faults_table().row_count == 2
    assert passed.criteria_table().row_count == len(passed.criteria())


@pytest.mark.parametrize("name", sorted(set(Totals().violations()) - {"audits with differences"}))
def test_each_violation_fails_the_report(name: str) -> None:
    for count in ("lost", "altered", "duplicated", "answered_otherwise", "never_acknowledged", "refused", "undecided",
                  "oversold", "stale_reads", "late_writes"):  # fmt: skip
        totals = Totals(acknowledged=5)
        setattr(totals, count, 1)
        if totals.violations()[name]:
            assert failing(report([figures()], totals)) == [f"{name}: 0"]
            return
    pytest.fail(f"nothing counts {name}")


def test_outages_readiness_audits_and_missing_faults_fail_the_report() -> None:
    clean = Totals(acknowledged=5)
    assert failing(report([figures(outage=23.1)], clean)) == ["outage minus election, p95: at most 3 s"]
    # One fault in 20 may take longer.
    assert report([figures()] * 19 + [figures(outage=60)], clean).is_passed
    (readiness,) = failing(report([figures(ready=11.2)], clean))
    assert readiness.startswith("faults with /readyz 200")
    assert failing(report([figures()], Totals(acknowledged=5, audits=["differs"]))) == ["audits with differences: 0"]
    stopped = Report(parse(["--faults", "2"]), [a_round()], [figures()], clean)
    assert failing(stopped) == ["faults: 2"]
    assert "orders acknowledged" in failing(report([figures()], Totals()))


def test_a_line_names_what_was_restarted_and_copied() -> None:
    found = a_round()
    assert "restarted" not in describe(found, figures())
    found.reinitialized, found.restarts = ["postgres-1"], {"api-1": 2}
    line = describe(found, figures())
    assert "copied anew: postgres-1" in line
    assert "restarted: api-1 2 times" in line
