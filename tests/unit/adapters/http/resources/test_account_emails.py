"""Operations with tokens that are sent by e-mail."""

import re

from scalecommerce_core.services.emails import EmailRules
from scalecommerce_core.testing import RecordingEmailSender
from tests.unit.support.http_marketplace import (
    ORDERS,
    PASSWORD,
    PRODUCTS,
    USERS,
    Marketplace,
    answer,
    marketplace,
    problem,
)

NEW = "another long password"


def sent_token(place: Marketplace) -> str:
    """Send due e-mails, and return the token of the newest one."""
    while place.market.emails.deliver().total:
        pass
    sender = place.market.emails._sender
    assert isinstance(sender, RecordingEmailSender)
    tokens = [match[1] for email in sender.sent if (match := re.search(r"Your token: ([\w-]+)", email.text))]
    return tokens[-1]


def test_a_forgotten_password_is_replaced(place: Marketplace) -> None:
    person = place.person()
    assert place.anybody.post(f"{USERS}password/reset/", {"email": person.email}).status_code == 204
    body = {"token": sent_token(place), "new_password": NEW}
    assert place.anybody.post(f"{USERS}password/reset/confirm/", body).status_code == 204
    problem(place.anybody.post(f"{USERS}password/reset/confirm/", body), 400, "token")
    problem(place.anybody.post(f"{USERS}token/", {"email": person.email, "password": PASSWORD}), 401)
    answer(place.anybody.post(f"{USERS}token/", {"email": person.email, "password": NEW}))
    problem(place.anybody.post(f"{USERS}token/refresh/", {"refresh": person.refresh}), 401)


def test_responses_are_equal_for_known_and_unknown_addresses(place: Marketplace) -> None:
    """Attack: enumerate addresses by the responses, up to and beyond the limit."""
    person = place.person()
    replies = [
        [place.anybody.post(f"{USERS}password/reset/", {"email": email}) for _ in range(7)]
        for email in (person.email, "nobody@example.com")
    ]
    known, unknown = [
        [
            (
                reply.status_code,
                reply.content,
                sorted(set(reply.headers.items()) - {("x-request-id", reply.headers["x-request-id"])}),
            )
            for reply in of_address
        ]
        for of_address in replies
    ]
    assert known == unknown
    assert [status for status, _, _ in known] == [204] * 5 + [429] * 2


def test_an_address_is_changed_and_confirmed(place: Marketplace) -> None:
    person = place.person()
    assert person.post(f"{USERS}email/verification/").status_code == 204
    assert place.anybody.post(f"{USERS}email/verification/confirm/", {"token": sent_token(place)}).status_code == 204
    problem(person.post(f"{USERS}email/", {"email": "new@example.com", "password": "wrong"}), 400, "password")
    assert person.post(f"{USERS}email/", {"email": "new@example.com", "password": PASSWORD}).status_code == 204
    assert answer(person.get(f"{USERS}me/"))["email"] == person.email
    token = sent_token(place)
    assert place.anybody.post(f"{USERS}email/verification/confirm/", {"token": token}).status_code == 204
    assert answer(person.get(f"{USERS}me/"))["email"] == "new@example.com"
    problem(place.anybody.post(f"{USERS}email/verification/confirm/", {"token": token}), 400, "token")


def test_a_sign_up_sends_a_code(place: Marketplace) -> None:
    answer(place.anybody.post(f"{USERS}sign-up/", {"email": "kara@example.com", "password": PASSWORD}), 201)
    assert place.anybody.post(f"{USERS}email/verification/confirm/", {"token": sent_token(place)}).status_code == 204


def test_without_email_requests_are_refused() -> None:
    with marketplace() as place:
        person = place.person()
        place.market.emails._rules = EmailRules()
        refused = problem(place.anybody.post(f"{USERS}password/reset/", {"email": person.email}), 409)
        assert refused["code"] == "email_disabled"


def test_unverified_accounts_are_told_what_to_do() -> None:
    with marketplace(require_verified_email=True) as place:
        person = place.person()
        product = {"name": "Tea pot", "category_id": 1, "price": "10.00"}
        refused = problem(person.post(PRODUCTS, product), 403)
        assert refused["code"] == "email_not_verified"
        assert "POST /users/api/v1/email/verification/" in refused["detail"]
        problem(person.post(ORDERS, {"order_item": [{"product": 1, "quantity": 1}]}), 403)
        problem(person.post("/webhooks/api/v1/", {"url": "https://example.com/"}), 403)
        assert person.post(f"{USERS}email/verification/").status_code == 204
        assert (
            place.anybody.post(f"{USERS}email/verification/confirm/", {"token": sent_token(place)}).status_code == 204
        )
        answer(person.post(PRODUCTS, product), 201)
