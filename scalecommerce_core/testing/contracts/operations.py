"""Tests of the queries for staff: troubles, backlogs, all orders, and the details of one order."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from scalecommerce_core.domain.identifiers import AccountId, OrderId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, OrderOrigin, OrderStatus, RefundLine
from scalecommerce_core.domain.outgoing_email import EmailKind, OutgoingEmail
from scalecommerce_core.domain.payment import Charged, Declined, PaymentRefund, PaymentStatus, RefundStatus
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.ports import PendingFacts, Store
from scalecommerce_core.pricing.runs import RunStatus, Tally
from scalecommerce_core.queries import (
    MovementView,
    OrderFilter,
    OrderMoment,
    OrderRoute,
    Page,
    PageRequest,
    PaymentRefundView,
    Queries,
    RefundView,
    StaffOrderView,
    TroubleItem,
    TroubleKind,
)
from scalecommerce_core.queries.operations import FAILED_RUN_WINDOW, MEANINGS, NO_CAUSE, REFUND_TRIES, ConsumerLag
from scalecommerce_core.testing.contracts.lists import backwards, forwards, rows
from scalecommerce_core.testing.contracts.payments import add_payments, attempt
from scalecommerce_core.testing.contracts.runs import SellerWithRuns
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage, lock_with_stock, usd
from scalecommerce_core.testing.contracts.webhooks import BAD, delivery, endpoint

LATER = NOW + timedelta(minutes=10)


def number_events(store: Store) -> None:
    with store.begin() as tx:
        tx.events.assign_sequence(1_000)


def park(store: Store, order_id: OrderId, at: datetime = NOW, cause: str = "KeyError: 7") -> None:
    with store.begin() as tx:
        order = tx.orders.lock([order_id])[order_id]
        for _ in range(DECIDE_ATTEMPTS):
            order.record_decision_failure(at, at, cause)
        tx.orders.save([order])


def stuck_refund(store: Store, order_id: OrderId, tries: int, trouble: str) -> PaymentRefund:
    """A refund of 1.00 that the gateway did not confirm `tries` times."""
    payment = attempt(order_id)
    payment.capture(Charged("ch-1"), NOW)
    payment.add_refund(1_00, NOW)
    (refund,) = payment.refunds
    for _ in range(tries):
        refund.postpone(NOW, trouble)
    add_payments(store, payment)
    return refund


def troubles(queries: Queries, now: datetime = NOW, limit: int = 10) -> Mapping[TroubleKind, tuple[TroubleItem, ...]]:
    found = queries.troubles(now, limit)
    assert [trouble.kind for trouble in found] == [kind for kind in TroubleKind if kind in {t.kind for t in found}]
    assert all(trouble.count == len(trouble.items) for trouble in found)
    return {trouble.kind: trouble.items for trouble in found}


class OperationsContract:
    # --- troubles

    def test_a_market_without_troubles_has_none(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        stage.order(buyer, {product: 1})
        pending = stage.order(buyer, {product: 1}, OrderStatus.PENDING)
        add_payments(store, attempt(pending))
        stuck_refund(store, stage.order(buyer, {product: 1}, OrderStatus.PAID), REFUND_TRIES, "no answer")
        endpoint(store)
        endpoint(store, is_active=False)
        pricing = SellerWithRuns(store)
        pricing.finish(pricing.begin())
        number_events(store)
        assert queries.troubles(NOW + SECOND, 10) == []

    def test_parked_orders_are_troubles_with_their_cause(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        first, second, _ = (stage.order(buyer, {product: 1}) for _ in range(3))
        park(store, second, NOW + SECOND, "")
        park(store, first, NOW)
        cancelled = stage.order(buyer, {product: 1})
        park(store, cancelled)
        with store.begin() as tx:
            order, stock = lock_with_stock(tx, cancelled)
            order.cancel(stock, NOW)
            tx.orders.save([order])
        assert troubles(queries) == {
            TroubleKind.PARKED_ORDER: (
                TroubleItem(str(first), NOW, "KeyError: 7", order=first, account=buyer, tries=5),
                TroubleItem(str(second), NOW + SECOND, NO_CAUSE, order=second, account=buyer, tries=5),
            )
        }
        (trouble,) = queries.troubles(NOW, 1)
        assert (trouble.count, len(trouble.items), trouble.since) == (2, 1, NOW)
        assert trouble.meaning.action == "requeueOrder"

    def test_payments_without_result_are_troubles(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        first, second = (stage.order(buyer, {product: 1}, OrderStatus.PENDING) for _ in range(2))
        silent, declined = attempt(first), attempt(second)
        silent.schedule_check(silent.deadline, "connection refused")
        declined.decline(Declined("no"), NOW)
        add_payments(store, silent, declined)
        number_events(store)
        assert queries.troubles(silent.deadline + timedelta(minutes=5), 10) == []
        (item,) = troubles(queries, silent.deadline + timedelta(minutes=5, seconds=1))[TroubleKind.STUCK_PAYMENT]
        assert item == TroubleItem(
            str(silent.id),
            silent.deadline,
            "connection refused",
            order=first,
            tries=1,
            next_try_at=silent.check_at,
        )

    def test_refunds_without_confirmation_are_troubles(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        first, second = (stage.order(buyer, {product: 1}, OrderStatus.PAID) for _ in range(2))
        stuck = stuck_refund(store, first, REFUND_TRIES + 1, "insufficient balance")
        done = stuck_refund(store, second, REFUND_TRIES + 1, "insufficient balance")
        done.confirm(NOW)
        with store.begin() as tx:
            tx.payments.save_refunds([done])
        assert troubles(queries) == {
            TroubleKind.STUCK_REFUND: (
                TroubleItem(
                    str(stuck.id),
                    NOW,
                    "insufficient balance",
                    order=first,
                    tries=REFUND_TRIES + 1,
                    next_try_at=stuck.try_at,
                ),
            )
        }

    def test_late_workers_are_troubles(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product()
        late = stage.order(buyer, {product: 1})
        stage.order(buyer, {product: 1}, at=LATER)
        with store.begin() as tx:
            assert tx.events.assign_sequence(1) == 1
            assert tx.events.claim("reader", begin=0) == 0
        found = troubles(queries, LATER)
        assert set(found) == {TroubleKind.LATE_DECISION, TroubleKind.LATE_EVENT, TroubleKind.LATE_CONSUMER}
        (undecided,) = found[TroubleKind.LATE_DECISION]
        assert undecided == TroubleItem(str(late), NOW, "No worker has decided it.", order=late, account=buyer, tries=0)
        (unnumbered,) = found[TroubleKind.LATE_EVENT]
        assert (unnumbered.since, unnumbered.cause) == (NOW, "No worker has numbered this event (order.placed).")
        assert found[TroubleKind.LATE_CONSUMER] == (TroubleItem("reader", NOW, "1 events are not read."),)
        with store.begin() as tx:
            tx.events.advance("reader", 1)
            assert tx.events.assign_sequence(10) == 2
        stage.decide([late])
        assert set(troubles(queries, NOW + 31 * SECOND)) == {TroubleKind.LATE_EVENT}
        with store.begin() as tx:
            assert tx.events.assign_sequence(10) == 1
        assert set(troubles(queries, LATER)) == {TroubleKind.LATE_CONSUMER}

    def test_stopped_pricing_and_runs_that_need_a_person_are_troubles(self, store: Store, queries: Queries) -> None:
        waiting, failed, retried, inactive = (SellerWithRuns(store) for _ in range(4))
        with store.begin() as tx:
            tx.policies.stop(True)
            inactive.policy.is_active = False
            tx.policies.save([inactive.policy])
        runs = {}
        for pricing, status in (
            (waiting, RunStatus.AWAITING_APPROVAL),
            (failed, RunStatus.FAILED),
            (retried, RunStatus.FAILED),
            (inactive, RunStatus.FAILED),
        ):
            run = runs[pricing] = pricing.begin()
            with store.begin() as tx:
                if status is RunStatus.FAILED:
                    run.end(RunStatus.FAILED, NOW, "KeyError in line 7")
                else:
                    run.status, run.tally, run.approval_until = status, Tally(decided=9, moves=7), NOW + DAY
                tx.runs.save(run)
        retried.finish(retried.begin())
        number_events(store)
        found = troubles(queries)
        assert found == {
            TroubleKind.PRICING_STOPPED: (TroubleItem("all", None, "Somebody stopped the pricing of all sellers."),),
            TroubleKind.RUN_AWAITING_APPROVAL: (
                TroubleItem(
                    str(runs[waiting].id),
                    NOW,
                    "The run would change 7 prices, which needs the approval of a second person.",
                    "Climb",
                    account=waiting.seller,
                    next_try_at=NOW + DAY,
                ),
            ),
            TroubleKind.FAILED_RUN: (
                TroubleItem(str(runs[failed].id), NOW, "KeyError in line 7", "Climb", account=failed.seller),
            ),
        }
        with store.begin() as tx:
            tx.policies.stop(False)
        assert set(troubles(queries, NOW + FAILED_RUN_WINDOW + SECOND)) == {TroubleKind.RUN_AWAITING_APPROVAL}

    def test_disabled_webhooks_are_troubles(self, store: Store, queries: Queries) -> None:
        owner = Stage(store).account()
        failing, deleted = endpoint(store, owner), endpoint(store)
        with store.begin() as tx:
            for each in (failing, deleted):
                for days in range(6):
                    each.record_results([BAD], NOW + days * DAY)
                assert each.disabled_because is not None
            deleted.delete(NOW)
            tx.webhooks.save([failing, deleted])
        assert failing.disabled_because is not None
        assert troubles(queries) == {
            TroubleKind.DISABLED_WEBHOOK: (
                TroubleItem(
                    str(failing.id),
                    failing.failing_since,
                    failing.disabled_because,
                    "https://example.com/hooks",
                    account=owner,
                    tries=failing.failures,
                ),
            )
        }

    def test_delayed_emails_are_troubles(self, store: Store, queries: Queries) -> None:
        owner = Stage(store).account()
        with store.begin() as tx:
            ids = tx.emails.next_ids(3)
            emails = [OutgoingEmail(id_, EmailKind.PASSWORD_CHANGED, "a@b.ch", owner, NOW, NOW) for id_ in ids]
            for delayed in emails[:2]:
                delayed.lease(NOW)
                assert delayed.retry(NOW, "451 try again later")
            emails[1].lease(NOW)
            tx.emails.add(emails)
        assert troubles(queries, NOW + SECOND) == {
            TroubleKind.DELAYED_EMAIL: (
                TroubleItem(
                    str(ids[0]),
                    NOW,
                    "451 try again later",
                    "PASSWORD_CHANGED to a@b.ch",
                    account=owner,
                    tries=1,
                    next_try_at=emails[0].try_at,
                ),
            )
        }

    def test_every_kind_of_trouble_has_a_meaning(self, queries: Queries) -> None:
        # Other tests may have left troubles in the same database.
        assert all(trouble.kind in MEANINGS for trouble in queries.troubles(NOW, 1))
        assert list(MEANINGS) == list(TroubleKind)
        assert all(meaning.sentence.endswith(".") for meaning in MEANINGS.values())

    def test_backlogs_are_counted(self, store: Store, queries: Queries) -> None:
        empty = queries.backlogs()
        assert (empty.undecided_orders, empty.oldest_undecided, empty.unnumbered_events) == (0, None, 0)
        assert (empty.oldest_unnumbered, empty.consumers) == (None, ())
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(at=NOW - DAY)
        first, second = stage.order(buyer, {product: 1}, at=NOW), stage.order(buyer, {product: 1}, at=LATER)
        pending = stage.order(buyer, {product: 1}, OrderStatus.PENDING)
        stuck_refund(store, stage.order(buyer, {product: 1}, OrderStatus.PAID), 1, "no answer")
        add_payments(store, attempt(pending))
        with store.begin() as tx:
            assert tx.events.assign_sequence(2) == 2
            assert tx.events.claim("late", begin=1) == 1
            assert tx.events.claim("done", begin=2) == 2
            tx.statistics.add_pending_facts(PendingFacts(products=[product]))
            (id_,) = tx.emails.next_ids(1)
            tx.emails.add([OutgoingEmail(id_, EmailKind.RESET_PASSWORD, "a@b.ch", None, NOW, NOW)])
        receiver = endpoint(store, buyer)
        delivery(store, receiver)
        delivery(store, receiver, try_at=None, status=DeliveryStatus.DELIVERED)
        found = queries.backlogs()
        assert (found.undecided_orders, found.oldest_undecided) == (2, NOW)
        assert (found.unnumbered_events, found.oldest_unnumbered) == (6, LATER)
        assert (found.pending_statistics, found.open_payments, found.open_refunds, found.waiting_emails) == (1, 1, 1, 1)
        assert found.waiting_deliveries == 1
        assert found.consumers == (ConsumerLag("done", 0, None), ConsumerLag("late", 1, NOW))
        park(store, first)
        assert queries.backlogs().oldest_undecided == LATER
        stage.decide([second])
        assert queries.backlogs().undecided_orders == 0

    # --- all orders

    def test_staff_see_the_orders_of_everybody_newest_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(name="Cup")
        ids = [stage.order(buyer if n % 2 else stage.account(), {product: n + 1}) for n in range(7)][::-1]
        stage.decide(ids[:1], NOW + SECOND)

        def fetch(page: PageRequest) -> Page[StaffOrderView]:
            return queries.all_orders(page)

        for size in (1, 2, 3, 6, 7, 8):
            pages = forwards(fetch, size)
            assert [view.order.id for view in rows(pages)] == ids
            assert len(pages) == -(-7 // size)
            assert pages[0].previous is None
            assert rows(backwards(fetch, pages[-1], size)) == rows(pages[:-1])
        newest = queries.all_orders(PageRequest(1)).rows[0]
        assert newest == StaffOrderView(
            queries.orders(ids[:1])[ids[0]],
            OrderOrigin.API,
            decide_attempts=0,
            decide_error=None,
            decided_at=NOW + SECOND,
            paid_at=None,
            has_expired=False,
            is_parked=False,
        )
        assert queries.all_orders(PageRequest(20), OrderFilter(buyer=AccountId(10**12))).rows == ()

    def test_orders_are_filtered(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, other, seller = stage.account(), stage.account(), stage.account()
        cup, pot = stage.product(seller, name="Blue cup", price=3_00), stage.product(name="Tea pot", price=10_00)
        yen = stage.product(seller, price=3_00, currency="JPY")
        first = stage.order(buyer, {cup: 2}, OrderStatus.PAID)
        second = stage.order(other, {pot: 1, cup: 1}, at=NOW + DAY)
        third = stage.order(buyer, {pot: 4}, OrderStatus.CANCELLED, at=NOW - DAY, origin=OrderOrigin.IMPORT)
        fourth = stage.order(other, {yen: 1}, OrderStatus.PENDING, at=NOW + 2 * DAY)
        fifth = stage.order(other, {pot: 1})
        park(store, fifth)
        sixth = stage.order(buyer, {pot: 9_999}, OrderStatus.REJECTED)
        cases: list[tuple[OrderFilter, OrderRoute, list[OrderId]]] = [
            (OrderFilter(), OrderRoute.ALL, [sixth, fifth, fourth, third, second, first]),
            (OrderFilter(status=OrderStatus.PAID), OrderRoute.ALL, [first]),
            (OrderFilter(status=OrderStatus.CREATED), OrderRoute.STATUS, [fifth, second]),
            (OrderFilter(status=OrderStatus.REFUNDED), OrderRoute.STATUS, []),
            (OrderFilter(is_parked=True), OrderRoute.PARKED, [fifth]),
            (OrderFilter(is_parked=True, status=OrderStatus.PAID), OrderRoute.PARKED, []),
            (OrderFilter(buyer=buyer), OrderRoute.BUYER, [sixth, third, first]),
            (OrderFilter(buyer=buyer, status=OrderStatus.REJECTED), OrderRoute.BUYER, [sixth]),
            (OrderFilter(seller=seller), OrderRoute.SELLER, [fourth, second, first]),
            (OrderFilter(seller=seller, buyer=buyer), OrderRoute.BUYER, [first]),
            (OrderFilter(product=cup), OrderRoute.PRODUCT, [second, first]),
            (OrderFilter(product=cup, seller=AccountId(1)), OrderRoute.PRODUCT, []),
            (OrderFilter(created_after=NOW), OrderRoute.TIME, [fourth, second]),
            (OrderFilter(created_before=NOW + DAY), OrderRoute.TIME, [sixth, fifth, first, third]),
            (OrderFilter(created_after=NOW, status=OrderStatus.PAID), OrderRoute.TIME, []),
            (OrderFilter(created_before=NOW, status=OrderStatus.CANCELLED), OrderRoute.STATUS, [third]),
            (OrderFilter(total_min=usd(13_00)), OrderRoute.ALL, [sixth, third, second]),
            (OrderFilter(total_min=usd(6_00), total_max=usd(13_00)), OrderRoute.ALL, [fifth, second, first]),
            (OrderFilter(total_max=usd(6_00), seller=seller), OrderRoute.SELLER, [first]),
            (OrderFilter(search="cup"), OrderRoute.SEARCH, [second, first]),
            (OrderFilter(search="CUP blue", buyer=other), OrderRoute.SEARCH, [second]),
            (OrderFilter(search="cup pot"), OrderRoute.SEARCH, []),
            (OrderFilter(search=f" #{third} "), OrderRoute.SEARCH, [third]),
            (OrderFilter(search=str(third), status=OrderStatus.PAID), OrderRoute.SEARCH, []),
            (OrderFilter(search="0"), OrderRoute.SEARCH, []),
            (OrderFilter(search="-!"), OrderRoute.SEARCH, []),
        ]
        assert {route for _, route, _ in cases} == set(OrderRoute)
        for criteria, route, wanted in cases:

            def fetch(page: PageRequest, criteria: OrderFilter = criteria) -> Page[StaffOrderView]:
                return queries.all_orders(page, criteria)

            assert criteria.route is route, criteria
            for size in (1, 2, 10):
                pages = forwards(fetch, size)
                assert [view.order.id for view in rows(pages)] == wanted, criteria
                assert rows(backwards(fetch, pages[-1], size)) == rows(pages[:-1]), criteria

    def test_a_page_examines_a_limited_number_of_orders(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(price=1_00)
        ids = [stage.order(buyer, {product: 1 if n % 4 else 9}, at=NOW + n * SECOND) for n in range(11)][::-1]
        dear = [ids[place] for place in (2, 6, 10)]
        for criteria in (
            OrderFilter(total_min=usd(9_00)),
            OrderFilter(total_min=usd(9_00), buyer=buyer),
            OrderFilter(total_min=usd(9_00), product=product),
            OrderFilter(total_min=usd(9_00), search="pot"),
            OrderFilter(total_min=usd(9_00), created_after=NOW - DAY),
        ):

            def fetch(page: PageRequest, criteria: OrderFilter = criteria) -> Page[StaffOrderView]:
                return queries.all_orders(page, criteria, scan=2)

            pages = forwards(fetch, 5)
            assert [[view.order.id for view in page.rows] for page in pages] == [
                [], [dear[0]], [], [dear[1]], [], [dear[2]],
            ], criteria  # fmt: skip
            whole = queries.all_orders(PageRequest(2), criteria, scan=11)
            assert [view.order.id for view in whole.rows] == dear[:2]
            assert whole.next is not None
            last = queries.all_orders(PageRequest(2, after=whole.next), criteria, scan=11)
            assert ([view.order.id for view in last.rows], last.next) == (dear[2:], None)
            assert last.previous is not None
            assert queries.all_orders(PageRequest(2, before=last.previous), criteria, scan=11).rows == whole.rows

    # --- one order

    def test_details_show_all_that_belongs_to_an_order(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, seller = stage.account(), stage.account()
        cup, pot = stage.product(seller, price=3_00), stage.product(seller, price=10_00)
        order_id = stage.order(buyer, {cup: 2, pot: 1})
        foreign = stage.order(buyer, {cup: 1}, OrderStatus.PAID)
        stage.decide([order_id], NOW + SECOND)
        declined, captured = attempt(order_id, 16_00), attempt(order_id, 16_00)
        declined.decline(Declined("insufficient_funds"), NOW + 2 * SECOND)
        captured.capture(Charged("ch-7"), NOW + 3 * SECOND)
        captured.add_refund(3_00, NOW + 4 * SECOND)
        (back,) = captured.refunds
        back.postpone(NOW + 4 * SECOND, "no answer")
        add_payments(store, declined, captured, attempt(foreign))
        stage.pay(order_id, NOW + 3 * SECOND)
        stage.refund(order_id, [RefundLine(cup, 1)], NOW + 4 * SECOND, by=seller)
        found = queries.order_details(order_id)
        assert found is not None
        assert found.view == next(view for view in queries.all_orders(PageRequest(9)).rows if view.order.id == order_id)
        assert [line.refunded for line in found.view.order.lines] == [1, 0]
        payments = {payment.id: payment for payment in found.payments}
        assert payments.keys() == {declined.id, captured.id}
        assert (payments[declined.id].status, payments[declined.id].reason) == (
            PaymentStatus.DECLINED, "insufficient_funds",
        )  # fmt: skip
        paid = payments[captured.id]
        assert (paid.amount, paid.currency, paid.reference, paid.method) == (16_00, "USD", "ch-7", "card")
        assert paid.refunds == (
            PaymentRefundView(
                back.id, 3_00, RefundStatus.OPEN, 1, "no answer", NOW + 4 * SECOND, back.try_at, done_at=None
            ),
        )
        assert found.refunds == (RefundView(cup, 1, 3_00, True, NOW + 4 * SECOND, seller),)
        assert sorted(found.movements, key=lambda each: (each.at, each.product)) == [
            MovementView(cup, -2, MovementKind.SALE, NOW + 3 * SECOND),
            MovementView(pot, -1, MovementKind.SALE, NOW + 3 * SECOND),
            MovementView(cup, 1, MovementKind.RETURN, NOW + 4 * SECOND),
        ]
        back.confirm(NOW + 9 * SECOND)
        with store.begin() as tx:
            tx.payments.save_refunds([back])
        confirmed = queries.order_details(order_id)
        assert confirmed is not None
        assert [(entry.moment, entry.at - NOW) for entry in confirmed.timeline] == [
            (OrderMoment.PLACED, timedelta()),
            (OrderMoment.PAYMENT_STARTED, timedelta()),
            (OrderMoment.PAYMENT_STARTED, timedelta()),
            (OrderMoment.RESERVED, SECOND),
            (OrderMoment.PAYMENT_DECLINED, 2 * SECOND),
            (OrderMoment.PAID, 3 * SECOND),
            (OrderMoment.REFUNDED, 4 * SECOND),
            (OrderMoment.REFUND_CONFIRMED, 9 * SECOND),
        ]
        assert queries.order_details(OrderId(10**12)) is None

    def test_the_timeline_ends_with_the_fate_of_an_order(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        buyer, product = stage.account(), stage.product(stock=5)
        rejected = stage.order(buyer, {product: 9}, OrderStatus.REJECTED)
        cancelled = stage.order(buyer, {product: 1}, OrderStatus.CANCELLED)
        expired = stage.order(buyer, {product: 1}, OrderStatus.PENDING)
        parked = stage.order(buyer, {product: 1})
        park(store, parked, NOW + SECOND)
        with store.begin() as tx:
            order, stock = lock_with_stock(tx, expired)
            order.expire(stock, LATER)
            tx.orders.save([order])
            tx.stock.save(list(stock.values()))

        def timeline(order_id: OrderId) -> list[tuple[OrderMoment, datetime, str]]:
            found = queries.order_details(order_id)
            assert found is not None
            return [(entry.moment, entry.at, entry.text) for entry in found.timeline]

        placed, reserved = (OrderMoment.PLACED, NOW, ""), (OrderMoment.RESERVED, NOW, "")
        said = f"Product {product}: 9 units requested, 5 in stock."
        assert timeline(rejected) == [placed, (OrderMoment.REJECTED, NOW, said)]
        assert timeline(cancelled) == [placed, reserved, (OrderMoment.CANCELLED, NOW, "")]
        assert timeline(expired) == [placed, reserved, (OrderMoment.EXPIRED, LATER, "")]
        assert timeline(parked) == [placed, (OrderMoment.DECISION_FAILED, NOW + SECOND, "KeyError: 7")]
