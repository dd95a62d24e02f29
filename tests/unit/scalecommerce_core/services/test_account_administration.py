"""What staff and operators do with the accounts of others."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import OPERATOR, Actor, AuditAction
from scalecommerce_core.domain.errors import (
    Invalid,
    LastStaffAccount,
    MarketError,
    NotAuthenticated,
    NotFound,
    OwnAccount,
    TokenNotValid,
)
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.webhook import WebhookEndpoint
from scalecommerce_core.ports import SecurityEvent, SecurityEventKind
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.account_administration import AccountAdministration
from scalecommerce_core.services.accounts import APPOINTED_BY_OPERATOR, SignUp
from scalecommerce_core.services.pricing import CreatePolicy
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import RecordedSecurityEvents
from tests.unit.support.shop import PASSWORD, Shop, line

Act = Callable[[AccountAdministration, AccountId, str, Actor], Account]
REASON = "Lost a laptop."
REMOVALS = (AccountAdministration.deactivate, AccountAdministration.dismiss_staff)


@pytest.fixture
def log() -> RecordedSecurityEvents:
    return RecordedSecurityEvents()


@pytest.fixture
def administration(shop: Shop, log: RecordedSecurityEvents) -> AccountAdministration:
    return AccountAdministration(shop.store, shop.clock, log)


def person(shop: Shop, name: str, *, is_staff: bool = False) -> Account:
    return unwrap_single(shop.accounts.sign_up([SignUp(f"{name}@example.com", PASSWORD, is_staff=is_staff)]))


@pytest.fixture
def boss(shop: Shop) -> Account:
    return person(shop, "boss", is_staff=True)


def history(shop: Shop, account: Account) -> list[tuple[AuditAction, str, AccountId | None]]:
    details = shop.queries.account_details(account.id)
    assert details is not None
    return [(each.action, each.reason, each.actor_id) for each in details.actions]


def has_access(shop: Shop, token: str) -> bool:
    try:
        shop.sessions.identify(token)
    except TokenNotValid:
        return False
    return True


def test_a_deactivated_account_has_no_access_until_it_is_reactivated(
    shop: Shop, boss: Account, administration: AccountAdministration, log: RecordedSecurityEvents
) -> None:
    ann, by = person(shop, "ann"), Actor(boss.id, "192.0.2.1")
    tokens = [shop.accounts.log_in(ann.email, PASSWORD) for _ in range(2)]
    assert not administration.deactivate(ann.id, " Sells  counterfeits. ", by).is_active
    assert [has_access(shop, pair.access) for pair in tokens] == [False, False]
    with pytest.raises(TokenNotValid):
        shop.sessions.refresh(tokens[0].refresh)
    with pytest.raises(NotAuthenticated):
        shop.accounts.log_in(ann.email, PASSWORD)
    administration.deactivate(ann.id, "Twice.", by)
    assert administration.reactivate(ann.id, "It was a mistake.", OPERATOR).is_active
    administration.reactivate(ann.id, "Twice.", by)
    # Old sessions stay revoked.
    assert [has_access(shop, pair.access) for pair in tokens] == [False, False]
    assert has_access(shop, shop.accounts.log_in(ann.email, PASSWORD).access)
    assert history(shop, ann) == [
        (AuditAction.ACCOUNT_REACTIVATED, "It was a mistake.", None),
        (AuditAction.ACCOUNT_DEACTIVATED, "Sells counterfeits.", boss.id),
    ]
    assert log.events == [
        SecurityEvent(SecurityEventKind.ACCOUNT_DEACTIVATED, ann.id, "192.0.2.1", actor_id=boss.id),
        SecurityEvent(SecurityEventKind.ACCOUNT_REACTIVATED, ann.id),
    ]


def test_a_dismissed_member_of_staff_is_an_ordinary_account(
    shop: Shop, boss: Account, administration: AccountAdministration, log: RecordedSecurityEvents
) -> None:
    omar = person(shop, "omar", is_staff=True)
    token = shop.accounts.log_in(omar.email, PASSWORD).access
    administration.dismiss_staff(omar.id, "Left the team.", Actor(boss.id))
    administration.dismiss_staff(omar.id, "Twice.", Actor(boss.id))
    assert not has_access(shop, token)
    assert not shop.sessions.identify(shop.accounts.log_in(omar.email, PASSWORD).access).is_staff
    assert history(shop, omar) == [
        (AuditAction.ACCOUNT_STAFF_DISMISSED, "Left the team.", boss.id),
        (AuditAction.ACCOUNT_STAFF_APPOINTED, APPOINTED_BY_OPERATOR, None),
    ]
    assert [event.kind for event in log.events] == [SecurityEventKind.STAFF_DISMISSED]


def test_the_sessions_of_an_account_are_ended_and_it_may_log_in_again(
    shop: Shop, administration: AccountAdministration, log: RecordedSecurityEvents
) -> None:
    ann = person(shop, "ann")
    token = shop.accounts.log_in(ann.email, PASSWORD).access
    administration.revoke_sessions(ann.id, "Lost a laptop.", OPERATOR)
    assert not has_access(shop, token)
    assert has_access(shop, shop.accounts.log_in(ann.email, PASSWORD).access)
    assert history(shop, ann) == [(AuditAction.ACCOUNT_SESSIONS_REVOKED, "Lost a laptop.", None)]
    assert [event.kind for event in log.events] == [SecurityEventKind.SESSION_REVOKED]


@pytest.mark.parametrize("act", REMOVALS)
def test_nobody_deactivates_or_dismisses_themselves(
    shop: Shop, boss: Account, administration: AccountAdministration, act: Act
) -> None:
    person(shop, "omar", is_staff=True)
    with pytest.raises(OwnAccount):
        act(administration, boss.id, "By mistake.", Actor(boss.id))
    assert history(shop, boss) == [(AuditAction.ACCOUNT_STAFF_APPOINTED, APPOINTED_BY_OPERATOR, None)]


@pytest.mark.parametrize("act", REMOVALS)
def test_one_active_staff_account_always_remains(
    shop: Shop, boss: Account, administration: AccountAdministration, act: Act
) -> None:
    omar = person(shop, "omar", is_staff=True)
    act(administration, omar.id, "Left the team.", OPERATOR)
    with pytest.raises(LastStaffAccount):
        act(administration, boss.id, "Left the team.", OPERATOR)
    assert shop.sessions.identify(shop.accounts.log_in(boss.email, PASSWORD).access).is_staff
    # An ordinary account may be deactivated, whatever the number of staff accounts.
    administration.deactivate(person(shop, "ann").id, "Asked for it.", OPERATOR)


def test_each_action_needs_an_account_and_a_reason(
    shop: Shop, boss: Account, administration: AccountAdministration
) -> None:
    ann = person(shop, "ann")
    acts: list[Act] = [*REMOVALS, AccountAdministration.reactivate, AccountAdministration.revoke_sessions]
    for act in acts:
        for reason in ("", " \t ", "x" * 501, "\x00"):
            with pytest.raises(Invalid, match="reason"):
                act(administration, ann.id, reason, Actor(boss.id))
        with pytest.raises(NotFound):
            act(administration, AccountId(10**9), "Why not?", Actor(boss.id))
    assert history(shop, ann) == []


def test_an_appointment_is_part_of_the_history(shop: Shop, boss: Account) -> None:
    ann = person(shop, "ann")
    with pytest.raises(Invalid, match="reason"):
        shop.accounts.appoint_staff(ann.email, "another password", reason=" ", by=Actor(boss.id))
    shop.accounts.appoint_staff(ann.email, "another password", reason="Joins the team.", by=Actor(boss.id))
    shop.accounts.appoint_staff(ann.email, "yet another password")
    assert history(shop, ann) == [
        (AuditAction.ACCOUNT_STAFF_APPOINTED, "Appointed by an operator.", None),
        (AuditAction.ACCOUNT_STAFF_APPOINTED, "Joins the team.", boss.id),
    ]


# --- effects on what the account sells


def test_products_of_a_deactivated_seller_are_neither_shown_nor_sold(
    shop: Shop, seller: Account, buyer: Account, administration: AccountAdministration
) -> None:
    product = shop.list(seller)
    open_order = shop.place(buyer, line(product))

    def state() -> tuple[bool, bool]:
        """Whether the product can be seen and ordered."""
        try:
            shop.place(buyer, line(product))
        except MarketError:
            return shop.queries.products([product])[product].is_active, False
        return shop.queries.products([product])[product].is_active, True

    assert state() == (True, True)
    administration.deactivate(seller.id, "Sells counterfeits.", OPERATOR)
    assert state() == (False, False)
    # The order that was placed before continues.
    shop.ordering.decide()
    assert shop.order(open_order.id).status is OrderStatus.PENDING
    administration.reactivate(seller.id, "It was a mistake.", OPERATOR)
    assert state() == (True, True)


def test_webhooks_and_pricing_policies_of_a_deactivated_account_pause(
    shop: Shop, seller: Account, administration: AccountAdministration
) -> None:
    shop.list(seller)
    policy = unwrap_single(shop.pricing.create([CreatePolicy(seller.id, {"name": "Mine", "policy": "hill_climb"})]))
    with shop.store.begin() as tx:
        (id_,) = tx.webhooks.next_ids(1)
        tx.webhooks.add([WebhookEndpoint(id_, seller.id, "https://hooks.example/", shop.clock.now())])

    def paused() -> tuple[bool, bool]:
        with shop.store.begin() as tx:
            now = shop.clock.now() + timedelta(days=400)
            due = tx.policies.due(now, 10, {"hill_climb"}, per_seller=5)
            return policy.id not in due, not tx.webhooks.subscribed([seller.id])

    assert paused() == (False, False)
    administration.deactivate(seller.id, "Sells counterfeits.", OPERATOR)
    assert paused() == (True, True)
    administration.reactivate(seller.id, "It was a mistake.", OPERATOR)
    assert paused() == (False, False)


def test_staff_end_one_session_of_an_account(
    shop: Shop, administration: AccountAdministration, boss: Account, log: RecordedSecurityEvents
) -> None:
    someone, other = person(shop, "someone"), person(shop, "other")
    first, second = (shop.accounts.log_in(someone.email, PASSWORD).access for _ in range(2))
    opened = {each.id: each.number for each in shop.market.sessions.list_open(someone.id)}
    number = opened[shop.market.sessions.identify(first).session_id]
    administration.revoke_session(someone.id, number, REASON, Actor(boss.id))
    assert (has_access(shop, first), has_access(shop, second)) == (False, True)
    assert history(shop, someone) == [(AuditAction.ACCOUNT_SESSION_REVOKED, REASON, boss.id)]
    (record,) = shop.queries.audit_entries(PageRequest(1)).rows
    assert record.entry.after["session_id"] == number
    assert log.events[-1].kind is SecurityEventKind.SESSION_REVOKED
    left = opened.keys() - {shop.market.sessions.identify(second).session_id}
    assert len(left) == 1
    for account in (someone, other):
        with pytest.raises(NotFound):
            administration.revoke_session(account.id, number, REASON, Actor(boss.id))
    assert len(history(shop, someone)) == 1
