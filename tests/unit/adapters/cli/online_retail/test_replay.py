"""The sample, replayed in memory: the figures add up, a second run changes nothing, an interrupted one goes on."""

from pathlib import Path

import pytest

import adapters.cli.online_retail
from adapters.cli.online_retail.lines import Refusal
from adapters.cli.online_retail.replay import OtherHistory, email_of, import_online_retail, replay
from adapters.cli.online_retail.report import ReplayReport, show
from scalecommerce_core.domain.order import OrderOrigin, OrderStatus
from scalecommerce_core.services.market import Market
from scalecommerce_core.testing import MemoryStore, in_memory_market
from scalecommerce_core.testing.memory.tables import Tables
from tests.unit.adapters.cli.online_retail.builders import planned, row

SAMPLE = Path(adapters.cli.online_retail.__file__).parent / "sample.csv"


@pytest.fixture
def market() -> Market:
    return in_memory_market()


@pytest.fixture
def report(market: Market) -> ReplayReport:
    return import_online_retail(market, SAMPLE)


def tables(market: Market) -> Tables:
    assert isinstance(market.store, MemoryStore)
    return market.store.tables


def test_every_line_is_accounted_for(report: ReplayReport) -> None:
    assert report.reconciles
    assert report.lines_read == len(SAMPLE.read_text(encoding="utf-8").splitlines()) - 1
    assert (report.lines_imported, report.revenue, report.orders) == (238, 231_658_80, 87)
    wanted = {
        Refusal.ZERO_PRICE, Refusal.NEGATIVE_PRICE, Refusal.SUB_CENT, Refusal.NEGATIVE_QUANTITY, Refusal.NO_CUSTOMER,
        Refusal.NO_PURCHASE,
    }  # fmt: skip
    assert set(report.refused) == {why.value for why in wanted}
    assert report.returns.lines_refunded_in_part > 0
    assert report.off_list_lines > 0
    assert report.guest_lines > 0


def test_the_engine_has_the_records_of_the_report(market: Market, report: ReplayReport) -> None:
    stats = market.queries.seller_stats(report.outcome.seller_id)
    assert stats.revenue == report.revenue - report.returns.refunded
    assert (stats.orders, stats.total_products, stats.currency) == (report.orders, report.products, "GBP")
    assert market.queries.stock_discrepancies() == []
    assert sum(m.quantity for m in tables(market).movements.rows if m.kind == "opening") == report.opening_units


def test_imported_orders_are_settled(market: Market, report: ReplayReport) -> None:
    assert report.outcome.new_orders == 87
    for order in tables(market).orders.all():
        assert order.origin is OrderOrigin.IMPORT
        assert order.status in {OrderStatus.PAID, OrderStatus.REFUNDED}
        assert order.created_at.year in {2010, 2011}
    assert tables(market).events.rows == []


def test_imported_customers_have_no_password(market: Market, report: ReplayReport) -> None:
    assert report.customers == 61
    accounts = list(tables(market).accounts.all())
    assert len(accounts) == report.customers + 2
    assert {account.password_hash for account in accounts} == {None}
    assert email_of("") in {account.email for account in accounts}


def test_a_second_import_changes_nothing(market: Market, report: ReplayReport) -> None:
    before = {name: len(list(getattr(tables(market), name).all())) for name in ("accounts", "products", "orders")}
    movements = list(tables(market).movements.rows)
    again = import_online_retail(market, SAMPLE)
    assert (again.outcome.new_accounts, again.outcome.new_products, again.outcome.new_orders) == (0, 0, 0)
    assert again.outcome.known_orders == report.orders
    assert again.reconciles
    assert before == {name: len(list(getattr(tables(market), name).all())) for name in before}
    assert movements == tables(market).movements.rows


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
    assert (report.outcome.known_orders > 0) == (step == "orders")
    assert market.queries.seller_stats(report.outcome.seller_id).revenue == report.revenue - report.returns.refunded
    assert market.queries.stock_discrepancies() == []


def test_another_file_for_the_same_products_is_refused(market: Market) -> None:
    replay(market, planned(row("1", quantity=1)))
    with pytest.raises(OtherHistory, match="falls short of stock"):
        replay(market, planned(row("2", quantity=100)))


def test_the_report_is_printed(report: ReplayReport, capsys: pytest.CaptureFixture[str]) -> None:
    show(report)
    text = capsys.readouterr().out
    assert "231,658.80" in text
    assert "Reconciles: 292 lines read, all accounted for." in text
    said = report.as_json()
    assert said["revenue"] == "231658.80"
    assert said["lines_accounted_for"] == said["lines_read"] == 292
