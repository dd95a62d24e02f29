"""Tests of webhook endpoints and deliveries: subscriptions, claims, purging, and lists."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, DeliveryId, EndpointId
from scalecommerce_core.domain.webhook import (
    DeliveryStatus,
    WebhookAnswer,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSecret,
)
from scalecommerce_core.ports import DeliverySlots, Store
from scalecommerce_core.queries import MAX_ATTEMPTS, AttemptView, PageRequest, Queries
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage

MILLISECOND = timedelta(milliseconds=1)
LEASE = 30 * SECOND
GOOD = WebhookAnswer(12 * MILLISECOND, status=204)
BAD = WebhookAnswer(7 * MILLISECOND, status=500, body=b"\x00 oh, \xff")


def endpoint(store: Store, owner: AccountId | None = None, **facts: Any) -> WebhookEndpoint:
    owner = Stage(store).account() if owner is None else owner
    values = {
        "url": "https://example.com/hooks",
        "created_at": NOW,
        "verified_at": NOW,
        "secrets": (WebhookSecret("encrypted"),),
        **facts,
    }
    with store.begin() as tx:
        (id_,) = tx.webhooks.next_ids(1)
        made = WebhookEndpoint(id=id_, owner_id=owner, **values)
        tx.webhooks.add([made])
    return made


def delivery(store: Store, to: WebhookEndpoint, try_at: datetime | None = NOW, **facts: Any) -> DeliveryId:
    with store.begin() as tx:
        (id_,) = tx.deliveries.next_ids(1)
        values = {"seq": id_, "message_id": f"msg_{id_}", "topic": "order.paid", "body": "{}", "created_at": NOW}
        tx.deliveries.add([WebhookDelivery(id=id_, endpoint_id=to.id, try_at=try_at, **{**values, **facts})])
    return id_


def record(store: Store, id_: DeliveryId, answer: WebhookAnswer, at: datetime) -> WebhookDelivery:
    """Record the result of an attempt that began at `at`."""
    with store.begin() as tx:
        found = tx.deliveries.lock([id_])[id_]
        assert found.record(answer, at, found.revision, 0.5)
        tx.deliveries.save([found])
    return found


def due(store: Store, now: datetime = NOW, limit: int = 100, **slots: int) -> list[DeliveryId]:
    with store.begin() as tx:
        claimed = tx.deliveries.claim_due(limit, now, lease_ends=now + LEASE, slots=evolve(DeliverySlots(), **slots))
        return [delivery.id for delivery in claimed]


def lease(store: Store, *ids: DeliveryId) -> None:
    """Lease deliveries at `NOW`, as a claim does."""
    with store.begin() as tx:
        leased = tx.deliveries.lock(ids).values()
        for each in leased:
            each.lease(NOW + LEASE)
        tx.deliveries.save(leased)


class WebhooksContract:
    def test_endpoints_are_stored_with_all_fields(self, store: Store) -> None:
        made = endpoint(
            store,
            topics=("order.paid", "price.changed"),
            description='"tést", {a}',
            all_events=True,
            secrets=(WebhookSecret("new"), WebhookSecret("old", NOW + DAY)),
        )
        with store.begin() as tx:
            assert tx.webhooks.lock([made.id]) == tx.webhooks.get_many([made.id]) == {made.id: made}
            assert tx.webhooks.lock([EndpointId(made.id + 1)]) == tx.webhooks.get_many([]) == {}
            made.edit(url="https://example.org/", topics=(), is_active=False)
            made.record_results([WebhookAnswer(SECOND, status=410)], NOW)
            tx.webhooks.save([made])
        with store.begin() as tx:
            assert tx.webhooks.get_many([made.id]) == {made.id: made}
            made.edit(is_active=True)
            made.record_results([BAD], NOW)
            tx.webhooks.save([made])
        with store.begin() as tx:
            assert tx.webhooks.get_many([made.id]) == {made.id: made}
            assert tx.webhooks.get_many([made.id])[made.id].failing_since == NOW

    def test_endpoints_are_locked_in_the_order_of_ids_without_deleted_ones(self, store: Store) -> None:
        made = [endpoint(store) for _ in range(4)]
        with store.begin() as tx:
            found = tx.webhooks.lock([made[1].id])[made[1].id]
            found.delete(NOW)
            tx.webhooks.save([found])
        with store.begin() as tx:
            assert list(tx.webhooks.lock_after(EndpointId(made[0].id - 1), 2)) == [made[0], made[2]]
            assert list(tx.webhooks.lock_after(made[2].id, 2)) == made[3:]
            made[3].secrets = (WebhookSecret("encrypted again"),)
            tx.webhooks.save(made[3:])
        with store.begin() as tx:
            assert list(tx.webhooks.lock_after(made[2].id, 1)) == made[3:]
            assert list(tx.webhooks.lock_after(made[3].id, 1)) == []

    def test_deliveries_are_stored_with_all_fields(self, store: Store) -> None:
        made = delivery(store, endpoint(store), seq=None, body='{"ü": "\\u0000"}')
        with store.begin() as tx:
            found = tx.deliveries.lock([made])
            assert found[made].body == '{"ü": "\\u0000"}'
            assert found[made].seq is None
        recorded = record(store, made, GOOD, NOW)
        recorded.log.clear()
        with store.begin() as tx:
            assert tx.deliveries.lock([made]) == {made: recorded}
            assert tx.deliveries.lock([]) == {}
            assert tx.deliveries.endpoints_of([made, DeliveryId(made + 1)]) == {recorded.endpoint_id}

    def test_active_endpoints_of_the_owners_are_subscribed(self, store: Store) -> None:
        stage = Stage(store)
        ann, bob, off = stage.account(), stage.account(), stage.account(is_active=False)
        of_ann = [endpoint(store, ann), endpoint(store, ann, topics=("order.paid",))]
        endpoint(store, ann, is_active=False)
        endpoint(store, ann, is_active=False, deleted_at=NOW)
        endpoint(store, off)
        of_bob = endpoint(store, bob)
        with store.begin() as tx:
            assert list(tx.webhooks.subscribed({ann, off})) == of_ann
            assert list(tx.webhooks.subscribed({bob, ann})) == [*of_ann, of_bob]
            assert list(tx.webhooks.subscribed(set())) == []
            assert tx.webhooks.count_by_owner({ann, bob, off}) == {ann: 3, bob: 1, off: 1}

    def test_all_events_go_to_endpoints_of_staff_only(self, store: Store) -> None:
        stage = Stage(store)
        staff, former = stage.account(is_staff=True), stage.account()
        everything = endpoint(store, staff, all_events=True)
        endpoint(store, former, all_events=True)
        with store.begin() as tx:
            assert list(tx.webhooks.subscribed({former})) == [everything]

    def test_has_active_reports_whether_an_endpoint_is_active(self, store: Store) -> None:
        def has_active() -> bool:
            with store.begin() as tx:
                return tx.webhooks.has_active()

        assert not has_active()
        endpoint(store, is_active=False)
        assert not has_active()
        endpoint(store, verified_at=None)
        assert not has_active()
        endpoint(store)
        assert has_active()

    def test_due_deliveries_are_claimed_longest_due_first(self, store: Store) -> None:
        here, there = endpoint(store), endpoint(store)
        second = delivery(store, here, NOW - SECOND)
        third = delivery(store, here, NOW)
        delivery(store, here, NOW + SECOND)
        first = delivery(store, there, NOW - DAY)
        settled = delivery(store, there)
        record(store, settled, GOOD, NOW)
        assert due(store) == [first, second, third]
        assert due(store, limit=2) == [first, second]
        assert due(store, NOW - 2 * DAY) == []

    def test_an_endpoint_cannot_take_the_whole_batch(self, store: Store) -> None:
        busy, quiet = endpoint(store), endpoint(store)
        many = [delivery(store, busy, NOW - DAY) for _ in range(5)]
        one = delivery(store, quiet)
        assert due(store, per_endpoint=2) == [*many[:2], one]

    def test_endpoints_share_a_batch_that_is_too_small(self, store: Store) -> None:
        busy, busy_too, quiet = endpoint(store), endpoint(store), endpoint(store)
        many = [delivery(store, busy, NOW - DAY) for _ in range(3)]
        more = [delivery(store, busy_too, NOW - DAY) for _ in range(3)]
        one = delivery(store, quiet)
        assert due(store, limit=3) == [many[0], more[0], one]
        assert due(store, limit=4) == [*many[:2], more[0], one]

    def test_pending_deliveries_of_accounts_without_access_are_not_claimed(self, store: Store) -> None:
        stage = Stage(store)
        former, off, staff = stage.account(), stage.account(is_active=False), stage.account(is_staff=True)
        delivery(store, endpoint(store, former, all_events=True))
        delivery(store, endpoint(store, off))
        sent = delivery(store, endpoint(store, staff, all_events=True))
        assert due(store) == [sent]

    def test_a_failing_endpoint_gets_one_and_a_paused_or_disabled_one_none(self, store: Store) -> None:
        failing = endpoint(store, failures=1, failing_since=NOW - DAY, paused_until=NOW)
        paused = endpoint(store, failures=1, failing_since=NOW - DAY, paused_until=NOW + SECOND)
        disabled = endpoint(store, is_active=False)
        probe, *_ = [delivery(store, failing) for _ in range(3)]
        waiting = delivery(store, paused)
        delivery(store, disabled)
        assert due(store) == [probe]
        assert due(store, NOW + SECOND) == [probe, waiting]

    def test_a_leased_delivery_is_not_due(self, store: Store) -> None:
        made = delivery(store, endpoint(store))
        with store.begin() as tx:
            (claimed,) = tx.deliveries.claim_due(1, NOW, lease_ends=NOW + SECOND, slots=DeliverySlots())
            claimed.lease(NOW + SECOND)
            tx.deliveries.save([claimed])
        assert due(store) == []
        assert due(store, NOW + SECOND) == [made]

    def test_an_endpoint_gets_nothing_while_one_of_its_deliveries_is_leased(self, store: Store) -> None:
        here = endpoint(store)
        first, second = delivery(store, here), delivery(store, here)
        lease(store, first)
        assert due(store) == []
        assert due(store, NOW + LEASE) == [second, first]

    def test_owners_take_turns(self, store: Store) -> None:
        busy = Stage(store).account()
        many = [delivery(store, endpoint(store, busy), NOW - DAY) for _ in range(4)]
        one = delivery(store, endpoint(store))
        assert due(store, limit=2) == [many[0], one]
        assert due(store, limit=3) == [*many[:2], one]

    def test_an_owner_gets_a_limited_number_of_slots(self, store: Store) -> None:
        busy = Stage(store).account()
        endpoints = [endpoint(store, busy) for _ in range(6)]
        many = [delivery(store, each, NOW - DAY) for each in endpoints]
        one = delivery(store, endpoint(store))
        assert due(store, per_owner=2) == [*many[:2], one]
        # A tenth of the free slots.
        assert due(store, total=30) == [*many[:3], one]
        assert due(store, total=5) == [many[0], one]
        lease(store, many[0])
        assert due(store, per_owner=2) == [many[1], one]
        assert due(store, total=21) == [many[1], one]
        assert due(store, total=11) == [one]
        assert due(store, total=1) == []
        assert due(store, NOW + LEASE, total=1) == [many[1]]

    def test_slow_endpoints_share_a_part_of_the_slots(self, store: Store) -> None:
        slow = [endpoint(store, response_time=SECOND, verified_at=NOW) for _ in range(4)]
        many = [delivery(store, each, NOW - DAY) for each in slow]
        delivery(store, slow[0], NOW - DAY)
        quick = delivery(store, endpoint(store, response_time=999 * MILLISECOND))
        assert due(store, slow=8) == [*many, quick]
        # A claim fills half of the slots that are free.
        assert due(store, slow=3) == [*many[:2], quick]
        lease(store, *many[:2])
        assert due(store, slow=3) == [many[2], quick]
        assert due(store, slow=2) == [quick]

    def test_an_owner_of_slow_endpoints_gets_a_fifth_of_their_free_slots(self, store: Store) -> None:
        owner = Stage(store).account()
        slow = [endpoint(store, owner, response_time=5 * SECOND) for _ in range(4)]
        many = [delivery(store, each, NOW - DAY) for each in slow]
        quick = delivery(store, endpoint(store, owner))
        assert due(store, slow=10) == [*many[:2], quick]
        lease(store, many[0])
        assert due(store, slow=11) == [many[1], quick]
        assert due(store, slow=10) == [quick]

    def test_an_endpoint_that_is_not_verified_gets_its_verification_only(self, store: Store) -> None:
        here = endpoint(store)
        delivery(store, here, NOW - DAY)
        old, new = (delivery(store, here, topic="webhook.verification", seq=None) for _ in range(2))
        with store.begin() as tx:
            found = tx.webhooks.lock([here.id])[here.id]
            found.begin_verification(new)
            tx.webhooks.save([found])
        assert due(store) == [new]
        assert old != new
        never = endpoint(store, verified_at=None, verification_id=new)
        with store.begin() as tx:
            assert tx.webhooks.get_many([never.id]) == {never.id: never}
            assert list(tx.webhooks.subscribed([never.owner_id])) == [never]

    def test_settled_deliveries_are_found_by_their_creation_time(self, store: Store) -> None:
        here = endpoint(store)
        made = [delivery(store, here, created_at=NOW + n * SECOND) for n in range(4)]
        pending = delivery(store, here, created_at=NOW + SECOND)
        other = delivery(store, endpoint(store), created_at=NOW + SECOND)
        verification = delivery(
            store, here, created_at=NOW + SECOND, topic="webhook.verification", body='{"data": {"challenge": "x"}}'
        )
        for each in (*made, other, verification):
            record(store, each, GOOD, NOW + DAY)

        def settled(after: DeliveryId | None, limit: int) -> list[DeliveryId]:
            good = {DeliveryStatus.DELIVERED}
            with store.begin() as tx:
                found = tx.deliveries.settled_ids(
                    here.id, NOW + SECOND, NOW + 3 * SECOND, good, after=after, limit=limit
                )
            return list(found)

        assert settled(None, 9) == made[1:3]
        assert settled(None, 1) == made[1:2]
        assert settled(made[1], 9) == made[2:3]
        assert pending not in settled(None, 9)
        with store.begin() as tx, pytest.raises(Invalid, match="since: This is later than until"):
            tx.deliveries.settled_ids(here.id, NOW, NOW - SECOND, {DeliveryStatus.DELIVERED}, after=None, limit=9)

    def test_old_deliveries_and_those_of_deleted_endpoints_are_purged(self, store: Store) -> None:
        kept, gone = endpoint(store), endpoint(store, is_active=False, deleted_at=NOW)
        old = [delivery(store, kept, created_at=NOW - DAY) for _ in range(2)]
        record(store, old[0], BAD, NOW)
        new = delivery(store, kept, created_at=NOW)
        of_gone = delivery(store, gone, created_at=NOW + DAY)

        def purge(limit: int) -> tuple[int, int]:
            with store.begin() as tx:
                return tx.deliveries.purge(NOW, limit), tx.webhooks.purge_deleted(limit)

        assert purge(1) == (1, 0)
        assert purge(9) == (2, 1)
        assert purge(9) == (0, 0)
        with store.begin() as tx:
            assert tx.deliveries.lock([*old, new, of_gone]).keys() == {new}
            assert tx.webhooks.get_many([kept.id, gone.id]).keys() == {kept.id}


class WebhookListsContract:
    def test_endpoints_are_listed_by_id_for_their_owner(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ann, bob = stage.account(), stage.account()
        made = [endpoint(store, ann, topics=("order.paid",), description="shop") for _ in range(3)]
        of_bob = endpoint(store, bob)
        deleted = endpoint(store, ann, is_active=False, deleted_at=NOW)

        def ids(owner: AccountId | None, page: PageRequest) -> list[int]:
            return [view.id for view in queries.endpoints(owner, page).rows]

        assert ids(ann, PageRequest()) == [each.id for each in made]
        assert ids(None, PageRequest()) == [*(each.id for each in made), of_bob.id]
        page = queries.endpoints(ann, PageRequest(2))
        assert ids(ann, PageRequest(2, after=page.next)) == [made[2].id]
        assert page.previous is None
        view = queries.endpoint(made[0].id)
        assert view is not None
        assert (view.owner, view.url, view.topics, view.description) == (ann, made[0].url, ("order.paid",), "shop")
        assert (view.is_active, view.disabled_because, view.failing_since, view.version) == (True, None, None, 1)
        assert view.is_verified
        assert queries.endpoint(deleted.id) is None
        assert queries.endpoint(EndpointId(deleted.id + 1)) is None
        other = queries.endpoint(endpoint(store, verified_at=None, verification_id=DeliveryId(1)).id)
        assert other is not None
        assert not other.is_verified

    def test_staff_filter_endpoints_and_deliveries_of_everybody(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ann, bob = stage.account(), stage.account()
        first, second, other = (endpoint(store, owner) for owner in (ann, ann, bob))
        off = endpoint(store, ann, is_active=False)
        whole = PageRequest(10)

        def listed(owner: AccountId | None, is_active: bool | None) -> list[EndpointId]:
            return [view.id for view in queries.endpoints(owner, whole, is_active=is_active).rows]

        assert listed(None, True) == [first.id, second.id, other.id]
        assert listed(None, False) == listed(ann, False) == [off.id]
        assert listed(ann, True) == [first.id, second.id]
        failed: Any = {"status": DeliveryStatus.FAILED, "try_at": None}
        a, b, c, d = (
            delivery(store, first), delivery(store, second, **failed), delivery(store, other, **failed),
            delivery(store, first),
        )  # fmt: skip

        def found(owner: AccountId | None, status: DeliveryStatus | None, page: PageRequest = whole) -> Any:
            return [view.id for view in queries.deliveries(None, page, status=status, owner=owner).rows]

        assert found(None, None) == [d, c, b, a]
        assert found(None, DeliveryStatus.FAILED) == [c, b]
        assert found(ann, None) == [d, b, a]
        newest = queries.deliveries(None, PageRequest(2), owner=ann)
        assert [view.id for view in newest.rows] == [d, b]
        last = queries.deliveries(None, PageRequest(2, after=newest.next), owner=ann)
        assert [view.id for view in last.rows] == [a]
        assert found(ann, None, PageRequest(2, before=last.previous)) == [d, b]
        assert found(ann, DeliveryStatus.FAILED) == [b]
        assert found(bob, DeliveryStatus.PENDING) == []

    def test_deliveries_show_all_attempts(self, store: Store, queries: Queries) -> None:
        made = delivery(store, endpoint(store))
        record(store, made, BAD, NOW)
        record(store, made, WebhookAnswer(SECOND, error="no connection"), NOW + SECOND)
        record(store, made, GOOD, NOW + 2 * SECOND)
        view = queries.delivery(made)
        assert view is not None
        assert (view.status, view.try_at, view.message_id) == (DeliveryStatus.DELIVERED, None, f"msg_{made}")
        assert view.log == (
            AttemptView(NOW, 7, 500, None, "\ufffd oh, \ufffd"),
            AttemptView(NOW + SECOND, 1000, None, "no connection", ""),
            AttemptView(NOW + 2 * SECOND, 12, 204, None, ""),
        )

    def test_deliveries_show_their_last_attempts_only(self, store: Store, queries: Queries) -> None:
        made = delivery(store, endpoint(store))
        with store.begin() as tx:
            found = tx.deliveries.lock([made])[made]
            for number in range(MAX_ATTEMPTS + 2):
                if number:
                    found.redeliver(NOW)
                assert found.record(BAD, NOW + number * SECOND, found.revision, 0.5)
            tx.deliveries.save([found])
        view = queries.delivery(made)
        assert view is not None
        assert [line.at for line in view.log] == [NOW + (2 + n) * SECOND for n in range(MAX_ATTEMPTS)]

    def test_deliveries_are_listed_newest_first(self, store: Store, queries: Queries) -> None:
        here, there = endpoint(store), endpoint(store)
        made = [delivery(store, here) for _ in range(3)]
        other = delivery(store, there)
        hidden = delivery(store, endpoint(store, is_active=False, deleted_at=NOW))
        record(store, made[1], GOOD, NOW)

        def ids(to: WebhookEndpoint | None, page: PageRequest, status: DeliveryStatus | None = None) -> list[int]:
            return [view.id for view in queries.deliveries(None if to is None else to.id, page, status=status).rows]

        assert ids(here, PageRequest()) == made[::-1]
        assert ids(None, PageRequest()) == [other, *made[::-1]]
        assert ids(here, PageRequest(), DeliveryStatus.DELIVERED) == [made[1]]
        assert ids(None, PageRequest(), DeliveryStatus.PENDING) == [other, made[2], made[0]]
        page = queries.deliveries(here.id, PageRequest(2))
        second = queries.deliveries(here.id, PageRequest(2, after=page.next))
        assert [view.id for view in second.rows] == [made[0]]
        assert ids(here, PageRequest(2, before=second.previous)) == made[:0:-1]
        assert queries.delivery(hidden) is None
        assert queries.delivery(DeliveryId(hidden + 1)) is None
