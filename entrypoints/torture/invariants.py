"""Invariants after the test: the database agrees with the answers that clients got, and with itself.

The SQL is independent of the engine, so that it does not share the engine's errors.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, LiteralString

import psycopg

from adapters.cli.torture_report import Checked
from adapters.db.schema import AUDIENCE
from entrypoints.torture.client_log import AcknowledgedOrder, ClientLog, RequestedRefund

EXAMPLES: Final = 3
CLOCK_SECONDS: Final = 30
"""Maximum between an order's time and the reading of its prices: the timeouts of locks and pools."""


class Invariants:
    """Checks the invariants, one method each, over one connection."""

    def __init__(self, connection: psycopg.Connection, log: ClientLog, price_promise: float) -> None:
        self._connection = connection
        self._log = log
        self._price_promise = price_promise

    def check_all(self) -> list[Checked]:
        return [
            self._acknowledged_orders(),
            self._no_unexplained_orders(),
            self._answers_agree(),
            self._statuses(),
            self._stock_ledger(),
            self._reservations(),
            self._sales(),
            self._adjustments(),
            self._refunds(),
            self._money(),
            self._payments(),
            self._gateway(),
            self._prices(),
            self._price_history(),
            self._transitions(),
            self._numbers(),
            self._feeds(),
            *([self._webhooks()] if self._log.endpoints else []),
            self._settled(),
        ]

    def _rows(self, statement: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def _total(self, statement: LiteralString) -> int:
        return int(self._rows(statement)[0][0])

    def _acknowledged_orders(self) -> Checked:
        found = {
            id_: AcknowledgedOrder(id_, buyer, None, tuple((p, q, price) for p, q, price in lines), total)
            for id_, buyer, lines, total in self._rows(
                """
                SELECT o.id, o.buyer_id,
                       json_agg(json_build_array(l.product_id, l.quantity, l.price) ORDER BY l.position),
                       sum(l.quantity * l.price)::bigint
                FROM orders o JOIN order_lines l ON l.order_id = o.id GROUP BY o.id
                """
            )
        }

        def broken() -> Iterator[str]:
            for returned in self._log.orders.values():
                stored = found.get(returned.id)
                if stored is None:
                    yield f"order {returned.id} of buyer {returned.buyer} is missing"
                elif (stored.buyer, stored.lines, stored.total) != (returned.buyer, returned.lines, returned.total):
                    yield f"order {returned.id} was returned as {returned}, and is stored as {stored}"

        return check_invariant("every acknowledged order exists as it was returned", len(self._log.orders), broken())

    def _no_unexplained_orders(self) -> Checked:
        """Each unacknowledged order belongs to a request without a final answer, and no two belong to the same one."""
        rows = self._rows(
            """
            SELECT o.id, o.buyer_id,
                   json_agg(json_build_array(l.product_id, l.quantity) ORDER BY l.product_id)
            FROM orders o JOIN order_lines l ON l.order_id = o.id
            WHERE o.id <> ALL (%s) GROUP BY o.id ORDER BY o.id
            """,
            list(self._log.orders),
        )
        explained = Counter(self._log.unconfirmed_orders)

        def broken() -> Iterator[str]:
            for id_, buyer, lines in rows:
                request = buyer, tuple((product, quantity) for product, quantity in lines)
                if explained[request]:
                    explained[request] -= 1
                else:
                    yield f"order {id_} of buyer {buyer}: no request explains it, so a request created two orders"

        return check_invariant("no request created two orders", self._total("SELECT count(*) FROM orders"), broken())

    def _answers_agree(self) -> Checked:
        keys = len(self._log.keys)
        return check_invariant(
            "repeated requests got the same answer, price promises were kept", keys, self._log.contradictions
        )

    def _statuses(self) -> Checked:
        confirmed = [(self._log.paid, ["PAID", "REFUNDED"]), (self._log.cancelled, ["CANCELLED"])]

        def broken() -> Iterator[str]:
            for orders, allowed in confirmed:
                for id_, status in self._rows(
                    "SELECT id, status FROM orders WHERE id = ANY (%s) AND status <> ALL (%s)", list(orders), allowed
                ):
                    yield f"order {id_} was confirmed as {allowed[0]}, and is {status}"

        compared = len(self._log.paid) + len(self._log.cancelled)
        return check_invariant("confirmed payments and cancellations are stored", compared, broken())

    def _stock_ledger(self) -> Checked:
        rows = self._rows(
            """
            SELECT s.product_id, s.on_hand, coalesce(m.units, 0) FROM stock s
            LEFT JOIN (SELECT product_id, sum(quantity) AS units FROM stock_movements GROUP BY product_id) m
                USING (product_id)
            WHERE s.on_hand <> coalesce(m.units, 0) OR s.on_hand < 0
            """
        )
        return check_invariant(
            "stock on hand is the sum of its ledger",
            self._total("SELECT count(*) FROM stock"),
            (f"product {product}: {on_hand} on hand, but its ledger has {moved}" for product, on_hand, moved in rows),
        )

    def _reservations(self) -> Checked:
        rows = self._rows(
            """
            SELECT s.product_id, s.reserved, coalesce(p.units, 0), s.on_hand FROM stock s
            LEFT JOIN (
                SELECT l.product_id, sum(l.quantity) AS units FROM orders o JOIN order_lines l ON l.order_id = o.id
                WHERE o.status = 'PENDING' GROUP BY l.product_id
            ) p USING (product_id)
            WHERE s.reserved <> coalesce(p.units, 0) OR s.reserved > s.on_hand
            """
        )
        return check_invariant(
            "reserved stock is the sum of pending orders",
            self._total("SELECT count(*) FROM stock"),
            (
                f"product {product}: {reserved} of {on_hand} reserved, but pending orders have {promised}"
                for product, reserved, promised, on_hand in rows
            ),
        )

    def _sales(self) -> Checked:
        """Each line of a paid order has exactly one sale in the stock ledger, and there is no other sale."""
        rows = self._rows(
            """
            SELECT coalesce(sold.order_id, moved.order_id), coalesce(sold.product_id, moved.product_id),
                   coalesce(sold.units, 0), coalesce(moved.units, 0), coalesce(moved.entries, 0)
            FROM (
                SELECT l.order_id, l.product_id, sum(l.quantity) AS units
                FROM orders o JOIN order_lines l ON l.order_id = o.id
                WHERE o.status IN ('PAID', 'REFUNDED') GROUP BY l.order_id, l.product_id
            ) sold FULL JOIN (
                SELECT order_id, product_id, -sum(quantity) AS units, count(*) AS entries
                FROM stock_movements WHERE kind = 'sale' GROUP BY order_id, product_id
            ) moved ON (moved.order_id, moved.product_id) = (sold.order_id, sold.product_id)
            WHERE sold.units IS DISTINCT FROM moved.units OR moved.entries <> 1
            """
        )
        return check_invariant(
            "every paid line left the stock exactly once",
            self._total("SELECT count(*) FROM stock_movements WHERE kind = 'sale'"),
            (
                f"order {order}, product {product}: {sold} sold, but {entries} entries of the ledger have {moved}"
                for order, product, sold, moved, entries in rows
            ),
        )

    def _adjustments(self) -> Checked:
        """Opening stock and adjustments are the confirmed ones, plus at most those without a final answer."""
        opening_stock: dict[int, int] = dict(
            self._rows(
                "SELECT product_id, sum(quantity)::bigint FROM stock_movements WHERE kind = 'opening' GROUP BY 1"
            )
        )
        made = Counter(
            (product, quantity)
            for product, quantity in self._rows(
                "SELECT product_id, quantity FROM stock_movements WHERE kind = 'adjustment'"
            )
        )

        def broken() -> Iterator[str]:
            unconfirmed = self._log.unconfirmed_opening_stock.copy()
            for product in sorted(opening_stock.keys() | self._log.opening_stock.keys()):
                confirmed, stored = self._log.opening_stock.get(product), opening_stock.get(product, 0)
                if confirmed is None and unconfirmed[stored]:
                    unconfirmed[stored] -= 1
                elif confirmed != stored:
                    yield f"product {product} was listed with {confirmed} units, and its ledger opens with {stored}"
            yield from _differing(made, self._log.adjusted, self._log.unconfirmed_adjustments, "adjustment")

        return check_invariant(
            "stock changes of sellers are the confirmed ones", made.total() + len(opening_stock), broken()
        )

    def _refunds(self) -> Checked:
        made = Counter(
            RequestedRefund(order, product, quantity, restocked)
            for order, product, quantity, restocked in self._rows(
                """
                SELECT r.order_id, l.product_id, r.quantity, r.restocked
                FROM refunds r JOIN order_lines l USING (order_id, position)
                """
            )
        )
        returned = self._rows(
            """
            SELECT coalesce(r.order_id, m.order_id), coalesce(r.units, 0), coalesce(m.units, 0)
            FROM (SELECT order_id, sum(quantity) AS units FROM refunds WHERE restocked GROUP BY order_id) r
            FULL JOIN (
                SELECT order_id, sum(quantity) AS units FROM stock_movements WHERE kind = 'return' GROUP BY order_id
            ) m ON m.order_id = r.order_id
            WHERE r.units IS DISTINCT FROM m.units
            """
        )

        def broken() -> Iterator[str]:
            yield from _differing(made, self._log.refunded, self._log.unconfirmed_refunds, "refund")
            for order, refunded, moved in returned:
                yield f"order {order}: {refunded} units refunded with restock, but the ledger has {moved} returned"

        return check_invariant("each refund was made once, and restocked as requested", made.total(), broken())

    def _money(self) -> Checked:
        """Refunded amounts are units times the price of the line, and never more than was paid."""
        rows = self._rows(
            """
            SELECT l.order_id, l.position, o.status, l.quantity, l.refunded, l.price, coalesce(r.units, 0),
                   coalesce(r.amount, 0)
            FROM orders o JOIN order_lines l ON l.order_id = o.id
            LEFT JOIN (
                SELECT order_id, position, sum(quantity) AS units, sum(amount) AS amount
                FROM refunds GROUP BY order_id, position
            ) r ON (r.order_id, r.position) = (l.order_id, l.position)
            WHERE l.refunded <> coalesce(r.units, 0) OR coalesce(r.amount, 0) <> coalesce(r.units, 0) * l.price
               OR l.refunded > l.quantity OR (l.refunded > 0 AND o.status NOT IN ('PAID', 'REFUNDED'))
               OR (l.refunded < l.quantity AND o.status = 'REFUNDED')
            """
        )
        events = self._rows(
            """
            SELECT coalesce(r.order_id, e.order_id), coalesce(r.amount, 0), coalesce(e.amount, 0)
            FROM (SELECT order_id, sum(amount) AS amount FROM refunds GROUP BY order_id) r
            FULL JOIN (
                SELECT (payload->>'order_id')::bigint AS order_id, sum((part->>'amount')::bigint) AS amount
                FROM events, jsonb_array_elements(payload->'refunds') part
                WHERE topic = 'order.refunded' GROUP BY 1
            ) e ON e.order_id = r.order_id
            WHERE r.amount IS DISTINCT FROM e.amount
            """
        )

        def broken() -> Iterator[str]:
            for order, position, status, quantity, refunded, price, units, amount in rows:
                yield (
                    f"order {order} line {position} ({status}): {refunded} of {quantity} at {price} refunded,"
                    f" but its refunds are {units} for {amount}"
                )
            for order, amount, of_events in events:
                yield f"order {order}: {amount} refunded, {of_events} according to its events"

        paid = self._total("SELECT count(*) FROM orders WHERE status IN ('PAID', 'REFUNDED')")
        return check_invariant("money is conserved to the cent", paid, broken())

    def _payments(self) -> Checked:
        """Every paid order has one captured payment of its total, through which its refunds were made."""
        rows = self._rows(
            """
            SELECT o.id, o.status, t.total, coalesce(p.captured, 0), coalesce(p.times, 0), coalesce(p.refunded, 0),
                   coalesce(r.amount, 0)
            FROM orders o
            JOIN (SELECT order_id, sum(quantity * price) AS total FROM order_lines GROUP BY order_id) t
                ON t.order_id = o.id
            LEFT JOIN (
                SELECT order_id, count(*) AS times, sum(amount) AS captured, sum(refunded) AS refunded
                FROM payments WHERE status = 'CAPTURED' GROUP BY order_id
            ) p ON p.order_id = o.id
            LEFT JOIN (SELECT order_id, sum(amount) AS amount FROM refunds GROUP BY order_id) r ON r.order_id = o.id
            WHERE CASE WHEN o.status IN ('PAID', 'REFUNDED')
                THEN p.times IS DISTINCT FROM 1 OR p.captured <> t.total OR p.refunded <> coalesce(r.amount, 0)
                ELSE p.times IS NOT NULL END
            """
        )
        return check_invariant(
            "every paid order was charged once, for its total",
            self._total("SELECT count(*) FROM payments"),
            (
                f"order {order} ({status}) of {total}: {captured} charged in {times} payments, {back} sent back,"
                f" {refunded} refunded"
                for order, status, total, captured, times, back, refunded in rows
            ),
        )

    def _gateway(self) -> Checked:
        """Our payments and refunds equal the charges and refunds of the gateway, one by one."""
        charges = self._rows(
            """
            SELECT coalesce(p.id, c.key), p.status, p.amount, c.amount FROM
                (SELECT * FROM payments WHERE status IN ('CAPTURED', 'TOO_LATE')) p
            FULL JOIN (SELECT * FROM sandbox_charges WHERE declined_because IS NULL) c ON c.key = p.id
            WHERE p.amount IS DISTINCT FROM c.amount
            """
        )
        refunds = self._rows(
            """
            SELECT coalesce(r.id, s.key), r.amount, s.amount FROM payment_refunds r
            FULL JOIN sandbox_refunds s ON (s.key, s.charge) = (r.id, r.payment_id)
            WHERE r.amount IS DISTINCT FROM s.amount
            """
        )

        def broken() -> Iterator[str]:
            for payment, status, ours, theirs in charges:
                yield f"payment {payment} ({status}): {ours} in the engine, {theirs} at the gateway"
            for refund, ours, theirs in refunds:
                yield f"refund {refund}: {ours} in the engine, {theirs} at the gateway"

        compared = self._total("SELECT (SELECT count(*) FROM sandbox_charges) + (SELECT count(*) FROM sandbox_refunds)")
        return check_invariant("charges and refunds of the gateway equal ours", compared, broken())

    def _prices(self) -> Checked:
        """Each line has a price that was in force when it was ordered, or within the price promise before."""
        rows = self._rows(
            """
            WITH history AS (
                SELECT product_id, price, valid_from,
                       lead(valid_from) OVER (PARTITION BY product_id ORDER BY valid_from) AS valid_to
                FROM price_history
            )
            SELECT o.id, l.product_id, l.price FROM orders o JOIN order_lines l ON l.order_id = o.id
            WHERE NOT EXISTS (
                SELECT FROM history h WHERE h.product_id = l.product_id AND h.price = l.price
                AND h.valid_from <= o.created_at + make_interval(secs => %s)
                AND coalesce(h.valid_to, 'infinity') >= o.created_at - make_interval(secs => %s)
            )
            """,
            CLOCK_SECONDS,
            self._price_promise + 1,
        )
        return check_invariant(
            "every line was sold at a price in force or promised",
            self._total("SELECT count(*) FROM order_lines"),
            (f"order {order}: product {product} at {price}, which was not in force" for order, product, price in rows),
        )

    def _price_history(self) -> Checked:
        """The last entry of the history is the present price, and each change has exactly one event."""
        rows = self._rows(
            """
            SELECT p.id, p.price, last.price FROM products p LEFT JOIN LATERAL (
                SELECT h.price FROM price_history h WHERE h.product_id = p.id ORDER BY valid_from DESC LIMIT 1
            ) last ON true
            WHERE p.price IS DISTINCT FROM last.price
            """
        )
        events_of_changes = self._rows(
            """
            SELECT product_id, changes - 1, coalesce(events, 0) FROM
            (SELECT product_id, count(*) AS changes FROM price_history GROUP BY product_id) h
            LEFT JOIN (
                SELECT (payload->>'product_id')::bigint AS product_id, count(*) AS events
                FROM events WHERE topic = 'price.changed' GROUP BY 1
            ) e USING (product_id)
            WHERE changes - 1 <> coalesce(events, 0)
            """
        )

        def broken() -> Iterator[str]:
            for product, price, last in rows:
                yield f"product {product} costs {price}, but the last price of its history is {last}"
            for product, changes, events in events_of_changes:
                yield f"product {product}: {changes} price changes, {events} events about them"

        changes = self._total("SELECT count(*) FROM price_history")
        return check_invariant("the price history is complete and without overlaps", changes, broken())

    def _transitions(self) -> Checked:
        """The events of each order are those of one valid path of transitions, each exactly once."""
        rows = self._rows(
            """
            SELECT o.id, o.status, transitions.topics FROM orders o LEFT JOIN LATERAL (
                SELECT coalesce(array_agg(replace(t.topic, 'order.', '') ORDER BY t.topic), '{}') AS topics
                FROM events t
                WHERE t.topic LIKE 'order.%%' AND t.topic <> 'order.refunded'
                  AND t.order_id = o.id
            ) transitions ON true
            WHERE NOT CASE o.status
                WHEN 'CREATED' THEN transitions.topics = '{placed}'
                WHEN 'PENDING' THEN transitions.topics = '{placed,reserved}'
                WHEN 'REJECTED' THEN transitions.topics = '{placed,rejected}'
                WHEN 'CANCELLED' THEN transitions.topics IN
                    ('{cancelled,placed}', '{cancelled,placed,reserved}', '{expired,placed,reserved}')
                ELSE transitions.topics = '{paid,placed,reserved}'
            END
            """
        )
        return check_invariant(
            "each transition of an order has one event",
            self._total("SELECT count(*) FROM events"),
            (f"order {order} is {status}, its events are {', '.join(topics)}" for order, status, topics in rows),
        )

    def _numbers(self) -> Checked:
        """The numbers from the oldest stored event to the last assigned one have no gap."""
        ((last, forgotten, count, first, highest),) = self._rows(
            """
            SELECT c.last, c.forgotten, count(e.seq), coalesce(min(e.seq), c.forgotten + 1),
                   coalesce(max(e.seq), c.last)
            FROM event_counter c LEFT JOIN events e ON true GROUP BY c.last, c.forgotten
            """
        )

        def broken() -> Iterator[str]:
            if (first, highest, count) != (forgotten + 1, last, last - forgotten):
                yield f"numbers {first} to {highest} are stored ({count}); {forgotten + 1} to {last} were expected"

        return check_invariant("events are numbered without a gap", count, broken())

    def _feeds(self) -> Checked:
        """Each reader received its events once and in order; none appeared later behind its position."""

        def broken() -> Iterator[str]:
            for account, feed in self._log.feeds.items():
                stored = [
                    seq
                    for (seq,) in self._rows(
                        f"SELECT seq FROM events WHERE %s = ANY ({AUDIENCE}) AND seq <= %s ORDER BY seq",  # noqa: S608 - a constant
                        account,
                        feed.position,
                    )
                ]
                if stored != feed.received:
                    differing = sorted(set(stored) ^ set(feed.received))[:5]
                    yield f"account {account} read up to {feed.position}, but not events {differing} exactly once"

        received = sum(len(feed.received) for feed in self._log.feeds.values())
        return check_invariant("readers of the feed received every event once", received, broken())

    def _webhooks(self) -> Checked:
        """Each event for a subscriber has arrived at least once."""
        compared = 0
        missing: list[str] = []
        for account, endpoint in self._log.endpoints.items():
            rows = self._rows(
                f"""
                SELECT events.seq, d.message_id, d.status FROM events
                LEFT JOIN webhook_deliveries d ON (d.endpoint_id, d.seq) = (%s, events.seq)
                WHERE %s = ANY ({AUDIENCE}) ORDER BY events.seq
                """,  # noqa: S608 - a constant
                endpoint,
                account,
            )
            compared += len(rows)
            missing += [
                f"event {seq} did not arrive at endpoint {endpoint} (delivery: {status})"
                for seq, message, status in rows
                if message is None or not self._log.received[message]
            ]
        return check_invariant("webhooks arrived at least once", compared, missing)

    def _settled(self) -> Checked:
        rows = self._rows(
            """
            SELECT id, status, decide_attempts FROM orders
            WHERE status = 'CREATED' OR (status = 'PENDING' AND expires_at <= now() - interval '10 seconds')
            """
        )
        waiting = self._total("SELECT count(*) FROM outbox")
        payments = self._rows("SELECT id, order_id FROM payments WHERE status = 'OPEN'")
        refunds = self._rows("SELECT id, payment_id FROM payment_refunds WHERE status = 'OPEN'")
        webhooks = self._total("SELECT count(*) FROM webhook_deliveries WHERE status = 'PENDING'")

        def broken() -> Iterator[str]:
            for payment, order in payments:
                yield f"payment {payment} of order {order} is still open"
            for refund, payment in refunds:
                yield f"refund {refund} of payment {payment} is still to be sent"
            for order, status, attempts in rows:
                yield f"order {order} is still {status} ({attempts} failed decisions)"
            if waiting:
                yield f"{waiting} events have no number"
            if webhooks:
                yield f"{webhooks} webhooks are still to be sent"

        return check_invariant(
            "no work is left",
            self._total("SELECT count(*) FROM orders"),
            broken(),
        )


def check_load_ran(log: ClientLog, *, interrupted: bool) -> Checked:
    """Fail if no order was acknowledged, since the invariants then hold trivially; not after an interruption."""
    orders = len(log.orders)
    wrong = [] if orders or interrupted else ["no order was acknowledged, so the other checks prove nothing"]
    return check_invariant("orders were acknowledged during the test", orders, wrong)


def check_recorded(log: ClientLog, violations: Sequence[str], samples: int, deadlocks: Sequence[str]) -> list[Checked]:
    """Invariants whose violations were recorded during the test."""
    return [
        check_invariant("stock was valid and balanced in every sample", samples, violations),
        check_invariant("no request was answered by 500", log.done.total(), log.internal_errors),
        check_invariant("PostgreSQL reported no deadlock", samples, deadlocks),
    ]


def _differing(made: Counter[Any], confirmed: Counter[Any], unconfirmed: Counter[Any], what: str) -> Iterator[str]:
    for missing in (confirmed - made).elements():
        yield f"{what} {missing} was confirmed, but is missing"
    for unknown in (made - confirmed - unconfirmed).elements():
        yield f"{what} {unknown} was made without a request that explains it"


def check_invariant(invariant: str, compared: int, broken: Iterable[str]) -> Checked:
    """Return the result of a check with the first few violations."""
    found = list(broken)
    return Checked(invariant, compared, len(found), found[:EXAMPLES])
