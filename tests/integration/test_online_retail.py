"""The sample of real orders, replayed into a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import adapters.cli.online_retail
from adapters.cli.online_retail.replay import import_online_retail
from scalecommerce_core.services.market import Market
from tests.integration.real_market import real_market

SAMPLE = Path(adapters.cli.online_retail.__file__).parent / "sample.csv"


@pytest.fixture
def market(database: str) -> Iterator[Market]:
    with real_market(database) as market:
        yield market


def test_the_import_reconciles_to_the_cent_and_a_second_run_changes_nothing(market: Market) -> None:
    report = import_online_retail(market, SAMPLE)
    assert report.reconciles
    market.statistics.catch_up()
    stats = market.queries.seller_stats(report.outcome.seller_id)
    net = report.revenue - report.returns.refunded
    assert (stats.revenue, stats.orders, stats.currency) == (net, report.orders, "GBP")
    assert market.queries.stock_discrepancies() == []
    exported = list(market.queries.iter_orders())

    again = import_online_retail(market, SAMPLE)
    assert (again.outcome.new_accounts, again.outcome.new_products, again.outcome.new_lines) == (0, 0, 0)
    assert again.outcome.known_orders == report.orders
    assert list(market.queries.iter_orders()) == exported
    market.statistics.catch_up()
    assert market.queries.seller_stats(report.outcome.seller_id) == stats
    assert market.queries.statistics_discrepancies() == []


@pytest.mark.parametrize("step", ["accounts", "products", "orders"])
def test_an_interrupted_import_continues(step: str, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.cli.online_retail.replay.BATCH", 20)
    monkeypatch.setattr("adapters.cli.online_retail.replay.BATCH_LINES", 20)

    def interrupt(reached: str, done: int, total: int | None) -> None:
        if reached == step and total is not None and done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_online_retail(market, SAMPLE, interrupt)
    assert market.queries.stock_discrepancies() == []
    report = import_online_retail(market, SAMPLE)
    assert report.reconciles
    market.statistics.catch_up()
    assert market.queries.seller_stats(report.outcome.seller_id).revenue == report.revenue - report.returns.refunded
    assert market.queries.stock_discrepancies() == []
