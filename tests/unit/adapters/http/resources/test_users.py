from typing import Any

import pytest
from attrs import evolve

from scalecommerce_core.domain.identifiers import AccountId
from tests.unit.support.http_marketplace import (
    PASSWORD,
    USERS,
    Marketplace,
    Person,
    Visitor,
    answer,
    marketplace,
    problem,
)

SIGN_UP = USERS + "sign-up/"
TOKEN = USERS + "token/"
REFRESH = TOKEN + "refresh/"
VERIFY = TOKEN + "verify/"
ME = USERS + "me/"
NEW_PASSWORD = "another long password"


def tokens(visitor: Visitor, email: str, password: str = PASSWORD) -> Any:
    return answer(visitor.post(TOKEN, {"email": email, "password": password}))


# --- the list


def test_only_staff_list_accounts(anybody: Visitor, stranger: Person, staff: Person) -> None:
    problem(anybody.get(USERS), 401)
    problem(stranger.get(USERS), 403)
    answer(staff.get(USERS))


def test_the_list_contains_profiles_only(place: Marketplace, staff: Person) -> None:
    person = place.person(first_name="Ann", last_name="Lee", bio="Sells tea.")
    listed = answer(staff.get(f"{USERS}?page_size=100"))
    assert listed.keys() == {"next", "previous", "results"}
    assert listed["results"][-1] == {
        "id": person.id, "first_name": "Ann", "last_name": "Lee", "email": person.email, "bio": "Sells tea.",
        "display_name": "Ann L.",
    }  # fmt: skip


def test_the_list_has_next_and_previous_pages(place: Marketplace, staff: Person) -> None:
    for _ in range(3):
        place.account()
    first = answer(staff.get(f"{USERS}?page_size=2"))
    second = answer(staff.get(first["next"]))
    assert first["previous"] is None
    assert second["results"][0]["id"] == first["results"][-1]["id"] + 1
    assert answer(staff.get(second["previous"]))["results"] == first["results"]


def test_the_list_omits_inactive_accounts(place: Marketplace, staff: Person) -> None:
    person = place.person()
    deactivate(place, person)
    assert person.id not in [row["id"] for row in answer(staff.get(f"{USERS}?page_size=100"))["results"]]


def deactivate(place: Marketplace, person: Person) -> None:
    with place.market.store.begin() as tx:
        account = tx.accounts.lock([AccountId(person.id)])[AccountId(person.id)]
        account.is_active = False
        tx.accounts.save([account])


# --- signing up


def test_sign_up_creates_an_account(anybody: Visitor) -> None:
    body = {"email": "Kara@Example.com", "password": PASSWORD, "first_name": "Kara", "last_name": "S.", "bio": "Hi"}
    response = anybody.post(SIGN_UP, body)
    made = answer(response, 201)
    assert made == {
        "id": made["id"], "email": "kara@example.com", "first_name": "Kara", "last_name": "S.", "bio": "Hi",
        "display_name": "Kara S.",
    }  # fmt: skip
    assert response.headers["location"] == ME
    tokens(anybody, "KARA@example.COM")


def test_sign_up_requires_only_address_and_password(anybody: Visitor) -> None:
    made = answer(anybody.post(SIGN_UP, {"email": "less@example.com", "password": PASSWORD}), 201)
    assert (made["first_name"], made["last_name"], made["bio"]) == ("", "", "")
    problem(anybody.post(SIGN_UP, {}), 400, "email", "password")


@pytest.mark.parametrize("again", ["taken@example.com", "TAKEN@Example.COM", " taken@example.com "])
def test_addresses_are_unique_regardless_of_case(anybody: Visitor, again: str) -> None:
    anybody.post(SIGN_UP, {"email": "taken@example.com", "password": PASSWORD})
    problem(anybody.post(SIGN_UP, {"email": again, "password": PASSWORD}), 400, "email")


def test_sign_up_cannot_set_is_staff(place: Marketplace) -> None:
    body = {"email": "sly@example.com", "password": PASSWORD, "is_staff": True, "is_superuser": True, "id": 1}
    made = answer(place.anybody.post(SIGN_UP, body), 201)
    assert made["id"] != 1
    sly = Visitor(place.client, tokens(place.anybody, "sly@example.com")["access"])
    problem(sly.get(USERS), 403)


@pytest.mark.parametrize("email", ["", "no address", "a@b", "@example.com", "a@@example.com", "a b@example.com"])
def test_an_invalid_address_is_rejected(anybody: Visitor, email: str) -> None:
    problem(anybody.post(SIGN_UP, {"email": email, "password": PASSWORD}), 400, "email")


def test_a_rejected_password_is_named(anybody: Visitor) -> None:
    problem(anybody.post(SIGN_UP, {"email": "weak@example.com", "password": "short"}), 400, "password")
    problem(anybody.post(SIGN_UP, {"email": "weak@example.com", "password": "weak@example.com"}), 400, "password")


def test_long_names_are_named_together(anybody: Visitor) -> None:
    body = {"email": "e@example.com", "password": PASSWORD, "first_name": "x" * 101, "bio": "x" * 1001}
    problem(anybody.post(SIGN_UP, body), 400, "first_name", "bio")


def test_sign_ups_of_one_client_address_are_limited() -> None:
    with marketplace() as place:
        for number in range(20):
            answer(place.anybody.post(SIGN_UP, {"email": f"p{number}@example.com", "password": PASSWORD}), 201)
        refused = place.anybody.post(SIGN_UP, {"email": "late@example.com", "password": PASSWORD})
        assert problem(refused, 429)["code"] == "too_many_attempts"
        assert refused.headers["retry-after"] == "3600"


# --- logging in


def test_log_in_returns_both_tokens(anybody: Visitor, stranger: Person) -> None:
    pair = tokens(anybody, stranger.email.upper())
    assert pair.keys() == {"access", "refresh", "device_token"}
    assert answer(Visitor(anybody.client, pair["access"]).get(ME))["id"] == stranger.id


def test_a_device_token_is_accepted_by_log_ins_only(anybody: Visitor, stranger: Person) -> None:
    device = tokens(anybody, stranger.email)["device_token"]
    credentials = {"email": stranger.email, "password": PASSWORD}
    assert answer(anybody.post(TOKEN, credentials | {"device_token": device}))["access"]
    assert answer(anybody.post(TOKEN, credentials | {"device_token": "made up"}))["access"]
    problem(anybody.post(TOKEN, credentials | {"device_token": "x" * 5000}), 400, "device_token")
    problem(anybody.post(VERIFY, {"token": device}), 401)
    problem(anybody.post(REFRESH, {"refresh": device}), 401)
    problem(Visitor(anybody.client, device).get(ME), 401)


def test_all_failed_log_ins_have_the_same_response() -> None:
    with marketplace() as place:
        person, inactive = place.person(), place.person()
        deactivate(place, inactive)
        said = [
            problem(place.anybody.post(TOKEN, {"email": email, "password": password}), 401)
            for email, password in [
                (person.email, "wrong"),
                ("nobody@example.com", PASSWORD),
                (inactive.email, PASSWORD),
                ("no address \ufffd", PASSWORD),
            ]
        ]
        assert all(each == said[0] for each in said)


def test_tokens_are_not_cacheable(anybody: Visitor, stranger: Person) -> None:
    response = anybody.post(TOKEN, {"email": stranger.email, "password": PASSWORD})
    assert response.headers["cache-control"] == "private, no-store"


def test_too_many_failed_log_ins_are_a_429_with_retry_after() -> None:
    with marketplace() as place:
        person = place.person()
        device = tokens(place.anybody, person.email)["device_token"]
        wrong = {"email": person.email, "password": "wrong"}
        for _ in range(10):
            problem(place.anybody.post(TOKEN, wrong), 401)
        right = {"email": person.email, "password": PASSWORD}
        refused = place.anybody.post(TOKEN, right)
        assert problem(refused, 429)["code"] == "too_many_attempts"
        assert refused.headers["retry-after"] == "300"
        answer(place.anybody.post(TOKEN, right | {"device_token": device}))
        place.clock.advance(minutes=5)
        tokens(place.anybody, person.email)


# --- tokens


def test_an_access_token_expires(place: Marketplace, stranger: Person) -> None:
    place.clock.advance(minutes=10)
    response = stranger.get(ME)
    assert problem(response, 401)["code"] == "token_not_valid"
    assert "invalid_token" in response.headers["www-authenticate"]


def test_a_refresh_token_is_not_an_access_token(place: Marketplace, stranger: Person) -> None:
    problem(Visitor(place.client, stranger.refresh).get(ME), 401)


def test_refresh_returns_a_new_pair(anybody: Visitor, stranger: Person) -> None:
    pair = answer(anybody.post(REFRESH, {"refresh": stranger.refresh}))
    assert pair.keys() == {"access", "refresh"}
    assert pair["refresh"] != stranger.refresh
    answer(Visitor(anybody.client, pair["access"]).get(ME))
    answer(anybody.post(REFRESH, {"refresh": pair["refresh"]}))


def test_a_refresh_token_used_twice_at_once_gets_the_same_bytes(anybody: Visitor, stranger: Person) -> None:
    first, second = (anybody.post(REFRESH, {"refresh": stranger.refresh}) for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)


def test_a_late_second_use_of_a_refresh_token_ends_its_session(place: Marketplace, stranger: Person) -> None:
    anybody = place.anybody
    pair = answer(anybody.post(REFRESH, {"refresh": stranger.refresh}))
    place.clock.advance(seconds=10)
    assert problem(anybody.post(REFRESH, {"refresh": stranger.refresh}), 401)["code"] == "token_not_valid"
    problem(anybody.post(REFRESH, {"refresh": pair["refresh"]}), 401)


def test_a_refresh_token_expires_when_it_is_not_used(place: Marketplace, stranger: Person) -> None:
    place.clock.advance(days=13)
    pair = answer(place.anybody.post(REFRESH, {"refresh": stranger.refresh}))
    place.clock.advance(days=13)
    pair = answer(place.anybody.post(REFRESH, {"refresh": pair["refresh"]}))
    place.clock.advance(days=14)
    problem(place.anybody.post(REFRESH, {"refresh": pair["refresh"]}), 401)


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "é"])
def test_an_arbitrary_text_is_not_a_valid_token(anybody: Visitor, token: str) -> None:
    for path, field in ((REFRESH, "refresh"), (VERIFY, "token")):
        assert problem(anybody.post(path, {field: token}), 401)["code"] == "token_not_valid"


def test_an_access_token_cannot_be_refreshed(anybody: Visitor, stranger: Person) -> None:
    problem(anybody.post(REFRESH, {"refresh": stranger.token}), 401)


def test_verify_accepts_valid_tokens(anybody: Visitor, stranger: Person) -> None:
    for token in (stranger.token, stranger.refresh):
        assert answer(anybody.post(VERIFY, {"token": token})) == {}


def test_verify_rejects_an_expired_token(place: Marketplace, stranger: Person) -> None:
    place.clock.advance(minutes=10)
    assert problem(place.anybody.post(VERIFY, {"token": stranger.token}), 401)["code"] == "token_not_valid"


# --- one's own account


def test_the_profile_can_be_read(stranger: Person) -> None:
    shown = answer(stranger.get(ME))
    assert shown == {
        "id": stranger.id, "first_name": "", "last_name": "", "email": stranger.email, "bio": "",
        "display_name": f"Seller {stranger.id}",
    }  # fmt: skip


def test_a_profile_patch_keeps_omitted_fields(stranger: Person) -> None:
    answer(stranger.patch(ME, {"first_name": "Zoë", "bio": "Hello"}))
    edited = answer(stranger.patch(ME, {"bio": "", "email": "else@example.com", "is_staff": True}))
    assert edited == {
        "id": stranger.id, "first_name": "Zoë", "last_name": "", "email": stranger.email, "bio": "",
        "display_name": "Zoë",
    }  # fmt: skip
    assert answer(stranger.get(ME)) == edited
    problem(stranger.patch(ME, {"first_name": None, "last_name": "x" * 101}), 400, "first_name", "last_name")


def test_the_public_name_can_be_chosen_and_is_derived_when_it_is_empty(stranger: Person) -> None:
    assert answer(stranger.patch(ME, {"display_name": "Tea & Cups"}))["display_name"] == "Tea & Cups"
    assert answer(stranger.get(ME))["display_name"] == "Tea & Cups"
    for wrong in ("me@example.com", "me\uff20example.com", "x" * 101):
        problem(stranger.patch(ME, {"display_name": wrong}), 400, "display_name")
    assert answer(stranger.patch(ME, {"display_name": ""}))["display_name"] == f"Seller {stranger.id}"


def test_log_out_ends_only_its_session(place: Marketplace, stranger: Person) -> None:
    other = tokens(place.anybody, stranger.email)
    assert stranger.post(USERS + "logout/").status_code == 204
    problem(place.anybody.post(REFRESH, {"refresh": stranger.refresh}), 401)
    answer(place.anybody.post(REFRESH, {"refresh": other["refresh"]}))
    problem(stranger.post(USERS + "logout/"), 401)
    problem(stranger.get(ME), 401)
    problem(place.anybody.post(VERIFY, {"token": stranger.token}), 401)


def test_a_password_change_ends_all_other_sessions(place: Marketplace, stranger: Person) -> None:
    other = tokens(place.anybody, stranger.email)
    body = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    changed = stranger.post(USERS + "password/", body)
    assert (changed.status_code, changed.content) == (204, b"")
    problem(place.anybody.post(TOKEN, {"email": stranger.email, "password": PASSWORD}), 401)
    tokens(place.anybody, stranger.email, NEW_PASSWORD)
    problem(place.anybody.post(REFRESH, {"refresh": other["refresh"]}), 401)
    answer(place.anybody.post(REFRESH, {"refresh": stranger.refresh}))


def test_a_password_change_requires_the_old_password_and_a_valid_new_one(stranger: Person) -> None:
    path = USERS + "password/"
    problem(stranger.post(path, {"old_password": "wrong", "new_password": NEW_PASSWORD}), 400, "old_password")
    problem(stranger.post(path, {"old_password": PASSWORD, "new_password": "short"}), 400, "new_password")
    problem(stranger.post(path, {"old_password": PASSWORD}), 400, "new_password")


def test_a_password_change_takes_as_few_guesses_as_a_log_in() -> None:
    with marketplace() as place:
        person = place.person()
        wrong = {"old_password": "wrong", "new_password": NEW_PASSWORD}
        for _ in range(10):
            problem(person.post(USERS + "password/", wrong), 400, "old_password")
        refused = person.post(USERS + "password/", wrong | {"old_password": PASSWORD})
        assert problem(refused, 429)["code"] == "too_many_attempts"
        assert refused.headers["retry-after"] == "300"


def test_a_deleted_account_has_no_profile(place: Marketplace, stranger: Person) -> None:
    """A token can outlive its account if the database is restored from a backup."""
    sessions, now = place.market.sessions, place.clock.now()
    claims = evolve(sessions.verify(stranger.token), id="gone", account_id=AccountId(10**6))
    gone = Visitor(place.client, sessions._tokens.issue(claims, now))
    # While memory decides, the session is not known to be revoked.
    stranger.get(ME)
    stranger.get(ME)
    problem(gone.get(ME), 404)
    problem(gone.patch(ME, {"bio": "Boo"}), 404)
