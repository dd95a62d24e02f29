"""Fan-out: makes a delivery for each event and each endpoint that receives it, exactly once.

The deliveries and the position of the fan-out in the event log are written in one transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, EndpointId
from scalecommerce_core.domain.webhook import WebhookDelivery, WebhookEndpoint, message_body
from scalecommerce_core.ports import NumberedEvent, Transaction
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.webhooks.common import WebhooksBase

WEBHOOKS_CONSUMER: Final = "webhooks"
"""Name of the fan-out as a consumer of the event log (`EventRepository.claim`)."""


@frozen
class FanOutResult:
    """How many events were processed, and how many deliveries were made of them."""

    events: int = 0
    deliveries: int = 0


class FanOut(WebhooksBase):
    """The use case that turns events into deliveries."""

    @retry_on(TransactionAborted, ConnectionLost)
    def fan_out(self, limit: int = 500) -> FanOutResult:
        """Make deliveries of up to `limit` numbered events; return at once while another transaction does so."""
        now = self._clock.now()
        with self._store.begin() as tx:
            after = tx.events.claim(WEBHOOKS_CONSUMER)
            if after is None:
                return FanOutResult()
            # Read before the endpoints: an endpoint that is not visible yet was created after these events.
            last = tx.events.last_seq()
            if not tx.webhooks.has_active():
                if last > after:
                    tx.events.advance(WEBHOOKS_CONSUMER, last)
                return FanOutResult()
            events = tx.events.read_after(after, limit)
            if not events:
                return FanOutResult()
            deliveries = self._deliveries(tx, events, now)
            tx.deliveries.add(deliveries)
            tx.events.advance(WEBHOOKS_CONSUMER, events[-1].seq)
        return FanOutResult(len(events), len(deliveries))

    def _deliveries(self, tx: Transaction, events: Sequence[NumberedEvent], now: datetime) -> list[WebhookDelivery]:
        endpoints = tx.webhooks.subscribed({account for event in events for account in event.audience})
        everywhere = [endpoint for endpoint in endpoints if endpoint.all_events]
        by_owner: dict[AccountId, list[WebhookEndpoint]] = {}
        for endpoint in endpoints:
            if not endpoint.all_events:
                by_owner.setdefault(endpoint.owner_id, []).append(endpoint)
        accepted: list[tuple[WebhookEndpoint, NumberedEvent]] = []
        for event in events:
            candidates = everywhere + [each for account in event.audience for each in by_owner.get(account, ())]
            accepted += [
                (endpoint, event) for endpoint in candidates if endpoint.accepts(event.topic, event.at, event.audience)
            ]
        bodies = self._bodies(accepted)
        ids = tx.deliveries.next_ids(len(bodies))
        return [
            self._new_delivery(delivery_id, endpoint_id, seq, topic, body, now)
            for delivery_id, ((endpoint_id, seq), (topic, body)) in zip(ids, bodies.items(), strict=True)
        ]

    def _bodies(
        self, accepted: Sequence[tuple[WebhookEndpoint, NumberedEvent]]
    ) -> Mapping[tuple[EndpointId, int], tuple[str, str]]:
        """Topic and body by endpoint and event, with the fields that the owner may see (`domain.event_visibility`).

        Events that the owner's feed does not show are left out.
        """
        by_reader: dict[AccountId | None, set[int]] = {}
        for endpoint, event in accepted:
            by_reader.setdefault(_reader(endpoint), set()).add(event.seq)
        visible = {reader: self._queries.visible_events(numbers, reader) for reader, numbers in by_reader.items()}
        bodies = {}
        for endpoint, event in accepted:
            feed_event = visible[_reader(endpoint)].get(event.seq)
            if feed_event is not None:
                body = message_body(feed_event.topic, feed_event.at, feed_event.data)
                bodies[endpoint.id, event.seq] = feed_event.topic, body
        return bodies


def _reader(endpoint: WebhookEndpoint) -> AccountId | None:
    """The account whose visible events and fields the endpoint receives; None for those of staff."""
    return None if endpoint.all_events else endpoint.owner_id
