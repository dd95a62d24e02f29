"""Refused requests in the security log."""

from datetime import timedelta

import pytest

from adapters.http.refusals import record_refusals
from scalecommerce_core.domain.errors import (
    MarketError,
    NotAuthenticated,
    NotFound,
    Overloaded,
    TooManyAttempts,
    TooManyOpenOrders,
)
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import SecurityEvent, SecurityEventKind
from scalecommerce_core.testing import RecordedSecurityEvents, in_memory_market
from tests.unit.support.http_marketplace import USERS, marketplace, problem

REFUSED, LIMITED, SHED = (
    SecurityEventKind.ACCESS_REFUSED,
    SecurityEventKind.LIMIT_REACHED,
    SecurityEventKind.OVERLOAD_SHED,
)


def test_an_operation_beyond_the_rights_of_an_account_is_recorded() -> None:
    with marketplace() as place:
        buyer = place.person()
        place.security_log.events.clear()
        problem(buyer.get(USERS), 403)
        (event,) = place.security_log.events
    assert (event.kind, event.account_id, event.detail) == (REFUSED, buyer.id, "forbidden")
    assert event.address


def test_an_invalid_token_is_recorded_without_the_token() -> None:
    with marketplace() as place:
        problem(place.client.get(f"{USERS}me/", headers={"Authorization": "Bearer abc.def.ghi"}), 401)
        (event,) = place.security_log.events
    assert event.kind is REFUSED
    assert event.detail.startswith("token_not_valid: ")
    assert "abc.def" not in event.detail


def test_a_log_in_that_the_use_case_refused_and_recorded_is_not_recorded_again() -> None:
    log, accounts = RecordedSecurityEvents(), in_memory_market().accounts
    for _ in range(10):
        with pytest.raises(NotAuthenticated):
            accounts.log_in("nobody@example.com", "wrong", address="192.0.2.1")
    with pytest.raises(TooManyAttempts) as refused:
        accounts.log_in("nobody@example.com", "wrong", address="192.0.2.1")
    record_refusals(log)(refused.value, {"type": "http"})
    assert log.events == []


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (TooManyAttempts("Try again in 5 s.", timedelta(seconds=5)), [LIMITED]),
        (TooManyOpenOrders(50), [LIMITED]),
        (Overloaded("The server is overloaded."), [SHED]),
        (NotAuthenticated("Authentication required."), []),
        (NotFound("product", 1), []),
    ],
)
def test_limits_and_shed_load_are_recorded_and_ordinary_errors_are_not(
    error: MarketError, kinds: list[SecurityEventKind]
) -> None:
    log = RecordedSecurityEvents()
    record_refusals(log)(error, {"type": "http", "client": ("192.0.2.1", 40_000), "account_id": AccountId(3)})
    assert log.kinds == kinds
    assert log.events == [SecurityEvent(kind, AccountId(3), "192.0.2.1", error.code) for kind in kinds]
