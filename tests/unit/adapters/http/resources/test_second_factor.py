"""The second factor over HTTP."""

from httpx2 import Response

from scalecommerce_core.testing import CountingOneTimePasswords
from tests.unit.support.http_marketplace import PASSWORD, USERS, Marketplace, Person, answer, marketplace, problem

PATH = f"{USERS}me/second-factor/"


def code(place: Marketplace) -> str:
    """The next code of the app."""
    place.clock.advance(seconds=30)
    return CountingOneTimePasswords().code(place.clock.now().timestamp())


def log_in(place: Marketplace, person: Person, code: str | None = None) -> Response:
    body = {"email": person.email, "password": PASSWORD} | ({} if code is None else {"code": code})
    return place.anybody.post(f"{USERS}token/", body)


def test_a_second_factor_is_set_up_used_and_switched_off(place: Marketplace) -> None:
    person = place.person()
    assert answer(person.get(PATH)) == {"enabled": False, "required": False, "recovery_codes_left": 0}
    problem(person.post(PATH, {"password": "wrong"}), 400, "password")
    enrolment = answer(person.post(PATH, {"password": PASSWORD}))
    assert enrolment["secret"] in enrolment["uri"]
    problem(person.post(f"{PATH}confirm/", {"code": "000000"}), 400, "code")
    codes = answer(person.post(f"{PATH}confirm/", {"code": code(place)}))["recovery_codes"]
    assert len(codes) == 10
    assert problem(person.post(PATH, {"password": PASSWORD}), 409)["code"] == "second_factor_enabled"
    assert problem(log_in(place, person), 401)["code"] == "second_factor_required"
    assert problem(log_in(place, person, "000000"), 401)["code"] == "second_factor_rejected"
    answer(log_in(place, person, code(place)))
    answer(log_in(place, person, codes[0]))
    assert answer(person.get(PATH)) == {"enabled": True, "required": False, "recovery_codes_left": 9}
    proofs = {"password": PASSWORD, "code": code(place)}
    assert not set(answer(person.post(f"{PATH}recovery-codes/", proofs))["recovery_codes"]) & set(codes)
    assert person.post(f"{PATH}disable/", {"password": PASSWORD, "code": code(place)}).status_code == 204
    answer(log_in(place, person))
    assert problem(person.post(f"{PATH}disable/", proofs), 409)["code"] == "second_factor_not_enabled"


def test_staff_without_a_second_factor_can_only_set_one_up() -> None:
    with marketplace(require_staff_second_factor=True) as place:
        staff = place.person(is_staff=True)
        problem(staff.get(USERS), 403)
        assert answer(staff.get(PATH))["required"] is True
        answer(staff.post(PATH, {"password": PASSWORD}))
        answer(staff.post(f"{PATH}confirm/", {"code": code(place)}))
        staff.token = answer(staff.post(f"{USERS}token/refresh/", {"refresh": staff.refresh}))["access"]
        answer(staff.get(USERS))


def test_guesses_are_answered_with_429(place: Marketplace) -> None:
    person = place.person()
    answer(person.post(PATH, {"password": PASSWORD}))
    answer(person.post(f"{PATH}confirm/", {"code": code(place)}))
    for _ in range(5):
        problem(log_in(place, person, "000000"), 401)
    assert int(log_in(place, person, "000000").headers["retry-after"]) > 0
    problem(log_in(place, person, code(place)), 429)


def test_sensitive_changes_need_a_code(place: Marketplace) -> None:
    person = place.person()
    answer(person.post(PATH, {"password": PASSWORD}))
    answer(person.post(f"{PATH}confirm/", {"code": code(place)}))
    keys = f"{USERS}me/api-keys/"
    new_key = {"name": "Till", "scopes": ["orders:read"], "password": PASSWORD}
    problem(person.post(keys, new_key), 400, "code")
    made = answer(person.post(keys, new_key | {"code": code(place)}), 201)
    changes: dict[str, dict[str, object]] = {
        f"{keys}{made['id']}/rotate/": {"password": PASSWORD},
        f"{USERS}email/": {"password": PASSWORD, "email": "new@example.com"},
        f"{USERS}password/": {"old_password": PASSWORD, "new_password": f"{PASSWORD}!", "revoke_api_keys": True},
    }
    for path, body in changes.items():
        problem(person.post(path, body), 400, "code")
        assert person.post(path, body | {"code": code(place)}).is_success
    assert answer(person.get(keys))["results"] == []
