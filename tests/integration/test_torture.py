"""`scalecommerce torture` on real processes, and its invariants on manipulated data."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from attrs import define

from adapters.cli.torture_report import Checked, TortureOptions
from entrypoints.processes.errors import CannotRun
from entrypoints.torture import run as running
from entrypoints.torture.client_log import AcknowledgedOrder, ClientLog, FeedReader, RequestedRefund
from entrypoints.torture.invariants import Invariants
from scalecommerce_core.domain.order import RefundLine
from scalecommerce_core.services.catalog import AdjustStock
from scalecommerce_core.services.ordering import CancelOrder
from scalecommerce_core.testing import SettableClock
from tests.integration.engine_process import run
from tests.integration.real_market import real_market
from tests.unit.support.shop import MarketActions, line, usd

PROMISE = 600.0

TWIN = """
    WITH clone AS (
        INSERT INTO orders SELECT 99, gen_random_uuid(), buyer_id, currency, status, shortfalls, created_at, updated_at,
            expires_at, paid_at, origin, decide_attempts, decide_after FROM orders WHERE id = 2
    )
    INSERT INTO order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
    SELECT 99, position, product_id, seller_id, quantity, price, refunded FROM order_lines WHERE order_id = 2
"""
WEBHOOKS = """
    INSERT INTO webhook_deliveries (id, endpoint_id, seq, message_id, topic, body, status, attempts, logged, revision,
        created_at)
    SELECT seq, 1, seq, 'message ' || seq, topic, '{}', 'DELIVERED', 1, 1, 0, now() FROM events
    WHERE 1 IN (reader_1, reader_2, reader_3)
"""
SOLD_TWICE = """
    INSERT INTO stock_movements (product_id, quantity, kind, occurred_at, order_id)
    SELECT product_id, quantity, kind, occurred_at, order_id FROM stock_movements WHERE kind = 'sale'
"""


@define
class History:
    """A small consistent market and the log of its clients."""

    connection: psycopg.Connection
    log: ClientLog

    def broken(self) -> dict[str, Checked]:
        return {
            checked.invariant: checked
            for checked in Invariants(self.connection, self.log, PROMISE).check_all()
            if not checked.holds
        }


@pytest.fixture
def history(database: str, administrator_url: Callable[[str], str]) -> Iterator[History]:
    log = ClientLog()
    with real_market(database, SettableClock(datetime.now(UTC))) as market:
        _make_history(MarketActions(market), log)
    with psycopg.connect(administrator_url(database).replace("+psycopg", ""), autocommit=True) as connection:
        # The manipulations must not be prevented by constraints.
        connection.execute("SET session_replication_role = replica")
        connection.execute(WEBHOOKS)
        log.endpoints[1] = 1
        log.received.update(message for (message,) in connection.execute("SELECT message_id FROM webhook_deliveries"))
        connection.execute("ALTER TABLE orders DROP CONSTRAINT orders_reservation_ends")
        connection.execute("ALTER TABLE stock DROP CONSTRAINT stock_never_oversold")
        yield History(connection, log)


def _make_history(actions: MarketActions, log: ClientLog) -> None:
    """Orders 1 to 5: paid and half refunded, paid, cancelled, rejected, open."""
    market, seller, buyer = actions.market, actions.person("seller"), actions.person("buyer")
    product = actions.list(seller, stock=20)
    log.opening_stock[product] = 20
    orders = [actions.place(buyer, line(product, units)) for units in (2, 3, 1, 90, 4)]
    for order in orders:
        lines = tuple((line.product_id, line.quantity, line.price) for line in order.lines)
        log.record_order(AcknowledgedOrder(order.id, buyer.id, f"key-{order.id}", lines, order.total.minor))
    market.ordering.decide()
    for order in orders[:2]:
        actions.pay(order.id, buyer)
    market.ordering.cancel([CancelOrder(orders[2].id, buyer.id)])
    actions.refund(orders[0], seller.id, RefundLine(product, 1))
    market.catalog.adjust_stock([AdjustStock(product, seller.id, delta=5)])
    actions.edit(product, price=usd("12.00"))
    market.payments.send_refunds()
    log.paid |= {orders[0].id, orders[1].id}
    log.cancelled.add(orders[2].id)
    log.record_refund([RequestedRefund(orders[0].id, product, 1, restock=True)], known=True)
    log.record_adjustment(product, 5, known=True)
    market.relay.assign_sequence()
    received = [event.seq for event in market.queries.feed(0, 3, buyer.id).events]
    log.feeds[buyer.id] = FeedReader(received[-1], received)


def test_a_consistent_history_satisfies_all_invariants(history: History) -> None:
    assert history.broken() == {}
    compared = {
        checked.invariant: checked.compared for checked in Invariants(history.connection, history.log, 1).check_all()
    }
    assert min(compared.values()) > 0, "an invariant that compares nothing always holds"


@pytest.mark.parametrize(
    ("tampering", "invariant"),
    [
        ("DELETE FROM orders WHERE id = 2", "every acknowledged order exists as it was returned"),
        (
            "UPDATE order_lines SET quantity = 2 WHERE order_id = 5",
            "every acknowledged order exists as it was returned",
        ),
        ("UPDATE orders SET buyer_id = 1 WHERE id = 5", "every acknowledged order exists as it was returned"),
        (TWIN, "no request created two orders"),
        ("UPDATE orders SET status = 'CANCELLED', paid_at = NULL WHERE id = 2", "confirmed payments and cancellations"),
        ("UPDATE stock SET on_hand = on_hand + 1", "stock on hand is the sum of its ledger"),
        ("UPDATE stock SET reserved = reserved - 1", "reserved stock is the sum of pending orders"),
        ("UPDATE stock SET reserved = on_hand + 1", "reserved stock is the sum of pending orders"),
        ("DELETE FROM stock_movements WHERE order_id = 2", "every paid line left the stock exactly once"),
        (SOLD_TWICE, "every paid line left the stock exactly once"),
        ("UPDATE stock_movements SET quantity = 6 WHERE kind = 'adjustment'", "stock changes of sellers"),
        ("UPDATE stock_movements SET quantity = 19 WHERE kind = 'opening'", "stock changes of sellers"),
        ("DELETE FROM refunds", "each refund was made once"),
        ("DELETE FROM stock_movements WHERE kind = 'return'", "each refund was made once"),
        ("UPDATE refunds SET amount = amount + 1", "money is conserved to the cent"),
        ("UPDATE order_lines SET refunded = 2 WHERE order_id = 1", "money is conserved to the cent"),
        ("DELETE FROM payments WHERE order_id = 2", "every paid order was charged once"),
        ("UPDATE payments SET amount = amount + 1 WHERE order_id = 2", "every paid order was charged once"),
        ("UPDATE payments SET refunded = 0", "every paid order was charged once"),
        ("DELETE FROM sandbox_charges", "charges and refunds of the gateway"),
        ("UPDATE sandbox_charges SET amount = amount + 1", "charges and refunds of the gateway"),
        ("DELETE FROM sandbox_refunds", "charges and refunds of the gateway"),
        (
            "INSERT INTO sandbox_charges SELECT gen_random_uuid(), 5, 'USD'",
            "charges and refunds of the gateway",
        ),
        ("UPDATE order_lines SET price = 999 WHERE order_id = 4", "every line was sold at a price in force"),
        ("UPDATE products SET price = 1300", "the price history is complete"),
        ("DELETE FROM price_history WHERE price = 1000", "the price history is complete"),
        ("DELETE FROM events WHERE topic = 'order.paid'", "each transition of an order has one event"),
        (
            (
                "INSERT INTO events (seq, occurred_at, order_id, reader_1, topic, payload)"
                " SELECT seq + 100, now(), order_id, reader_1, topic, payload FROM events WHERE seq = 3"
            ),
            "each transition of an order has one event",
        ),
        ("DELETE FROM events WHERE seq = 3", "events are numbered without a gap"),
        ("UPDATE events SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM events)", "events are numbered without"),
        (
            "UPDATE events SET reader_1 = NULL, reader_2 = NULL WHERE seq = 3",
            "readers of the feed received every event once",
        ),
        (
            "UPDATE events SET reader_3 = 2 WHERE seq = 1",
            "readers of the feed received every event",
        ),
        ("DELETE FROM webhook_deliveries WHERE seq = 7", "webhooks arrived at least once"),
        ("UPDATE webhook_deliveries SET message_id = 'unheard of' WHERE seq = 7", "webhooks arrived at least once"),
        ("UPDATE webhook_deliveries SET status = 'PENDING', try_at = now() WHERE seq = 7", "no work is left"),
        ("UPDATE orders SET status = 'CREATED', expires_at = NULL WHERE id = 5", "no work is left"),
        ("UPDATE orders SET expires_at = now() - interval '1 hour' WHERE id = 5", "no work is left"),
        (
            "UPDATE payments SET status = 'OPEN', check_at = now(), reference = NULL WHERE order_id = 2",
            "no work is left",
        ),
        ("UPDATE payment_refunds SET status = 'OPEN', done_at = NULL", "no work is left"),
        (
            (
                "INSERT INTO outbox (topic, occurred_at, audience, order_id, payload)"
                " SELECT topic, occurred_at, ARRAY[reader_1], order_id, payload FROM events"
            ),
            "no work is left",
        ),
    ],
)
def test_a_manipulated_database_violates_an_invariant(history: History, tampering: str, invariant: str) -> None:
    assert history.connection.execute(tampering.encode()).rowcount > 0
    broken = [checked for name, checked in history.broken().items() if name.startswith(invariant)]
    assert broken, history.broken()
    assert broken[0].examples


def test_an_unacknowledged_order_needs_an_unanswered_request(history: History) -> None:
    told = history.log.orders.pop(5)
    assert set(history.broken()) == {"no request created two orders"}
    history.log.unconfirmed_orders.append((told.buyer, ((1, 4),)))
    assert history.broken() == {}


def test_an_unanswered_request_may_have_taken_effect(history: History) -> None:
    (adjustment,) = history.log.adjusted
    (refund,) = history.log.refunded
    history.log.adjusted.clear()
    history.log.refunded.clear()
    assert len(history.broken()) == 2
    history.log.record_adjustment(*adjustment, known=False)
    history.log.record_refund([refund], known=False)
    assert history.broken() == {}


def test_the_quick_self_test_passes(tmp_path: Path) -> None:
    # The servers of the environment must not be used.
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    ended = run("torture", "--quick", "--json", "--data", str(tmp_path / "torture"), cwd=tmp_path, **away)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(ended.stdout)
    assert report["holds"] is True
    assert sum(report["kills"].values()) > 0
    assert report["done"]["orders acknowledged"] > 0
    assert (tmp_path / "torture" / "logs" / "api-2.log").exists()


def test_a_broken_invariant_is_reported_and_its_data_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tampered(Invariants):
        def check_all(self) -> list[Checked]:
            self._connection.execute("UPDATE stock SET on_hand = on_hand + 1")
            return super().check_all()

    monkeypatch.setattr(running, "Invariants", Tampered)
    monkeypatch.setenv("WORKER_CONCURRENCY", "1")
    report = running.torture(
        TortureOptions(seed=1, kills=1, seconds=3, buyers=2, products=4, webhooks=False), lambda _told: None
    )
    assert not report.holds
    broken = {checked.invariant for checked in report.invariants if not checked.holds}
    # On a busy machine there may be no order for some seconds.
    assert broken - {"orders were acknowledged during the test"} == {"stock on hand is the sum of its ledger"}
    assert report.kept is not None
    assert {path.name for path in report.kept.iterdir()} >= {"logs", "postgresql", "redis"}
    shutil.rmtree(report.kept)


def test_a_directory_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    options = TortureOptions(seed=1, kills=1, seconds=1, buyers=1, products=4, data=tmp_path)
    with pytest.raises(CannotRun, match="not empty"):
        running.torture(options, lambda _told: None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
