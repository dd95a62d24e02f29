"""Each alert fires in time for a fault that is caused in a running engine, and for no other fault."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import uuid4

import httpx2
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from adapters.tasks.broker import MAX_QUEUED_MESSAGES, create_publisher
from scalecommerce_core.domain.identifiers import CommandId, OrderId, ProductId
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import PlaceOrder
from scalecommerce_core.services.results import unwrap_single
from tests.browser.engine_faults import EngineFaults
from tests.integration.engine_process import EngineProcess, eventually
from tests.integration.scraped_alerts import PROGRAMS, Scraper, Stage, alert_names, check_alerts, free_ports
from tests.project.promtool import find_promtool

PREFIX: Final = "ScaleCommerce"
ORDERS: Final = "/orders/api/v1/"
PRODUCTS: Final = "/products/api/v1/"
UNDECIDED: Final = "oldest_undecided_order_age_seconds"
UNNUMBERED: Final = "oldest_outbox_event_age_seconds"
UNREAD: Final = "event_consumer_lag_seconds"
FAILING_TASK: Final = "scalecommerce.sweep_promotions"

# A charge takes as long as another session holds the lock. The function polls, because `lock_timeout` would end a wait.
SLOW_CHARGES: Final[LiteralString] = """
    CREATE FUNCTION slow_charge() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP
            PERFORM pg_sleep(0.1);
        END LOOP;
        RETURN NEW;
    END $$;
    CREATE TRIGGER slow_charge BEFORE INSERT ON sandbox_charges FOR EACH ROW EXECUTE FUNCTION slow_charge();
"""
NO_SLOW_CHARGES: Final[LiteralString] = "DROP TRIGGER slow_charge ON sandbox_charges; DROP FUNCTION slow_charge()"


class AlertFaults(EngineFaults):
    """Faults that last while the programs are scraped; orders of the demo's buyer are the load."""

    def __init__(self, engine: EngineProcess, directory: Path, scraper: Scraper) -> None:
        super().__init__(engine, directory)
        self.scraper = scraper
        self.stages: list[Stage] = []
        self.lasting: frozenset[str] = frozenset()
        self._body = {"name": "Tea tray", "category_id": 1, "price": "9.00", "stock": 1_000_000}
        self._product = ProductId(self._ask("seller", "POST", PRODUCTS, self._body)["id"])
        self._client = httpx2.Client(base_url=engine.url, timeout=60)
        self._publisher = create_publisher(self._settings.redis_url.reveal())

    def close(self) -> None:
        self._client.close()
        self._publisher.close()
        self.scraper.close()

    # --- load

    def post(self, role: str, path: str, body: object = None) -> int:
        """Return the status of the response."""
        token = {"Authorization": f"Bearer {self._tokens[role]}"}
        return self._client.post(path, json=body, headers=token).status_code

    def order(self) -> int:
        return self.post("buyer", ORDERS, {"order_item": [{"product": self._product, "quantity": 1}]})

    def list_product(self) -> None:
        assert self.post("seller", PRODUCTS, self._body) == 500

    def idle(self) -> None:
        """No load."""

    def order_in(self, market: Market, count: int = 1) -> list[OrderId]:
        """Place orders at the time of this market's clock."""
        lines = [OrderLineRequest(self._product, 1)]
        commands = [PlaceOrder(CommandId(uuid4()), self._ids["buyer"], lines) for _ in range(count)]
        return [OrderId(unwrap_single([placed]).id) for placed in market.ordering.place(commands)]

    # --- stages

    def watch(
        self,
        name: str,
        *expected: str,
        each: Callable[[], object] | None = None,
        build_up: int = 0,
        is_beat_silent: bool = False,
    ) -> None:
        """Scrape while a fault lasts, with an order before each scrape unless `each` is called instead."""
        alerts = frozenset(PREFIX + alert for alert in expected)
        self.stages.append(Stage(name, alerts, self.lasting, build_up))
        self.scraper.fill(self.stages[-1], each or self.order, is_beat_silent=is_beat_silent)

    def watch_lasting(self, name: str, expected: str, trouble: str) -> None:
        """As `watch`, for a fault that lasts until a person acts, so that its alert fires in all later stages, too."""
        eventually(lambda: self.scraper.last("troubles", kind=trouble) > 0, f"the trouble {trouble}")
        self.await_calm()
        self.watch(name, expected)
        self.lasting |= {PREFIX + expected}

    def await_calm(self, *ages: str) -> None:
        """Wait until nothing is late that a former fault has delayed, or that began in the past; by default, no orders,
        events or readers of events.
        """
        names = ages or (UNDECIDED, UNNUMBERED, UNREAD)
        eventually(lambda: all(self.scraper.last(name) == 0 for name in names), "an engine without late work")

    # --- faults

    @contextmanager
    def frozen(self, program: str) -> Iterator[None]:
        """Stop all processes of a program or an embedded server, as a frozen machine does."""
        group = self.engine.child(program) if program in PROGRAMS else self._server(program)
        os.killpg(group, signal.SIGSTOP)
        self.scraper.frozen.add(program)
        try:
            yield
        finally:
            self.scraper.frozen.remove(program)
            os.killpg(group, signal.SIGCONT)

    def _server(self, program: str) -> int:
        """The process group of an embedded server."""
        found = [process for process, command in self.engine.processes().items() if program in command.split(" ")[0]]
        return os.getpgid(min(found))

    @contextmanager
    def session(self, database: str = "") -> Iterator["psycopg.Connection[Any]"]:
        url = make_url(self._settings.database_url.reveal()).set(drivername="postgresql")
        url = url.set(database=database or url.database)
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            yield connection

    @contextmanager
    def altered_database(self, fault: LiteralString, repair: LiteralString) -> Iterator[None]:
        """Alter the database and end its open connections, so that new ones have the fault."""
        name = str(make_url(self._settings.database_url.reveal()).database)

        def alter(change: LiteralString) -> None:
            connection.execute(sql.SQL("ALTER DATABASE {} " + change).format(sql.Identifier(name)))
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

        with self.session("postgres") as connection:
            alter(fault)
            try:
                yield
            finally:
                alter(repair)

    @contextmanager
    def slow_charges(self) -> Iterator[None]:
        """Payments of as many orders as nearly all connections of the API, whose statements take long."""
        count = round(0.95 * self.scraper.last("database_pool_limit", job="scalecommerce-api"))
        with self.market() as market:
            orders = self.order_in(market, count)
        # Orders are decided in the order of their numbers.
        last = f"{ORDERS}{max(orders)}/"
        eventually(lambda: self._ask("buyer", "GET", last)["status"] == "PENDING", "the decisions")
        with self.session() as session, ThreadPoolExecutor(count) as payers:
            session.execute("SELECT pg_advisory_lock(1)")
            session.execute(SLOW_CHARGES)
            paid = [payers.submit(self.post, "buyer", f"{ORDERS}{order}/pay/") for order in orders]
            try:
                eventually(
                    lambda: (
                        self.scraper.last("database_pool_connections", job="scalecommerce-api", state="in_use") >= count
                    ),
                    "connections in use",
                )
                yield
            finally:
                session.execute("SELECT pg_advisory_unlock(1)")
                statuses = {each.result() for each in paid}
                session.execute(NO_SLOW_CHARGES)
        assert statuses == {200}

    def fill_the_queue(self) -> None:
        """Send as many messages as beat and the workers may leave unread, so that beat sends no more."""
        for _ in range(MAX_QUEUED_MESSAGES):
            self._publisher.send_task(FAILING_TASK, expires=1)
        self.await_silence_of_beat()

    def fail_a_task(self) -> None:
        """Send a task that fails, as beat does, and wait for its failures."""
        before = self.scraper.last("task_failures_total", task=FAILING_TASK)
        for _ in range(3):
            self._publisher.send_task(FAILING_TASK)
        eventually(lambda: self.scraper.last("task_failures_total", task=FAILING_TASK) >= before + 3, "failed tasks")

    def decide_late(self, market: Market) -> None:
        """Place orders in the past, and wait for the decisions."""
        before = self.scraper.last("order_verdict_seconds_count")
        made = len(self.order_in(market, 20))
        # It also tells the workers to decide now.
        self.order()
        eventually(lambda: self.scraper.last("order_verdict_seconds_count") > before + made, "late decisions")

    def await_silence_of_beat(self) -> None:
        """Beat usually sends several messages a second."""
        name = "beat_last_message_timestamp_seconds"
        eventually(lambda: time.time() - self.scraper.last(name) > 3, "beat, which stops")


@pytest.fixture
def faults(tmp_path: Path) -> Iterator[AlertFaults]:
    find_promtool(os.environ)
    seams, ports = tmp_path / "seams", free_ports(len(PROGRAMS))
    seams.mkdir()
    engine = EngineProcess(
        tmp_path / "engine",
        "--demo",
        "--no-traffic",
        FAILPOINTS=f"fail={seams}",
        METRICS_PORT=str(ports[0]),
        # A mail server that does not exist.
        SMTP_URL="smtp+insecure://127.0.0.1:1",
        OPEN_ORDERS_PER_ACCOUNT="0",
        # Otherwise no order waits while the worker is frozen.
        DECIDE_AT_INTAKE="false",
        UNPAID_SHARE_PERCENT="0",
        # A process that is frozen for a while must not be restarted.
        WORKER_STALL_TIMEOUT_SECONDS="600",
        API_STALL_TIMEOUT_SECONDS="600",
    )
    try:
        # `EngineFaults` reads what a ready engine has written.
        assert engine.url
        made = AlertFaults(engine, seams, Scraper(ports[0]))
        try:
            yield made
        finally:
            made.close()
    finally:
        engine.end()


def watch_programs(faults: AlertFaults) -> None:
    with faults.frozen("beat"):
        faults.watch("beat is frozen", "InstanceDown", "BeatSilent")
    # Events that have a number and are not read would become late with the others.
    faults.await_calm()
    with faults.frozen("worker"):
        with faults.market(timedelta(minutes=1)) as market:
            faults.order_in(market)
        eventually(lambda: faults.scraper.last(UNNUMBERED) > 30, "late events")
        faults.fill_the_queue()
        # Orders are refused, because none is decided.
        eventually(lambda: faults.order() == 503, "refused orders")
        down = ("InstanceDown", "WorkerDown", "OrdersUndecided", "OrdersUnavailable", "EventsUnnumbered", "Errors")
        faults.watch("the worker is frozen", *down, is_beat_silent=True)
    eventually(lambda: faults.order() == 202, "accepted orders")
    faults.await_calm()
    with faults.frozen("api"):
        faults.watch("the API is frozen", "InstanceDown", "ApiDown", each=faults.idle)


def watch_requests(faults: AlertFaults) -> None:
    faults.fail("products.add:before", "No product can be stored.")
    faults.watch("a request is answered by 500", "Errors", each=faults.list_product)
    faults.repair("products.add:before")
    with faults.slow_charges():
        faults.watch("charges are slow", "PoolExhausted", each=faults.idle)
    with faults.altered_database("SET default_transaction_read_only = on", "RESET default_transaction_read_only"):
        eventually(lambda: faults.order() == 503, "a database that is read-only")
        faults.watch("the database is read-only", "OrdersUnavailable", "Errors")
    eventually(lambda: faults.order() == 202, "a database that takes orders")
    faults.await_calm()


def watch_background_work(faults: AlertFaults) -> None:
    with faults.market(timedelta(seconds=20)) as market:
        faults.watch("orders are decided late", "VerdictsSlow", each=lambda: faults.decide_late(market), build_up=1)
    faults.fail("promotions.claim_due:before", "No promotion can be read.")
    faults.watch("a task fails", "TasksFail", each=faults.fail_a_task, build_up=3)
    faults.repair("promotions.claim_due:before")
    with faults.session() as session, session.transaction():
        session.execute("SELECT FROM event_consumers FOR UPDATE")
        with faults.market(timedelta(minutes=2)) as market:
            faults.order_in(market)
        eventually(lambda: faults.scraper.last(UNREAD) > 60, "a late reader")
        faults.await_calm(UNDECIDED, UNNUMBERED)
        faults.watch("another session holds the readers of events", "ConsumerLate")
    faults.await_calm()


def watch_lasting_faults(faults: AlertFaults) -> None:
    faults.let_a_run_await_approval()
    faults.watch_lasting("a run awaits approval", "RunsAwaitApproval", "run_awaiting_approval")
    faults.let_a_run_fail()
    faults.watch_lasting("a run failed", "RunsFail", "failed_run")
    faults.lose_a_payment()
    faults.fail("gateway.find:before", "The payment gateway answered 503 Service Unavailable")
    faults.repair("payments.claim_due:before")
    faults.watch_lasting("the answer to a charge is lost", "PaymentsStuck", "stuck_payment")
    faults.hold_a_refund()
    faults.fail("gateway.refund:before", "The payment gateway answered 500: internal error")
    faults.repair("payments.claim_refunds:before")
    faults.watch_lasting("a refund is refused", "RefundsStuck", "stuck_refund")
    faults.delay_an_email()
    faults.repair("emails.claim_due:before")
    faults.watch_lasting("no mail server answers", "EmailsDelayed", "delayed_email")
    faults.park_an_order()
    faults.watch_lasting("an order is parked", "OrdersParked", "parked_order")
    assert faults.post("staff", "/pricing/api/v1/stop/") == 200
    faults.watch_lasting("a person stops pricing", "PricingStopped", "pricing_stopped")


def watch_servers(faults: AlertFaults) -> None:
    with faults.frozen("valkey-server"):
        faults.await_silence_of_beat()
        # The alert says that beat has been silent for a minute, for a minute.
        faults.watch("Redis is frozen", "BeatSilent", each=faults.idle, build_up=4, is_beat_silent=True)
    # The figures of the faults that last cannot be read.
    faults.lasting = frozenset()
    with faults.altered_database("ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true"):
        eventually(lambda: faults.scraper.last("database_figures_read") == 0, "figures that cannot be read")
        assert faults.order() == 503
        faults.watch("the database is away", "DatabaseUnreadable", "OrdersUnavailable", "Errors")


def test_each_fault_raises_its_alerts_in_time_and_no_other(faults: AlertFaults, tmp_path: Path) -> None:
    assert faults.order() == 202
    faults.await_calm()
    faults.watch("load")
    watch_programs(faults)
    watch_requests(faults)
    watch_background_work(faults)
    watch_lasting_faults(faults)
    watch_servers(faults)
    check_alerts(faults.stages, tmp_path)
    assert {alert for stage in faults.stages for alert in stage.expected} == alert_names()
