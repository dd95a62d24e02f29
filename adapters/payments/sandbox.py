"""A payment gateway that moves no money, for development, demonstrations and tests.

It stores charges and refunds in two database tables, so that they survive killed processes and all processes share
them. The payment method selects the behaviour, as the test cards of real gateways do.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import Uuid

from scalecommerce_core.domain.errors import GatewayUnavailable
from scalecommerce_core.domain.identifiers import PaymentId
from scalecommerce_core.domain.payment import DEFAULT_METHOD, Charged, ChargeRequest, Declined, RefundRequest

OK: Final = "sandbox-ok"
DECLINED: Final = "sandbox-declined"
SLOW: Final = "sandbox-slow"
"""Charges at once and replies after `slow_seconds`."""
LOST_REPLY: Final = "sandbox-lost-reply"
"""Charges and raises `GatewayUnavailable`, as if the reply was lost."""

DECLINE_CODES: Final = {OK: None, DEFAULT_METHOD: None, SLOW: None, LOST_REPLY: None, DECLINED: "card_declined"}
UNKNOWN_METHOD: Final = "unknown_method"

# A concurrent insert of the same key waits for the first one; then both read its row.
_CHARGE: Final = text(
    """
    INSERT INTO sandbox_charges (key, amount, currency, declined_because)
    VALUES (:key, :amount, :currency, :declined_because)
    ON CONFLICT (key) DO NOTHING
    """
).bindparams(bindparam("key", type_=Uuid))
_FIND: Final = text("SELECT declined_because FROM sandbox_charges WHERE key = :key").bindparams(
    bindparam("key", type_=Uuid)
)
_LOCK: Final = text(
    "SELECT amount, currency FROM sandbox_charges WHERE key = :key AND declined_because IS NULL FOR UPDATE"
).bindparams(bindparam("key", type_=Uuid))
_REFUNDED: Final = text(
    """
    SELECT coalesce(sum(amount), 0), coalesce(bool_or(key = :key), false) FROM sandbox_refunds WHERE charge = :charge
    """
).bindparams(bindparam("key", type_=Uuid), bindparam("charge", type_=Uuid))
_REFUND: Final = text("INSERT INTO sandbox_refunds (key, charge, amount) VALUES (:key, :charge, :amount)").bindparams(
    bindparam("key", type_=Uuid), bindparam("charge", type_=Uuid)
)


class SandboxRefundRejected(Exception):
    """The refund has no charge, or exceeds what is left of it."""


class SandboxGateway:
    """`ports.PaymentGateway`. `sandbox-slow` calls `wait(slow_seconds)`."""

    def __init__(
        self, engine: Engine, *, slow_seconds: float = 5.0, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._engine = engine
        self._slow_seconds = slow_seconds
        self._wait = wait

    def charge(self, request: ChargeRequest) -> Charged | Declined:
        with self._transaction() as connection:
            connection.execute(
                _CHARGE,
                {
                    "key": request.key,
                    "amount": request.amount.minor,
                    "currency": request.amount.currency,
                    "declined_because": DECLINE_CODES.get(request.method, UNKNOWN_METHOD),
                },
            )
            result = _to_result(request.key, connection.execute(_FIND, {"key": request.key}).one())
        if request.method == SLOW:
            self._wait(self._slow_seconds)
        if request.method == LOST_REPLY:
            raise GatewayUnavailable("The sandbox gateway simulated a lost reply.")
        return result

    def find(self, key: PaymentId) -> Charged | Declined | None:
        with self._transaction() as connection:
            row = connection.execute(_FIND, {"key": key}).one_or_none()
            return None if row is None else _to_result(key, row)

    def refund(self, request: RefundRequest) -> None:
        with self._transaction() as connection:
            charge = connection.execute(_LOCK, {"key": request.payment}).one_or_none()
            if charge is None or request.reference != _reference(request.payment):
                raise SandboxRefundRejected(f"There is no charge {request.payment} ({request.reference}).")
            refund = {"key": request.key, "charge": request.payment}
            before, is_known = connection.execute(_REFUNDED, refund).one()
            if is_known:
                return
            if request.amount.currency != charge.currency or request.amount.minor > charge.amount - before:
                raise SandboxRefundRejected(
                    f"Only {charge.amount - before} of {charge.amount} are left to refund of charge {request.payment}."
                )
            connection.execute(_REFUND, {**refund, "amount": request.amount.minor})

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise GatewayUnavailable("The sandbox cannot reach its database.") from error


def _to_result(key: PaymentId, row: Row[*tuple[Any, ...]]) -> Charged | Declined:
    return Charged(_reference(key)) if row.declined_because is None else Declined(row.declined_because)


def _reference(key: PaymentId) -> str:
    return f"sandbox-{key}"
