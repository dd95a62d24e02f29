"""The event feed and its documentation."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve

from scalecommerce_core.domain import events
from scalecommerce_core.domain.events import Event
from scalecommerce_core.domain.feed_cursor import encode_feed_cursor
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import FeedPage, Queries
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.promotions import CancelPromotion, CreatePromotion
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, Person, Visitor, answer, marketplace, problem
from tests.unit.support.tampering import Instead

EVENTS = "/events/api/v1/"


@pytest.fixture
def place() -> Iterator[Marketplace]:
    """A new market for each test, with event numbers from 1."""
    with marketplace() as made:
        yield made


def feed(place: Marketplace, person: Person, query: str = "", **headers: str) -> Any:
    while place.market.relay.assign_sequence():
        pass
    return answer(person.get(EVENTS + query, headers=headers))


def test_reading_events_requires_an_account(anybody: Visitor) -> None:
    problem(anybody.get(EVENTS), 401)


def test_staff_read_all_events_in_pages(place: Marketplace, staff: Person, seller: Person, buyer: Person) -> None:
    product = seller.list(stock=5)["id"]
    order = place.sell(buyer, (product, 2))
    first = feed(place, staff, "?limit=3")
    assert [event["seq"] for event in first["results"]] == [1, 2, 3]
    assert (first["next_cursor"], first["last_cursor"]) == (encode_feed_cursor(3), encode_feed_cursor(4))
    second = feed(place, staff, f"?cursor={first['next_cursor']}&limit=3")
    assert second == {
        "results": [
            {
                "seq": 4,
                "topic": "order.paid",
                "at": "2026-01-01T00:00:00Z",
                "data": {
                    "order": order["id"],
                    "status": "PAID",
                    "buyer": buyer.id,
                    "sellers": [seller.id],
                    "currency": "USD",
                    "lines": [{"product": product, "quantity": 2, "price": "10.00"}],
                },
            }
        ],
        "next_cursor": encode_feed_cursor(4),
        "last_cursor": encode_feed_cursor(4),
        "next_after": 4,
        "last": 4,
    }
    end = {**second, "results": []}
    assert feed(place, staff, f"?cursor={first['last_cursor']}") == end
    # The deprecated parameter.
    assert feed(place, staff, "?after=3&limit=3") == second
    assert feed(place, staff, "?after=4") == end


def test_accounts_read_only_their_own_events(
    place: Marketplace, seller: Person, buyer: Person, stranger: Person, staff: Person
) -> None:
    pot, cup = seller.list(stock=5)["id"], stranger.list(stock=5, price="3.00")["id"]
    place.sell(buyer, (pot, 1), (cup, 2))
    told = {person.id: feed(place, person)["results"] for person in (seller, buyer, stranger, staff)}
    of_order = ["order.placed", "order.reserved", "order.paid"]
    assert [event["topic"] for event in told[seller.id]] == ["product.listed", *of_order[1:]], "from the verdict on"
    assert [event["topic"] for event in told[buyer.id]] == of_order
    assert [event["seq"] for event in told[stranger.id]] == [2, 4, 5]
    assert [line["product"] for line in told[seller.id][-1]["data"]["lines"]] == [pot]
    assert [line["product"] for line in told[stranger.id][-1]["data"]["lines"]] == [cup]
    assert [line["product"] for line in told[buyer.id][-1]["data"]["lines"]] == [pot, cup]
    for own in (seller, stranger):
        for event in told[own.id]:
            assert event["data"].keys() <= {"product", "order", "status", "currency", "lines"}


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=9223372036854775808", "limit=0", "limit=1001"])
def test_an_invalid_event_number_is_a_400(buyer: Person, query: str) -> None:
    problem(buyer.get(f"{EVENTS}?{query}"), 400, query.partition("=")[0])


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "0",
        "52311",
        "yesterday",
        "AQAAAAAAAAA",
        "AQAAAAAAAAAB1",
        "AQAAAAAAAAAA=",
        "AgAAAAAAAAAA",
        "AYAAAAAAAAAA",
        "Ж",
    ],
)
def test_an_invalid_cursor_is_a_400(buyer: Person, cursor: str) -> None:
    detail = problem(buyer.get(EVENTS, params={"cursor": cursor}), 400, "cursor")["detail"]
    assert "This is no cursor of the event feed: send one that the feed returned" in detail


def test_a_cursor_and_a_number_together_are_a_400(buyer: Person) -> None:
    problem(buyer.get(f"{EVENTS}?cursor={encode_feed_cursor(0)}&after=0"), 400, "after")


def test_a_future_place_is_a_400(buyer: Person) -> None:
    assert "0 events so far" in problem(buyer.get(f"{EVENTS}?after=1"), 400, "after")["detail"]
    refused = problem(buyer.get(f"{EVENTS}?cursor={encode_feed_cursor(1)}"), 400, "cursor")
    assert "No event has this cursor" in refused["detail"]
    largest = problem(buyer.get(f"{EVENTS}?cursor={encode_feed_cursor(2**63 - 1)}"), 400, "cursor")
    assert "No event has this cursor" in largest["detail"]


def test_a_410_names_the_oldest_event_number(place: Marketplace, seller: Person, buyer: Person) -> None:
    seller.list(stock=1)
    feed(place, seller)
    place.clock.advance(minutes=5)
    assert OutboxRelay(place.market.store, place.clock, timedelta(minutes=4)).purge() == 1
    seller.list(stock=1)
    gone = problem(seller.get(f"{EVENTS}?after=0"), 410)
    assert (gone["code"], gone["oldest_after"]) == ("events_forgotten", 1)
    assert gone["oldest_cursor"] == encode_feed_cursor(1)
    assert f"cursor={gone['oldest_cursor']}" in gone["detail"]
    assert problem(seller.get(f"{EVENTS}?cursor={encode_feed_cursor(0)}"), 410) == gone
    for query in (f"?after={gone['oldest_after']}", f"?cursor={gone['oldest_cursor']}"):
        assert [event["seq"] for event in feed(place, seller, query)["results"]] == [2]
    assert [event["seq"] for event in feed(place, seller)["results"]] == [2], "from the oldest that is kept"
    problem(buyer.get(f"{EVENTS}?after=0"), 410)


def test_events_are_kept_for_the_retention_period(place: Marketplace, seller: Person) -> None:
    relay = OutboxRelay(place.market.store, place.clock, timedelta(days=2))
    seller.list(stock=1)
    feed(place, seller)
    place.clock.advance(days=2)
    assert relay.purge() == 0
    place.clock.advance(seconds=1)
    assert relay.purge() == 1


# --- waiting


def test_a_waiting_request_returns_with_the_next_event() -> None:
    asked: list[int | None] = []

    def late(market: Market) -> Market:
        def numbered_at_the_third_look(after: int | None, limit: int, account: Any) -> FeedPage:
            asked.append(after)
            if len(asked) == 3:
                market.relay.assign_sequence()
            return market.queries.feed(after, limit, account)

        return evolve(market, queries=cast(Queries, Instead(market.queries, feed=numbered_at_the_third_look)))

    with marketplace(rebuilt=late) as place:
        seller = place.person()
        seller.list(stock=1)
        response = seller.get(EVENTS, headers={"Prefer": "wait=20"})
        assert len(answer(response)["results"]) == 1
        assert response.headers["Preference-Applied"] == "wait=20"
        assert asked == [None, 0, 0]
        assert "Preference-Applied" not in seller.get(EVENTS).headers


def test_a_waiting_request_returns_after_its_seconds(buyer: Person) -> None:
    response = buyer.get(EVENTS, headers={"Prefer": "wait=0"})
    assert answer(response)["results"] == []
    assert response.headers["Preference-Applied"] == "wait=0"
    assert answer(buyer.get(EVENTS, headers={"Prefer": "wait=1"}))["results"] == []


# --- the documentation


def documented() -> list[Any]:
    page = (Path(__file__).parents[5] / "docs/http-api.md").read_text()
    section = page.partition("\n## Events\n")[2].partition("\n## ")[0]
    return [
        json.loads(line)
        for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)
        for line in block.splitlines()
    ]


def shape(value: Any) -> Any:
    """The types of the values by path."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def everything_happens(place: Marketplace, seller: Person, buyer: Person) -> None:
    product = seller.list(stock=3)["id"]
    sold = place.sell(buyer, (product, 2))
    answer(seller.act(sold, "refunds", {"lines": [{"product": product, "quantity": 1}]}), 201)
    place.reserve(buyer, (product, 99))
    answer(buyer.act(buyer.place((product, 1)), "cancel"))
    place.reserve(buyer, (product, 1))
    answer(seller.patch(f"{PRODUCTS}{product}/", {"name": "Blue tea pot", "price": "9.00"}))
    answer(seller.patch(f"{PRODUCTS}{product}/", {"stock": 0}))
    answer(seller.patch(f"{PRODUCTS}{product}/", {"stock": 2}))
    promotions, ends_at = place.market.promotions, place.clock.now() + timedelta(days=1)
    sale = CreatePromotion(AccountId(seller.id), "Spring sale", ends_at, percent=20, all_products=True)
    promotion = unwrap_single(promotions.create([sale]))
    promotions.sweep(10)
    unwrap_single(promotions.cancel([CancelPromotion(promotion.id, None)]))
    promotions.sweep(10)
    assert seller.delete(f"{PRODUCTS}{product}/").status_code == 204
    place.clock.advance(minutes=15)
    assert place.market.ordering.expire() == 1


def test_every_topic_is_documented_with_an_example_of_its_data(
    place: Marketplace, seller: Person, buyer: Person
) -> None:
    everything_happens(place, seller, buyer)
    place.market.relay.assign_sequence()
    told = {
        event.topic: shape(event.data)
        for reader in (seller, buyer)
        for event in place.market.queries.feed(0, 100, AccountId(reader.id)).events
    }
    examples = documented()
    assert {example["topic"]: shape(example["data"]) for example in examples} == told
    assert all(example.keys() == {"seq", "topic", "at", "data"} for example in examples)
    assert len(examples) == len(told)
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    assert told.keys() == {kind.topic for kind in kinds if hasattr(kind, "topic")}
    page = (Path(__file__).parents[5] / "docs/http-api.md").read_text()
    assert [topic for topic in told if f"| `{topic}` |" not in page] == []
