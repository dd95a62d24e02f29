"""Faults of a running engine, made by fail-points, and the troubles for staff that follow from them.

All processes of the engine raise at the seams that have a file in a directory (`FAILPOINTS=fail=…`). What takes hours
or days, such as a receiver that fails for five days, begins in this process, with a clock that is behind and
fail-points of its own.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from uuid import uuid4

from attrs import evolve

from adapters.system import SystemClock
from entrypoints.settings import load
from entrypoints.wiring import wire
from scalecommerce_core.domain.identifiers import AccountId, CommandId, EndpointId, OrderId, PolicyId, ProductId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, RefundLine
from scalecommerce_core.domain.secret import Secret
from scalecommerce_core.pricing.runs import RunStatus
from scalecommerce_core.queries import TroubleKind
from scalecommerce_core.queries.operations import REFUND_TRIES
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import PlaceOrder, RefundOrder
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import ActOnEndpoint, CreateEndpoint
from scalecommerce_core.testing.failpoints import seams
from scalecommerce_core.testing.simulation import SkewedClock
from tests.integration.engine_process import EngineProcess, eventually
from tests.integration.receiver import Receiver, answering

NOW: Final = timedelta(0)
EAGER: Final = {
    "least_views": 0, "least_history_days": 0, "breaker_share": 1, "breaker_mean": 1, "dead_band": 0,
    "cooldown_days": 0,
}  # fmt: skip
"""Guardrails with which a policy raises prices just above the cost at once."""


class EngineFaults:
    """The faults of one engine with demo data. `directory` is that of its failing seams; afterwards, call `repair`."""

    def __init__(self, engine: EngineProcess, directory: Path) -> None:
        self.engine = engine
        self._directory = directory
        self._settings = load(json.loads((engine.data / "engine.json").read_text())["settings"])
        people = engine.log_ins()
        self._tokens = {role: engine.token(email) for role, email in people.items()}
        with self.market() as market, market.store.begin() as tx:
            ids = {account.email: account.id for account in tx.accounts.by_email(people.values()).values()}
        self._ids: dict[str, AccountId] = {role: ids[email] for role, email in people.items()}
        self._emails = people

    # --- fail-points

    def fail(self, seam: str, cause: str) -> None:
        """Let each call at this seam fail in every process of the engine, with `cause` as its message."""
        assert seam in seams()
        (self._directory / seam).write_text(cause)

    def repair(self, *names: str) -> None:
        """Let the calls succeed again; without names, those of all seams."""
        for path in [self._directory / name for name in names] or list(self._directory.iterdir()):
            path.unlink()

    @contextmanager
    def market(
        self, behind: timedelta = NOW, *, failing: str = "", cause: str = "", **settings: Any
    ) -> Iterator[Market]:
        """The market in this process, with a clock that is `behind`, one `failing` seam, and settings of its own."""
        failpoints = ""
        if failing:
            here = self._directory.with_name("failing-here")
            here.mkdir(exist_ok=True)
            for path in here.iterdir():
                path.unlink()
            (here / failing).write_text(cause)
            failpoints = f"fail={here}"
        with patch("entrypoints.wiring.SystemClock", lambda: SkewedClock(SystemClock(), -behind)):
            wired = wire(evolve(self._settings, failpoints=failpoints, **settings))
        try:
            yield wired.market
        finally:
            wired.close()

    # --- troubles, each with the fault that is its cause

    def park_an_order(self) -> OrderId:
        """The decision on an order fails five times, because the quotas of its buyer cannot be read."""
        self.fail("orders.claim_undecided:before", "No worker decides.")
        failure = {"failing": "orders.quota_facts:before", "cause": "The limits of the buyer cannot be read"}
        with self.market(timedelta(hours=1), decide_at_intake=False) as market:
            order = self._place(market)
        for attempt in range(DECIDE_ATTEMPTS):
            with self.market(timedelta(hours=1, minutes=-attempt), **failure) as market:
                market.ordering.decide()
        self.repair("orders.claim_undecided:before")
        return order

    def make_all(self, receiver: Receiver) -> None:
        """Make each kind of trouble except stopped pricing, which only a person causes."""
        # Its verification and its test are events that a reader must read.
        self.disable_a_webhook(receiver)
        self.stop_readers()
        self.let_a_run_await_approval()
        self.let_a_run_fail()
        self.lose_a_payment()
        self.hold_a_refund()
        self.delay_an_email()
        self.park_an_order()
        self.await_late_readers()
        self.delay_decisions()

    def lose_a_payment(self) -> OrderId:
        """The gateway charges, but its answer is lost, and nobody can look the charge up."""
        order = self._reserved()
        self.fail("payments.claim_due:before", "No worker looks payments up.")
        for seam, minutes in (
            ("gateway.charge:after", 9),
            *(("gateway.find:before", at) for at in (8, 7, 6, 5, 4, 2, 0)),
        ):
            cause = "The payment gateway answered 503 Service Unavailable"
            with self.market(timedelta(minutes=minutes), failing=seam, cause=cause) as market:
                if seam == "gateway.charge:after":
                    market.payments.pay([PayOrder(order, self._ids["buyer"])])
                else:
                    market.payments.reconcile()
        return order

    def hold_a_refund(self) -> OrderId:
        """The gateway refuses a refund again and again."""
        order = self._reserved()
        self._ask("buyer", "POST", f"/orders/api/v1/{order}/pay/")
        self.fail("payments.claim_refunds:before", "No worker sends refunds.")
        failure = {"failing": "gateway.refund:before", "cause": "The payment gateway answered 500: internal error"}
        for hours in range(REFUND_TRIES + 1, -1, -1):
            with self.market(timedelta(hours=hours), **failure) as market:
                if hours == REFUND_TRIES + 1:
                    (line,) = self._lines()
                    refund = RefundOrder(order, self._ids["staff"], [RefundLine(line.product_id, 1)], as_staff=True)
                    unwrap_single(market.ordering.refund([refund]))
                market.payments.send_refunds()
        return order

    def disable_a_webhook(self, receiver: Receiver) -> EndpointId:
        """A receiver answers with an error for six days."""
        receiver.act = answering(502)
        with self.market(timedelta(days=6)) as market:
            url = f"http://localhost:{receiver.port}/hooks"
            made = unwrap_single(market.webhooks.create([CreateEndpoint(self._ids["seller"], url)])).endpoint
        path = f"/webhooks/api/v1/{made.id}/"
        eventually(lambda: self._ask("seller", "GET", path)["is_verified"], "the verification")
        self.fail("deliveries.claim_due:before", "No worker delivers.")
        with self.market(timedelta(days=6)) as market:
            unwrap_single(market.webhooks.ping([ActOnEndpoint(made.id, self._ids["seller"])]))
            # In a thread of its own, because the event loop of Playwright runs in this one.
            with ThreadPoolExecutor(1) as thread:
                assert thread.submit(market.webhooks.deliver).result().failed
        self.repair("deliveries.claim_due:before")
        self._ask("seller", "POST", f"{path}test/")
        eventually(lambda: self._ask("seller", "GET", path)["disabled_because"], "the end of the endpoint")
        return made.id

    def delay_an_email(self) -> None:
        """No mail server answers."""
        self.fail("emails.claim_due:before", "No worker sends e-mails.")
        with self.market(smtp_url=Secret("smtp://127.0.0.1:1")) as market:
            market.password_reset.request(self._emails["buyer"], address="192.0.2.7")
            assert market.emails.deliver().failed

    def let_a_run_await_approval(self) -> PolicyId:
        """A run would change more prices than one person may let it."""
        return self._run("New arrivals", products=3, status=RunStatus.AWAITING_APPROVAL)

    def let_a_run_fail(self) -> PolicyId:
        """The strategy of a policy gets data that it cannot use."""
        cause = "The views of product 17 are negative"
        return self._run("Clearance", products=1, status=RunStatus.FAILED, failing="runs.facts:before", cause=cause)

    def stop_readers(self) -> None:
        """Statistics and webhooks do not read the events of the demo's visitors; they are late after a minute."""
        self.fail("events.claim:before", "No worker reads events.")

    def await_late_readers(self) -> None:
        eventually(lambda: TroubleKind.LATE_CONSUMER in self.troubles(), "a late reader")

    def delay_decisions(self) -> OrderId:
        """No worker decides orders or numbers events, for a minute."""
        self.fail("events.assign_sequence:before", "No worker numbers events.")
        self.fail("orders.claim_undecided:before", "No worker decides.")
        with self.market(timedelta(minutes=1), decide_at_intake=False) as market:
            return self._place(market)

    # --- what the API says

    def troubles(self) -> Sequence[str]:
        """The kinds of trouble that there are."""
        found = self._ask("staff", "GET", "/operations/api/v1/attention/")
        return [trouble["kind"] for trouble in found["troubles"]]

    def _ask(self, role: str, method: str, path: str, body: object = None) -> Any:
        status, answer = self.engine.request(path, token=self._tokens[role], body=body, method=method)
        assert status < 300, answer
        return answer

    def _lines(self) -> Sequence[OrderLineRequest]:
        listed = self._ask("buyer", "GET", "/products/api/v1/?search=kettle&in_stock=true&page_size=1")
        (found,) = listed["results"]
        return [OrderLineRequest(ProductId(found["id"]), 1)]

    def _place(self, market: Market) -> OrderId:
        placed = unwrap_single(
            market.ordering.place([PlaceOrder(CommandId(uuid4()), self._ids["buyer"], self._lines())])
        )
        return OrderId(placed.id)

    def _reserved(self) -> OrderId:
        with self.market() as market:
            order = self._place(market)
        path = f"/orders/api/v1/{order}/"
        eventually(lambda: self._ask("buyer", "GET", path)["status"] == "PENDING", "the decision")
        return order

    def _run(self, name: str, *, products: int, status: RunStatus, failing: str = "", cause: str = "") -> PolicyId:
        """Run a new policy of the seller with new products, here instead of in a worker."""
        self.fail("policies.due:before", "No worker begins runs.")
        made = self._ask("seller", "POST", "/pricing/api/v1/policies/", {
            "name": name, "assigned_only": True, "guardrails": EAGER,
        })  # fmt: skip
        for number in range(1, products + 1):
            product = self._ask("seller", "POST", "/products/api/v1/", {
                "name": f"{name} {number}", "category_id": 1, "price": "20.00", "cost": "18.50", "stock": 10,
            })  # fmt: skip
            self._ask("seller", "PATCH", f"/pricing/api/v1/products/{product['id']}/", {"policy": made["id"]})
        policy = PolicyId(made["id"])
        with self.market(failing=failing, cause=cause, pricing_approval_prices=products - 1) as market:
            assert market.repricing.run(policy).status is status
        self.repair("policies.due:before")
        return policy
