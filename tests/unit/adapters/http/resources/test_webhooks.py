"""`webhooks/api/v1/`: endpoints, secrets and deliveries."""

from typing import Any

from tests.unit.support.http_marketplace import Marketplace, Person, answer, problem

WEBHOOKS = "/webhooks/api/v1/"
URL = "https://example.com/hooks"


def create(person: Person, **fields: Any) -> Any:
    return answer(person.post(WEBHOOKS, {"url": URL, **fields}), 201)


def at(made: Any, tail: str = "") -> str:
    return f"{WEBHOOKS}{made['id']}/{tail}"


def send_news(place: Marketplace) -> None:
    place.market.relay.assign_sequence()
    place.market.webhooks.fan_out()
    place.market.webhooks.deliver()


def test_the_secret_of_an_endpoint_is_returned_once(seller: Person) -> None:
    response = seller.post(WEBHOOKS, {"url": URL, "topics": ["order.paid"], "description": "Shop"})
    made = answer(response, 201)
    assert response.headers["location"] == at(made)
    assert response.headers["cache-control"] == "no-store"
    assert made["secret"].startswith("whsec_")
    shown = answer(seller.get(at(made)))
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert shown["topics"] == ["order.paid"]
    (listed,) = [each for each in answer(seller.get(WEBHOOKS))["results"] if each["id"] == made["id"]]
    assert listed == shown


def test_invalid_fields_are_named(seller: Person) -> None:
    for url in ("http://example.com/", "https://10.0.0.1/", "https://localhost/", "https://user@example.com/", "x"):
        problem(seller.post(WEBHOOKS, {"url": url}), 400, "url")
    document = problem(seller.post(WEBHOOKS, {"url": URL, "topics": ["order.paid", "order.eaten"]}), 400, "topics[1]")
    assert "order.eaten" in document["errors"]["topics[1]"][0]
    problem(seller.post(WEBHOOKS, {"url": URL, "all_events": True}), 400, "all_events")


def test_a_repeated_key_creates_one_endpoint_and_returns_its_secret_again(seller: Person) -> None:
    headers = {"Idempotency-Key": "one-endpoint"}
    first, again = (seller.post(WEBHOOKS, {"url": URL}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert first.headers["location"] == again.headers["location"]
    problem(seller.post(WEBHOOKS, {"url": URL + "2"}, headers=headers), 422)


def test_an_endpoint_is_edited_and_deleted_with_if_match(seller: Person) -> None:
    made = create(seller)
    edited = seller.patch(at(made), {"topics": ["order.paid"], "is_active": False}, headers={"If-Match": '"v1"'})
    assert answer(edited)["is_active"] is False
    assert edited.headers["etag"] == '"v2"'
    assert seller.get(at(made), headers={"If-None-Match": '"v2"'}).status_code == 304
    problem(seller.patch(at(made), {"topics": []}, headers={"If-Match": '"v1"'}), 412)
    problem(seller.delete(at(made), headers={"If-Match": '"v1"'}), 412)
    assert seller.delete(at(made)).status_code == 204
    problem(seller.get(at(made)), 404)
    problem(seller.delete(at(made)), 404)


def test_a_secret_is_rotated_once_per_key(seller: Person) -> None:
    made = create(seller)
    path, headers = at(made, "rotate-secret/"), {"Idempotency-Key": "rotate"}
    first, again = (seller.post(path, headers=headers) for _ in range(2))
    assert first.content == again.content
    assert answer(first)["secret"] != made["secret"]
    assert answer(seller.post(path))["secret"] != answer(first)["secret"]


def test_endpoints_are_hidden_from_others_and_secrets_from_staff(
    seller: Person, stranger: Person, staff: Person
) -> None:
    made = create(seller)
    ping = answer(seller.post(at(made, "test/")), 202)
    of_delivery = f"deliveries/{ping['id']}/"
    for tail in ("", "deliveries/", of_delivery):
        problem(stranger.get(at(made, tail)), 404)
        answer(staff.get(at(made, tail)))
    for tail in ("test/", "rotate-secret/", f"{of_delivery}redeliver/"):
        problem(stranger.post(at(made, tail)), 404)
    problem(stranger.patch(at(made), {"is_active": False}), 404)
    problem(stranger.delete(at(made)), 404)
    problem(staff.post(at(made, "rotate-secret/")), 403)
    assert made["id"] not in [each["id"] for each in answer(stranger.get(WEBHOOKS))["results"]]
    answer(staff.post(WEBHOOKS, {"url": URL, "all_events": True}), 201)


def test_a_ping_is_delivered_and_redelivered(place: Marketplace, seller: Person) -> None:
    made = create(seller)
    send_news(place)
    response = seller.post(at(made, "test/"), headers={"Idempotency-Key": "ping"})
    ping = answer(response, 202)
    assert (ping["topic"], ping["event"], ping["status"], ping["attempts"]) == ("webhook.ping", None, "PENDING", [])
    send_news(place)
    sent = answer(seller.get(response.headers["location"]))
    assert (sent["status"], sent["next_attempt_at"]) == ("DELIVERED", None)
    assert [(attempt["status"], attempt["answer"]) for attempt in sent["attempts"]] == [(200, "thanks")]
    assert answer(seller.post(at(made, "test/"), headers={"Idempotency-Key": "ping"}), 202) == sent
    path = f"{response.headers['location']}redeliver/"
    again = answer(seller.post(path), 202)
    assert (again["status"], again["message_id"]) == ("PENDING", ping["message_id"])
    assert problem(seller.post(path), 409)["code"] == "delivery_pending"
    send_news(place)
    assert len(answer(seller.get(response.headers["location"]))["attempts"]) == 2


def test_a_disabled_endpoint_receives_nothing(seller: Person) -> None:
    made = create(seller)
    answer(seller.patch(at(made), {"is_active": False}))
    assert problem(seller.post(at(made, "test/")), 409)["code"] == "endpoint_disabled"


def test_deliveries_are_paged_and_filtered_by_status(place: Marketplace, seller: Person) -> None:
    made = create(seller, topics=["product.listed"])
    send_news(place)
    for _ in range(3):
        seller.list()
    send_news(place)
    waiting = answer(seller.post(at(made, "test/")), 202)
    first = answer(seller.get(at(made, "deliveries/"), params={"page_size": 2}))
    assert [each["topic"] for each in first["results"]] == ["webhook.ping", "product.listed"]
    second = answer(seller.client.get(first["next"], headers={"Authorization": f"Bearer {seller.token}"}))
    assert [each["topic"] for each in second["results"]] == ["product.listed", "product.listed"]
    third = answer(seller.client.get(second["next"], headers={"Authorization": f"Bearer {seller.token}"}))
    assert [each["topic"] for each in third["results"]] == ["webhook.verification"]
    assert third["next"] is None
    pending = answer(seller.get(at(made, "deliveries/"), params={"status": "PENDING"}))["results"]
    assert [each["id"] for each in pending] == [waiting["id"]]
    problem(seller.get(at(made, "deliveries/"), params={"status": "LOST"}), 400, "status")


def test_a_delivery_is_found_only_under_its_endpoint(seller: Person) -> None:
    made, other = create(seller), create(seller)
    ping = answer(seller.post(at(made, "test/")), 202)
    problem(seller.get(at(other, f"deliveries/{ping['id']}/")), 404)
    problem(seller.post(at(other, f"deliveries/{ping['id']}/redeliver/")), 404)


def test_an_endpoint_gets_events_after_its_receiver_returned_the_challenge(place: Marketplace, seller: Person) -> None:
    made = create(seller, topics=["product.listed"])
    assert made["is_verified"] is False
    seller.list()
    sent = answer(seller.post(at(made, "test/")), 202)
    assert sent["topic"] == "webhook.verification"
    send_news(place)
    assert answer(seller.get(at(made)))["is_verified"] is True
    assert answer(seller.get(at(made, f"deliveries/{sent['id']}/")))["attempts"][0]["answer"] == ""
    edited = answer(seller.patch(at(made), {"url": URL + "/new"}))
    assert (edited["url"], edited["is_verified"]) == (URL + "/new", False)
    ping = answer(seller.get(at(made, "deliveries/")))["results"][0]
    assert ping["topic"] == "webhook.verification"
    path = at(made, f"deliveries/{sent['id']}/redeliver/")
    assert problem(seller.post(path), 409)["code"] == "endpoint_unverified"


def test_test_messages_are_limited(seller: Person) -> None:
    made = create(seller)
    statuses = [seller.post(at(made, "test/")).status_code for _ in range(31)]
    assert 429 in statuses
    refused = seller.post(at(made, "test/"))
    assert problem(refused, 429)["code"] == "too_many_attempts"
    assert int(refused.headers["retry-after"]) > 0
    problem(seller.patch(at(made), {"url": "https://example.org/"}), 429)
    problem(seller.post(WEBHOOKS, {"url": URL}), 429)
