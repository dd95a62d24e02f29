"""Orders and their refunds."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId
from scalecommerce_core.domain.order import Order


class OrderRepository(Protocol):
    """Orders. `add` and `save` also write the refunds and the events that the orders carry."""

    def next_ids(self, count: int) -> Sequence[OrderId]:
        """Draw `count` new ids."""
        ...

    def add(self, orders: Collection[Order]) -> None:
        """Insert orders; raise `Duplicate("command_id")`, at the latest at the commit."""
        ...

    def lock(self, ids: Collection[OrderId]) -> Mapping[OrderId, Order]:
        """Lock and read orders, in id order."""
        ...

    def save(self, orders: Collection[Order]) -> None:
        """Update orders that this transaction has locked."""
        ...

    def by_command(self, ids: Collection[CommandId]) -> Mapping[CommandId, Order]:
        """Read without a lock the orders that were placed with these command ids."""
        ...

    def has_bought(self, buyer_id: AccountId, paid_before: datetime) -> bool:
        """Whether the account has a PAID order with a product of another seller that was paid before this time."""
        ...

    def claim_undecided(self, limit: int, now: datetime) -> Sequence[Order]:
        """Lock the first CREATED orders, in id order, that are neither parked nor deferred beyond `now`.

        Empty while another transaction holds the advisory lock of decisions: only one decider may run, because two
        would break the order of arrival.
        """
        ...

    def claim_expired(self, limit: int, now: datetime) -> Sequence[Order]:
        """Lock PENDING orders whose `expires_at` has passed, skipping locked ones.

        Orders with an open payment attempt are skipped too. An attempt may be opened before the locks are granted: the
        caller checks `payments.open_attempts` again under the locks.
        """
        ...
