"""The gateway of docs/library.md passes the contract suite for gateways, with a simulated provider."""

import json
import re
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from scalecommerce_core.domain.errors import GatewayUnavailable
from scalecommerce_core.domain.identifiers import OrderId, PaymentId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.payment import ChargeRequest
from scalecommerce_core.ports import PaymentGateway
from scalecommerce_core.testing.contracts import PaymentGatewayContract
from scalecommerce_core.testing.contracts.gateways import charge_request

LIBRARY = Path(__file__).parents[5] / "docs/library.md"


class Acme:
    """The provider's side: idempotent by header, and strict about what is left to refund."""

    def __init__(self) -> None:
        self._charges: dict[str, dict[str, Any]] = {}
        self._refunds: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()
        self.charged: list[tuple[int, str]] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        with self._lock:
            if request.method == "GET":
                key = request.url.params["merchant_reference"]
                return httpx2.Response(200, json={"charges": [self._charges[key]] if key in self._charges else []})
            body, key = json.loads(request.content), request.headers["Idempotency-Key"]
            if request.url.path == "/charges":
                return httpx2.Response(200, json=self._charges.setdefault(key, self._charged(key, body)))
            return self._refunded(request.url.path.split("/")[2], key, body["amount"])

    def _charged(self, key: str, body: dict[str, Any]) -> dict[str, Any]:
        assert body["merchant_reference"] == key
        self.charged.append((body["amount"], body["currency"]))
        refused = {"status": "failed", "failure_code": "card_declined"}
        return {"id": f"ch_{key}", "amount": body["amount"]} | (
            refused if body["source"] == "tok_declined" else {"status": "succeeded"}
        )

    def _refunded(self, charge_id: str, key: str, amount: int) -> httpx2.Response:
        charge = next((c for c in self._charges.values() if c["id"] == charge_id), None)
        left = charge["amount"] - sum(a for c, a in self._refunds.values() if c == charge_id) if charge else 0
        if key not in self._refunds:
            if amount > left:
                return httpx2.Response(422, json={"error": "charge has less left"})
            self._refunds[key] = (charge_id, amount)
        return httpx2.Response(200, json={})


def documented(http: httpx2.Client) -> PaymentGateway:
    (example,) = re.findall(r"```python\n([^`]*class AcmeGateway.*?)```", LIBRARY.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, str(LIBRARY), "exec"), names)  # noqa: S102 - it is ours
    gateway: PaymentGateway = names["AcmeGateway"](http)
    return gateway


class TestDocumentedGateway(PaymentGatewayContract):
    accepted = "tok_visa"
    declined = "tok_declined"

    @pytest.fixture
    def gateway(self) -> PaymentGateway:
        transport = httpx2.MockTransport(Acme().answer)
        return documented(httpx2.Client(transport=transport, base_url="https://acme.example"))


@pytest.mark.parametrize(
    ("price", "minor"),
    [(Money.of("100.00", "USD"), 10_000), (Money.of("100", "JPY"), 100), (Money.of("100.000", "KWD"), 100_000)],
)
def test_a_provider_is_sent_the_minor_units_of_the_currency(price: Money, minor: int) -> None:
    acme = Acme()
    gateway = documented(httpx2.Client(transport=httpx2.MockTransport(acme.answer), base_url="https://acme.example"))
    gateway.charge(ChargeRequest(PaymentId(uuid4()), OrderId(7), price, "tok_visa"))
    assert acme.charged == [(minor, price.currency)]


def test_what_leaves_the_outcome_open_says_so() -> None:
    def down(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(502)

    gateway = documented(httpx2.Client(transport=httpx2.MockTransport(down), base_url="https://acme.example"))
    charge = charge_request(5, "tok_visa")
    with pytest.raises(GatewayUnavailable):
        gateway.charge(charge)
    with pytest.raises(GatewayUnavailable):
        gateway.find(charge.key)
