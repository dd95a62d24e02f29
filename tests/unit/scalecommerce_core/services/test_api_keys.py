"""API keys: creation, rotation, revocation, and the identity that a key gives."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.api_key import ApiKey, Scope
from scalecommerce_core.domain.audit import OPERATOR, Actor
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotFound, TokenNotValid
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId, SessionId
from scalecommerce_core.ports import SecurityEventKind
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.api_keys import MAX_API_KEYS, ApiKeys, CreatedKey, TooManyApiKeys
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.sessions import Identity
from scalecommerce_core.testing import RecordedSecurityEvents, SeededRandomness
from tests.unit.support.shop import PASSWORD, Shop


@pytest.fixture
def log() -> RecordedSecurityEvents:
    return RecordedSecurityEvents()


@pytest.fixture
def keys(shop: Shop, log: RecordedSecurityEvents) -> ApiKeys:
    return ApiKeys(
        shop.store,
        shop.clock,
        shop.queries,
        randomness=SeededRandomness(),
        security_log=log,
        rotation_grace=timedelta(hours=1),
    )


def person(shop: Shop, name: str, **facts: Any) -> Identity:
    account: Account = unwrap_single(shop.accounts.sign_up([SignUp(f"{name}@example.com", PASSWORD, **facts)]))
    return shop.sessions.identify(shop.accounts.log_in(account.email, PASSWORD).access)


@pytest.fixture
def ann(shop: Shop) -> Identity:
    return person(shop, "ann")


def create(keys: ApiKeys, who: Identity, scopes: Collection[str] = ("orders:read",), **more: Any) -> CreatedKey:
    return keys.create(who, "Warehouse", scopes, **more)


def is_accepted(keys: ApiKeys, secret: str) -> bool:
    try:
        keys.identify(secret)
    except TokenNotValid:
        return False
    return True


def test_a_key_acts_for_its_account_within_its_scopes(
    keys: ApiKeys, ann: Identity, log: RecordedSecurityEvents
) -> None:
    created = create(keys, ann, ["orders:read", "pricing"], address="192.0.2.1")
    assert keys.identify(created.secret) == Identity(
        ann.account_id,
        SessionId(f"key:{created.key.id}"),
        is_staff=False,
        scopes=frozenset({Scope.ORDERS_READ, Scope.PRICING}),
    )
    assert created.secret.startswith(created.key.prefix)
    assert created.secret not in repr(created)
    assert created.key.digest not in repr(created)
    (event,) = log.events
    assert (event.kind, event.account_id, event.address) == (
        SecurityEventKind.API_KEY_CHANGED,
        ann.account_id,
        "192.0.2.1",
    )
    assert created.secret not in repr(event)


def test_a_key_of_staff_has_rights_of_staff_only_with_the_scope_and_while_they_last(shop: Shop, keys: ApiKeys) -> None:
    boss, omar = person(shop, "boss", is_staff=True), person(shop, "omar", is_staff=True)
    plain, full = create(keys, omar), create(keys, omar, ["orders:read", "staff"])
    assert [keys.identify(each.secret).is_staff for each in (plain, full)] == [False, True]
    shop.market.account_administration.dismiss_staff(omar.account_id, "Left.", OPERATOR)
    assert not keys.identify(full.secret).is_staff
    assert boss.is_staff


def test_only_staff_create_keys_of_staff(shop: Shop, keys: ApiKeys, ann: Identity) -> None:
    with pytest.raises(Forbidden):
        create(keys, ann, ["orders:read", "staff"])
    # A session without rights of staff, of an account that is staff.
    omar = person(shop, "omar", is_staff=True)
    with pytest.raises(Forbidden):
        create(keys, Identity(omar.account_id, omar.session_id, is_staff=False), ["orders:read", "staff"])


@pytest.mark.parametrize(
    ("name", "scopes", "days", "field"),
    [("", ["pricing"], 1, "name"), ("x" * 101, ["pricing"], 1, "name"), ("Key", [], 1, "scopes"),
     ("Key", ["staff"], 1, "scopes"), ("Key", ["pricing", "all"], 1, "scopes"), ("Key", ["pricing"], 0, "expires_at")],
)  # fmt: skip
def test_invalid_keys_are_refused(  # noqa: PLR0917 - two fixtures
    shop: Shop, keys: ApiKeys, name: str, scopes: list[str], days: int, field: str
) -> None:
    who = person(shop, "omar", is_staff=True)
    with pytest.raises(Invalid) as refused:
        keys.create(who, name, scopes, shop.clock.now() + timedelta(days=days))
    assert list(refused.value.errors) == [field]


def test_the_number_of_valid_keys_is_limited(shop: Shop, keys: ApiKeys, ann: Identity) -> None:
    made = [create(keys, ann, expires_at=shop.clock.now() + timedelta(days=n + 1)) for n in range(MAX_API_KEYS)]
    with pytest.raises(TooManyApiKeys):
        create(keys, ann)
    create(keys, person(shop, "bea"))
    shop.clock.advance(days=1)
    create(keys, ann)
    keys.revoke(ann.account_id, made[1].key.id, Actor(ann.account_id))
    create(keys, ann)
    assert len(keys.list_valid(ann.account_id)) == MAX_API_KEYS


def test_a_key_expires(shop: Shop, keys: ApiKeys, ann: Identity) -> None:
    created = create(keys, ann, expires_at=shop.clock.now() + timedelta(days=1))
    assert is_accepted(keys, created.secret)
    shop.clock.advance(days=1)
    assert not is_accepted(keys, created.secret)
    assert keys.list_valid(ann.account_id) == []
    with pytest.raises(NotFound):
        keys.rotate(ann, created.key.id)


def test_after_a_rotation_the_former_secret_is_valid_for_a_while(shop: Shop, keys: ApiKeys, ann: Identity) -> None:
    first = create(keys, ann)
    second = keys.rotate(ann, first.key.id)
    assert second.key.id == first.key.id
    assert [is_accepted(keys, each.secret) for each in (first, second)] == [True, True]
    shop.clock.advance(hours=1)
    assert [is_accepted(keys, each.secret) for each in (first, second)] == [False, True]
    third = keys.rotate(ann, first.key.id)
    fourth = keys.rotate(ann, first.key.id)
    assert [is_accepted(keys, each.secret) for each in (second, third, fourth)] == [False, True, True]


def test_a_revoked_key_is_refused_with_its_former_secret(keys: ApiKeys, ann: Identity) -> None:
    first = create(keys, ann)
    second = keys.rotate(ann, first.key.id)
    keys.revoke(ann.account_id, first.key.id, Actor(ann.account_id))
    assert [is_accepted(keys, each.secret) for each in (first, second)] == [False, False]
    with pytest.raises(NotFound):
        keys.revoke(ann.account_id, first.key.id, Actor(ann.account_id))


def test_keys_of_others_cannot_be_changed(shop: Shop, keys: ApiKeys, ann: Identity) -> None:
    created, bea = create(keys, ann), person(shop, "bea")
    for act in (
        lambda: keys.rotate(bea, created.key.id),
        lambda: keys.revoke(bea.account_id, created.key.id, OPERATOR),
    ):
        with pytest.raises(NotFound):
            act()
    assert is_accepted(keys, created.secret)


def test_keys_of_a_deactivated_account_rest(shop: Shop, keys: ApiKeys, ann: Identity) -> None:
    created, administration = create(keys, ann), shop.market.account_administration
    administration.deactivate(ann.account_id, "Asked for it.", OPERATOR)
    assert not is_accepted(keys, created.secret)
    with pytest.raises(NotFound):
        create(keys, ann)
    administration.reactivate(ann.account_id, "Asked for it.", OPERATOR)
    assert is_accepted(keys, created.secret)


def test_an_appointment_deletes_the_keys(shop: Shop, keys: ApiKeys, ann: Identity) -> None:
    created = create(keys, ann)
    shop.accounts.appoint_staff("ann@example.com", "another password")
    assert not is_accepted(keys, created.secret)
    assert keys.list_valid(ann.account_id) == []


@pytest.mark.parametrize("secret", ["", "sk_", "sk_" + "a" * 43, "sk_" + "a" * 42, "sk_" + "é" * 43, "\x00"])
def test_unknown_secrets_are_refused(keys: ApiKeys, secret: str) -> None:
    assert not is_accepted(keys, secret)


def test_the_last_use_is_listed(shop: Shop, keys: ApiKeys, ann: Identity) -> None:
    created, now = create(keys, ann), shop.clock.now()
    keys.record_uses({created.key.id: now, ApiKeyId(10**9): now})
    assert [key.used_at for key in keys.list_valid(ann.account_id)] == [now]


def test_a_secret_of_another_form_makes_no_key(shop: Shop) -> None:
    with pytest.raises(ValueError, match="form"):
        ApiKey.created(ApiKeyId(1), AccountId(1), name="K", scopes=["pricing"], secret="x", now=shop.clock.now())
