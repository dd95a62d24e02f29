"""Entries of the audit log."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from scalecommerce_core.domain.audit import (
    MAX_TARGET_ID,
    OPERATOR,
    TEXT_LENGTH,
    Actor,
    AuditAction,
    changed,
    reason_words,
)
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import OrderStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OMAR = Actor(AccountId(7), "192.0.2.77")
EDITED = AuditAction.PRODUCT_EDITED


@pytest.mark.parametrize("action", AuditAction)
def test_every_action_names_the_kind_of_its_target(action: AuditAction) -> None:
    assert f"{action.target_kind}.{action.verb}" == action
    assert action.verb


def test_an_entry_says_who_acted_and_from_which_network() -> None:
    entry = OMAR.entry(EDITED, 21, NOW, reason="Wrong price.")
    assert (entry.actor_id, entry.network, entry.target_id) == (7, "192.0.2.0/24", "21")
    assert (entry.action, entry.occurred_at, entry.reason) == (EDITED, NOW, "Wrong price.")
    operator = OPERATOR.entry(EDITED, 21, NOW)
    assert (operator.actor_id, operator.network, operator.before, operator.after) == (None, "", {}, {})
    assert Actor(AccountId(7), "2001:db8:1:2::3").entry(EDITED, 21, NOW).network == "2001:db8:1::/48"


def test_a_uuid_fits_as_a_target() -> None:
    target = OMAR.entry(EDITED, UUID(int=1), NOW).target_id
    assert target == "00000000-0000-0000-0000-000000000001"
    assert len(target) <= MAX_TARGET_ID


def test_only_changed_fields_stay() -> None:
    before = {"name": "Tea", "price": Money(621, "USD"), "stock": 3, "gone": 1}
    after = {"name": "Tea", "price": Money(500, "USD"), "stock": 3, "new": 2}
    entry = OMAR.entry(EDITED, 21, NOW, before=before, after=after)
    assert entry.before == {"price": "6.21 USD", "gone": 1}
    assert entry.after == {"price": "5.00 USD", "new": 2}


def test_entries_of_edits_without_a_change_are_left_out() -> None:
    same = OMAR.entry(EDITED, 21, NOW, before={"stock": 3}, after={"stock": 3})
    other = OMAR.entry(EDITED, 21, NOW, before={"stock": 3}, after={"stock": 4})
    assert changed([same, other]) == [other]


def test_values_are_stored_as_json() -> None:
    values = {
        "at": NOW,
        "epoch": timedelta(minutes=1),
        "status": OrderStatus.PAID,
        "topics": ("order.paid",),
        "ids": {2, 1},
        "nested": {"price": Money(100, "JPY")},
        "nothing": None,
        "flag": True,
    }
    assert OMAR.entry(EDITED, 21, NOW, after=values).after == {
        "at": "2026-01-01T00:00:00Z",
        "epoch": 60.0,
        "status": "PAID",
        "topics": ["order.paid"],
        "ids": [1, 2],
        "nested": {"price": "100 JPY"},
        "nothing": None,
        "flag": True,
    }


def test_long_texts_are_cut_and_compared_as_a_whole() -> None:
    begin = "x" * TEXT_LENGTH
    entry = OMAR.entry(EDITED, 21, NOW, before={"description": begin}, after={"description": begin + "y"})
    assert entry.before == {"description": begin}
    assert entry.after == {"description": "x" * (TEXT_LENGTH - 1) + "…"}
    assert changed([entry]) == [entry]


def test_an_edit_behind_the_cut_is_a_change() -> None:
    texts = ["x" * TEXT_LENGTH + end for end in "yz"]
    entry = OMAR.entry(EDITED, 21, NOW, before={"description": texts[0]}, after={"description": texts[1]})
    assert changed([entry]) == [entry]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", set()),
        ("Sells counterfeits, again!", {"sells", "counterfeits", "again"}),
        ("Продаёт ПОДДЕЛКИ", {"продаёт", "подделки"}),
        ("Ticket #4711/b of 2026-01-31", {"ticket", "4711", "b", "of", "2026", "01", "31"}),
    ],
)
def test_words_of_a_reason(text: str, words: set[str]) -> None:
    assert reason_words(text) == words
