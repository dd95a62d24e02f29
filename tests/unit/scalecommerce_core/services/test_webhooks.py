"""Webhooks from the event to the receiver: exactly one delivery per event and endpoint, sent at least once."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Conflict, Forbidden, Invalid, MarketError, NotFound, TooManyAttempts
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import (
    MAX_ENDPOINTS,
    PING,
    VERIFICATION,
    DeliveryPending,
    DeliveryStatus,
    EndpointDisabled,
    WebhookAnswer,
    WebhookEndpoint,
)
from scalecommerce_core.ports import OutgoingWebhook
from scalecommerce_core.queries import DeliveryView, PageRequest
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.services.webhooks import (
    ActOnEndpoint,
    CreateEndpoint,
    DeliverySummary,
    EditEndpoint,
    EndpointWithSecret,
    Redeliver,
    TooManyEndpoints,
    WebhookRules,
    Webhooks,
)
from scalecommerce_core.testing import CountingIds, RecordingSender, ReversingCipher, SeededRandomness
from tests.unit.support.shop import PASSWORD, Shop, line, usd

GOOD = WebhookAnswer(timedelta(0), status=200)
BAD = WebhookAnswer(timedelta(0), status=500)


class Post:
    """The webhooks of a shop, and what arrives at their receivers."""

    def __init__(self, shop: Shop, rules: WebhookRules | None = None) -> None:
        self.shop = shop
        self.sender = RecordingSender()
        self.cipher = ReversingCipher()
        self.webhooks = Webhooks(
            shop.store,
            shop.clock,
            shop.queries,
            ids=CountingIds(),
            randomness=SeededRandomness(),
            cipher=self.cipher,
            sender=self.sender,
            rules=rules or WebhookRules(),
        )
        # The fan-out begins with the events after its first claim.
        self.webhooks.fan_out()

    def create(self, owner: Account, url: str = "https://example.com/hooks", **more: Any) -> EndpointWithSecret:
        """Create an endpoint whose receiver returns the challenge."""
        made = unwrap_single(self.webhooks.create([CreateEndpoint(owner.id, url, **more)]))
        while not self.endpoint(made).is_verified:
            self.webhooks.deliver()
        return made

    def news(self) -> int:
        """Number events and make deliveries of them."""
        self.shop.market.relay.assign_sequence()
        return self.webhooks.fan_out().deliveries

    def deliver(self) -> list[OutgoingWebhook]:
        """Send the due deliveries; return the messages that were sent."""
        before = len(self.sender.sent)
        self.webhooks.deliver()
        return self.sender.sent[before:]

    def answering(self, answer: WebhookAnswer) -> None:
        self.sender.answer = lambda _message: answer

    def log(self, endpoint: EndpointWithSecret) -> list[DeliveryView]:
        """Oldest first, without verifications."""
        rows = self.shop.queries.deliveries(endpoint.endpoint.id, PageRequest(100)).rows
        return [row for row in reversed(rows) if row.topic != VERIFICATION]

    def endpoint(self, made: EndpointWithSecret) -> Any:
        found = self.shop.tables.endpoints.get(made.endpoint.id)
        assert found is not None
        return found


@pytest.fixture
def post(shop: Shop) -> Post:
    return Post(shop)


def data_of(message: OutgoingWebhook) -> Any:
    return json.loads(message.body)["data"]


def acting(made: EndpointWithSecret, who: Account, **more: Any) -> ActOnEndpoint:
    return ActOnEndpoint(made.endpoint.id, who.id, **more)


# --- from events to messages


def test_an_event_arrives_signed(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    product = shop.list(seller)
    assert post.news() == 1
    (message,) = post.deliver()
    assert message.url == "https://example.com/hooks"
    assert message.headers["content-type"] == "application/json"
    body = json.loads(message.body)
    assert body == {"type": "product.listed", "timestamp": "2026-01-01T00:00:00Z", "data": {"product": product}}
    signed = f"{message.headers['webhook-id']}.{message.headers['webhook-timestamp']}.".encode() + message.body
    key = base64.b64decode(made.secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert message.headers["webhook-signature"] == f"v1,{expected}"
    assert message.headers["webhook-id"].startswith("msg_")
    assert 24 <= len(key) <= 64
    (delivery,) = post.log(made)
    assert (delivery.status, delivery.seq, delivery.topic) == (DeliveryStatus.DELIVERED, 1, "product.listed")
    assert post.deliver() == []


def test_an_event_becomes_one_delivery_however_often_the_fan_out_runs(post: Post, shop: Shop, seller: Account) -> None:
    made = [post.create(seller), post.create(seller, "https://example.org/")]
    shop.list(seller)
    assert post.news() == 2
    assert post.news() == 0
    assert [len(post.log(each)) for each in made] == [1, 1]


def test_events_are_fanned_out_in_batches_in_order(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    for _ in range(5):
        shop.list(seller)
    shop.market.relay.assign_sequence()
    assert [post.webhooks.fan_out(2).events for _ in range(4)] == [2, 2, 1, 0]
    assert [delivery.seq for delivery in post.log(made)] == [1, 2, 3, 4, 5]


def test_without_an_active_endpoint_the_fan_out_skips_events(post: Post, shop: Shop, seller: Account) -> None:
    shop.list(seller)
    assert post.news() == 0
    made = post.create(seller)
    shop.list(seller)
    assert post.news() == 1
    assert [delivery.seq for delivery in post.log(made)] == [2]


def test_an_endpoint_receives_no_events_from_before_its_creation(post: Post, shop: Shop, seller: Account) -> None:
    post.create(seller)
    shop.list(seller)
    shop.clock.advance(seconds=1)
    late = post.create(seller)
    assert post.news() == 1
    assert post.log(late) == []


def test_messages_contain_what_the_owners_feed_shows(post: Post, shop: Shop, seller: Account, buyer: Account) -> None:
    other = shop.person("otto")
    staff = unwrap_single(shop.accounts.sign_up([SignUp("staff@example.com", PASSWORD, is_staff=True)]))
    stranger = shop.person("stranger")
    mine, theirs = shop.list(seller), shop.list(other)
    for account in (seller, other, buyer, stranger):
        post.create(account, f"https://{account.first_name}.example.com/", topics=["order.reserved"])
    post.create(staff, "https://staff.example.com/", topics=["order.reserved"], all_events=True, as_staff=True)
    shop.place(buyer, line(mine, 1), line(theirs, 2))
    shop.ordering.decide()
    assert post.news() == 4
    told = {message.url.split("/")[2].split(".")[0]: data_of(message) for message in post.deliver()}
    assert set(told) == {"sam", "otto", "bea", "staff"}
    assert [each["product"] for each in told["sam"]["lines"]] == [mine]
    assert [each["product"] for each in told["otto"]["lines"]] == [theirs]
    assert [each["product"] for each in told["bea"]["lines"]] == [mine, theirs]
    assert "buyer" not in told["sam"]
    assert told["staff"]["buyer"] == buyer.id
    feed = shop.queries.feed(0, 100, seller.id).events
    assert told["sam"] == next(event.data for event in feed if event.topic == "order.reserved")


def test_topics_narrow_what_is_sent(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller, topics=["price.changed"])
    shop.edit(shop.list(seller, price="10.00"), price=usd("20.00"))
    post.news()
    assert {delivery.topic for delivery in post.log(made)} == {"price.changed"}


# --- sending


def test_a_failure_is_tried_again_with_the_same_id_and_body(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    shop.list(seller)
    post.news()
    post.answering(BAD)
    (first,) = post.deliver()
    assert post.deliver() == []
    shop.clock.advance(seconds=10)
    post.answering(GOOD)
    (second,) = post.deliver()
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert second.body == first.body
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 10
    assert second.headers["webhook-signature"] != first.headers["webhook-signature"]
    (delivery,) = post.log(made)
    assert [attempt.status for attempt in delivery.log] == [500, 200]
    assert post.endpoint(made).failures == 0


def test_a_crash_between_sending_and_recording_repeats_the_message(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    shop.list(seller)
    post.news()

    def die(_message: OutgoingWebhook) -> WebhookAnswer:
        raise KeyboardInterrupt

    post.sender.answer = die
    with pytest.raises(KeyboardInterrupt):
        post.webhooks.deliver()
    post.answering(GOOD)
    # The lease has not ended: the first sender may still be working.
    assert post.deliver() == []
    shop.clock.advance(seconds=61)
    post.deliver()
    first, second = post.sender.sent
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    (delivery,) = post.log(made)
    assert (delivery.status, len(delivery.log)) == (DeliveryStatus.DELIVERED, 1)


def test_a_failing_endpoint_is_probed_and_the_others_go_on(post: Post, shop: Shop, seller: Account) -> None:
    failing, well = post.create(seller, "https://failing.example.com/"), post.create(seller)
    for _ in range(15):
        shop.list(seller)
    post.news()
    post.sender.answer = lambda message: BAD if "failing" in message.url else GOOD

    def arrived() -> dict[str, int]:
        urls = [message.url for message in post.deliver()]
        return {"failing": urls.count(failing.endpoint.url), "well": urls.count(well.endpoint.url)}

    assert arrived() == {"failing": 10, "well": 10}
    assert arrived() == {"failing": 0, "well": 5}
    shop.clock.advance(seconds=5)
    assert arrived() == {"failing": 1, "well": 0}
    post.answering(GOOD)
    shop.clock.advance(seconds=10)
    assert arrived() == {"failing": 1, "well": 0}
    assert arrived() == {"failing": 10, "well": 0}


def test_gone_disables_the_endpoint(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    shop.list(seller)
    post.news()
    post.answering(WebhookAnswer(timedelta(0), status=410))
    post.deliver()
    view = shop.queries.endpoint(made.endpoint.id)
    assert view is not None
    assert (view.is_active, view.disabled_because) == (
        False,
        "The receiver answered 410 Gone, so no more messages are sent.",
    )
    (delivery,) = post.log(made)
    assert delivery.status is DeliveryStatus.FAILED
    shop.list(seller)
    assert post.news() == 0


def test_pending_deliveries_are_sent_when_their_endpoint_is_enabled(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    shop.list(seller)
    post.news()
    off, on = ({"is_active": value} for value in (False, True))
    unwrap_single(post.webhooks.edit([EditEndpoint(made.endpoint.id, seller.id, off)]))
    assert post.deliver() == []
    unwrap_single(post.webhooks.edit([EditEndpoint(made.endpoint.id, seller.id, on)]))
    assert len(post.deliver()) == 1


def test_both_secrets_sign_while_they_change(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    new = unwrap_single(post.webhooks.rotate([acting(made, seller)]))
    assert new.secret != made.secret
    shop.list(seller)
    post.news()
    (message,) = post.deliver()
    assert len(message.headers["webhook-signature"].split(" ")) == 2
    shop.clock.advance(hours=25)
    shop.list(seller)
    post.news()
    (message,) = post.deliver()
    assert len(message.headers["webhook-signature"].split(" ")) == 1


def test_a_secret_that_cannot_be_read_is_a_failure_with_a_reason(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    stored = post.endpoint(made)
    stored.secrets = (type(stored.secrets[0])("encrypted with a lost key"),)
    with shop.store.begin() as tx:
        tx.webhooks.save([stored])
    shop.list(seller)
    post.news()
    assert post.webhooks.deliver() == DeliverySummary(failed=1)
    assert post.sender.sent == []
    ((attempt,),) = [delivery.log for delivery in post.log(made)]
    assert attempt.error is not None
    assert "rotate" in attempt.error


def test_a_ping_is_sent_once(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    ping = unwrap_single(post.webhooks.ping([acting(made, seller)]))
    post.answering(BAD)
    (message,) = post.deliver()
    assert json.loads(message.body) == {
        "type": PING,
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {"endpoint_id": made.endpoint.id},
    }
    assert [(each.id, each.status) for each in post.log(made)] == [(ping.id, DeliveryStatus.FAILED)]
    shop.clock.advance(days=1)
    assert post.deliver() == []


# --- redelivery


def test_redelivery_sends_the_same_message_without_waiting_for_a_pause(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    shop.list(seller)
    post.news()
    post.answering(BAD)
    (first,) = post.deliver()
    (delivery,) = post.log(made)
    unwrap_single(post.webhooks.redeliver([Redeliver(delivery.id, seller.id, made.endpoint.id)]))
    post.answering(GOOD)
    (second,) = post.deliver()
    assert (second.headers["webhook-id"], second.body) == (first.headers["webhook-id"], first.body)
    unwrap_single(post.webhooks.redeliver([Redeliver(delivery.id, AccountId(0), as_staff=True)]))
    assert len(post.deliver()) == 1


def test_redelivery_refuses_each_on_its_own(post: Post, shop: Shop, seller: Account, buyer: Account) -> None:
    made, others = post.create(seller), post.create(buyer)
    shop.list(seller)
    post.news()
    (waiting,) = post.log(made)
    post.deliver()
    shop.list(seller)
    post.news()
    new = post.log(made)[-1]
    outcomes = post.webhooks.redeliver(
        [
            Redeliver(waiting.id, seller.id, made.endpoint.id),
            Redeliver(new.id, seller.id, made.endpoint.id),
            Redeliver(waiting.id, buyer.id, made.endpoint.id),
            Redeliver(waiting.id, buyer.id, others.endpoint.id),
            Redeliver(DeliveryId(999), seller.id, made.endpoint.id),
        ]
    )
    kinds = [type(outcome) if isinstance(outcome, MarketError) else None for outcome in outcomes]
    assert kinds == [None, DeliveryPending, NotFound, NotFound, NotFound]


# --- endpoints


def test_endpoints_are_checked_each_on_its_own(post: Post, seller: Account) -> None:
    bad, good, everything, nobody = post.webhooks.create(
        [
            CreateEndpoint(seller.id, "http://10.0.0.1/", ["order.eaten"]),
            CreateEndpoint(seller.id, "https://example.com/"),
            CreateEndpoint(seller.id, "https://example.com/", all_events=True),
            CreateEndpoint(AccountId(999), "https://example.com/"),
        ]
    )
    assert isinstance(bad, Invalid)
    assert set(bad.errors) == {"url", "topics[0]"}
    assert isinstance(good, EndpointWithSecret)
    assert isinstance(everything, Invalid)
    assert set(everything.errors) == {"all_events"}
    assert isinstance(nobody, NotFound)


def test_an_account_has_at_most_max_endpoints(post: Post, seller: Account) -> None:
    outcomes = post.webhooks.create([CreateEndpoint(seller.id, "https://example.com/")] * (MAX_ENDPOINTS + 1))
    assert [isinstance(outcome, TooManyEndpoints) for outcome in outcomes] == [False] * MAX_ENDPOINTS + [True]
    first = outcomes[0]
    assert isinstance(first, EndpointWithSecret)
    unwrap_single(post.webhooks.delete([acting(first, seller)]))
    post.create(seller)


def test_a_repeated_creation_gives_the_same_secret_which_is_stored_encrypted(
    post: Post, shop: Shop, seller: Account
) -> None:
    def command() -> CreateEndpoint:
        key = IdempotencyKey("k", b"print", lambda made: made.secret.encode())
        return CreateEndpoint(seller.id, "https://example.com/", idempotency=key)

    made = unwrap_single(post.webhooks.create([command()]))
    assert post.webhooks.create([command()]) == [Replayed(made.secret.encode())]
    ((_, stored),) = shop.tables.keys.items()
    assert stored.body is not None
    assert made.secret.encode() not in stored.body
    assert made.secret not in repr(post.endpoint(made))
    assert made.secret not in repr(made)
    with shop.store.begin() as tx:
        tx.idempotency.store({(seller.id, "k"): b"encrypted with a lost key"})
    (outcome,) = post.webhooks.create([command()])
    assert isinstance(outcome, Conflict)


def test_endpoints_of_other_accounts_are_not_found(post: Post, seller: Account, buyer: Account) -> None:
    made = post.create(seller)
    acts = (post.webhooks.delete, post.webhooks.rotate, post.webhooks.ping)
    for act in acts:
        assert isinstance(act([acting(made, buyer)])[0], NotFound)
        assert isinstance(act([ActOnEndpoint(EndpointId(99), seller.id)])[0], NotFound)
    assert isinstance(post.webhooks.edit([EditEndpoint(made.endpoint.id, buyer.id, {})])[0], NotFound)


def test_staff_may_edit_any_endpoint_but_not_see_its_secret(post: Post, seller: Account, buyer: Account) -> None:
    made = post.create(seller)
    by_staff = acting(made, buyer, as_staff=True)
    assert isinstance(post.webhooks.rotate([by_staff])[0], Forbidden)
    unwrap_single(post.webhooks.edit([EditEndpoint(made.endpoint.id, buyer.id, {"is_active": False}, as_staff=True)]))
    assert isinstance(post.webhooks.ping([by_staff])[0], EndpointDisabled)
    unwrap_single(post.webhooks.delete([by_staff]))


def test_a_deleted_endpoint_is_not_found_and_purged_later(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    shop.list(seller)
    post.news()
    unwrap_single(post.webhooks.delete([acting(made, seller)]))
    assert post.endpoint(made).secrets == ()
    assert post.deliver() == []
    assert shop.queries.endpoint(made.endpoint.id) is None
    assert post.webhooks.purge() == 3
    assert shop.tables.endpoints.get(made.endpoint.id) is None
    assert post.webhooks.purge() == 0


def test_deliveries_are_kept_as_long_as_events(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    shop.list(seller)
    post.news()
    post.deliver()
    shop.clock.advance(days=30)
    assert post.webhooks.purge() == 0
    shop.clock.advance(seconds=1)
    assert post.webhooks.purge() == 2
    assert post.log(made) == []


# --- verification


@pytest.fixture
def silent(post: Post) -> Post:
    """A post whose receivers answer 200 without the challenge."""
    post.sender.verifies = False
    return post


def created(post: Post, owner: Account, url: str = "https://example.com/hooks") -> EndpointWithSecret:
    return unwrap_single(post.webhooks.create([CreateEndpoint(owner.id, url)]))


def test_an_endpoint_gets_no_events_until_its_receiver_returns_the_challenge(
    silent: Post, shop: Shop, seller: Account
) -> None:
    made = created(silent, seller)
    shop.list(seller)
    assert silent.news() == 0
    (message,) = silent.deliver()
    body = json.loads(message.body)
    assert (body["type"], body["data"]["endpoint_id"]) == (VERIFICATION, made.endpoint.id)
    assert message.timeout == timedelta(seconds=5)
    assert message.headers["webhook-signature"].startswith("v1,")
    shop.clock.advance(days=1)
    assert silent.deliver() == [], "a verification is sent once"
    silent.sender.verifies = True
    unwrap_single(silent.webhooks.ping([acting(made, seller)]))
    silent.deliver()
    shop.list(seller)
    assert silent.news() == 1


def test_deliveries_wait_for_the_verification_of_a_new_url(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    shop.list(seller)
    post.news()
    post.sender.verifies = False
    change = {"url": "https://new.example.com/"}
    unwrap_single(post.webhooks.edit([EditEndpoint(made.endpoint.id, seller.id, change)]))
    shop.list(seller)
    assert post.news() == 1
    (verification,) = post.deliver()
    assert (verification.url, data_of(verification).keys()) == (change["url"], {"endpoint_id", "challenge"})
    assert post.deliver() == []
    post.sender.verifies = True
    unwrap_single(post.webhooks.ping([acting(made, seller)]))
    post.deliver()
    assert [message.url for message in post.deliver()] == [change["url"]] * 2


@pytest.mark.parametrize("url", ["https://[", "https://a]b/", "ftp://example.com/"])
def test_a_text_that_is_no_url_is_refused_and_changes_nothing(post: Post, seller: Account, url: str) -> None:
    made = post.create(seller)
    (outcome,) = post.webhooks.edit([EditEndpoint(made.endpoint.id, seller.id, {"url": url})])
    assert isinstance(outcome, Invalid)
    assert outcome.errors.keys() == {"url"}
    assert post.endpoint(made).url == made.endpoint.url


def test_a_refused_test_message_leaves_the_endpoint_as_it_was(shop: Shop, seller: Account) -> None:
    post = Post(shop, WebhookRules(tests_per_host=1))
    made = post.create(seller)
    edits = [
        EditEndpoint(made.endpoint.id, seller.id, {"url": "https://example.com/other"}),
        EditEndpoint(made.endpoint.id, seller.id, {"description": "Shop"}),
    ]
    refused, edited = post.webhooks.edit(edits)
    assert isinstance(refused, TooManyAttempts)
    assert isinstance(edited, WebhookEndpoint)
    assert (post.endpoint(made).url, post.endpoint(made).description) == (made.endpoint.url, "Shop")


def test_an_edit_without_another_url_needs_no_verification(post: Post, seller: Account) -> None:
    made = post.create(seller)
    change = {"url": made.endpoint.url, "description": "Shop"}
    edited = unwrap_single(post.webhooks.edit([EditEndpoint(made.endpoint.id, seller.id, change)]))
    assert edited.is_verified
    assert post.deliver() == []


def test_an_operator_may_verify_an_endpoint(silent: Post, seller: Account) -> None:
    made = created(silent, seller)
    assert unwrap_single(silent.webhooks.mark_verified([made.endpoint.id])).is_verified
    assert isinstance(silent.webhooks.mark_verified([EndpointId(99)])[0], NotFound)


def test_test_messages_are_limited_per_account_host_and_in_total(shop: Shop, seller: Account, buyer: Account) -> None:
    post = Post(shop, WebhookRules(tests_per_account=3, tests_per_host=4, tests_total=6))
    made = post.create(seller)
    commands = [acting(made, seller)] * 3

    def refusals(outcomes: Sequence[object]) -> list[bool]:
        return [isinstance(outcome, TooManyAttempts) for outcome in outcomes]

    assert refusals(post.webhooks.ping(commands)) == [False, False, True]
    assert refusals(post.webhooks.create([CreateEndpoint(seller.id, "https://example.org/")])) == [True]
    here, there = CreateEndpoint(buyer.id, "https://example.com/other"), CreateEndpoint(buyer.id, "https://b.example/")
    assert refusals(post.webhooks.create([here, here, there, there])) == [False, True, False, False]
    other = shop.person("other")
    assert refusals(post.webhooks.create([CreateEndpoint(other.id, "https://c.example/")])) == [True]
    shop.clock.advance(minutes=1)
    assert refusals(post.webhooks.ping(commands)) == [False, False, False]


def test_pings_are_not_repeated_without_limit(shop: Shop, seller: Account) -> None:
    post = Post(shop, WebhookRules(tests_per_account=3))
    made = post.create(seller)
    ping = unwrap_single(post.webhooks.ping([acting(made, seller)]))
    post.deliver()
    again = [Redeliver(ping.id, seller.id, made.endpoint.id)] * 2
    assert [isinstance(each, TooManyAttempts) for each in post.webhooks.redeliver(again)] == [False, True]
    post.deliver()
    unwrap_single(post.webhooks.redeliver([Redeliver(ping.id, AccountId(0), as_staff=True)]))


# --- slow receivers


def test_a_slow_endpoint_gets_one_delivery_at_a_time(post: Post, shop: Shop, seller: Account) -> None:
    made = post.create(seller)
    for _ in range(3):
        shop.list(seller)
    post.news()
    post.answering(WebhookAnswer(timedelta(seconds=5), status=200))
    assert len(post.deliver()) == 3
    assert post.endpoint(made).is_slow
    for _ in range(3):
        shop.list(seller)
    post.news()
    assert len(post.deliver()) == 1


def test_claimed_deliveries_are_sent_by_endpoint(post: Post, shop: Shop, seller: Account) -> None:
    post.create(seller)
    post.create(seller, "https://example.org/")
    for _ in range(3):
        shop.list(seller)
    post.news()
    first, second = post.webhooks.claim().by_endpoint()
    assert post.webhooks.claim().deliveries == []
    assert post.webhooks.send(second) == DeliverySummary(delivered=3)
    assert {message.url for message in post.sender.sent} == {"https://example.org/"}
    shop.list(seller)
    post.news()
    assert len(post.webhooks.claim().deliveries) == 1
    assert post.webhooks.send(first) == DeliverySummary(delivered=3)
