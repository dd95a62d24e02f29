"""Orders and their refunds."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from attrs import field, frozen

from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.order_quotas import WithdrawnPrice

RECENT_ORDERS: Final = 200
"""`OrderRepository.recent_units` reads at most this many orders of a buyer."""


@frozen
class UnsettledOrder:
    """An order that keeps an account from its deletion: it is not paid yet, or a payment or refund is in progress.

    `is_own`: the account is the buyer; else it sells products of the order.
    """

    id: OrderId
    is_own: bool
    is_unpaid: bool


@frozen
class RecentUnits:
    """Units in recent orders by buyer, product and unit price in minor units.

    `busy` are the buyers who placed `RECENT_ORDERS` orders or more in the period: their figures may be incomplete.
    """

    units: Mapping[tuple[AccountId, ProductId, int], int] = field(factory=dict)
    busy: frozenset[AccountId] = frozenset()


@frozen
class QuotaFacts:
    """PENDING orders by buyer; sellers' limits per buyer of the products that have one; the prices that sellers
    withdrew, by product, without those that are in force again.
    """

    pending: Mapping[AccountId, int] = field(factory=dict)
    limits: Mapping[ProductId, int] = field(factory=dict)
    withdrawn: Mapping[ProductId, Sequence[WithdrawnPrice]] = field(factory=dict)


class OrderRepository(Protocol):
    """Orders. `add` and `save` also write the refunds and the events that the orders carry."""

    def next_ids(self, count: int) -> Sequence[OrderId]:
        """Draw `count` new ids."""
        ...

    def begin_intake(self, count: int, buyers: Collection[AccountId]) -> tuple[Sequence[OrderId], Counter[AccountId]]:
        """Draw `count` new ids, and count the open orders (CREATED and PENDING) of each buyer, in one round trip."""
        ...

    def add(self, orders: Collection[Order]) -> None:
        """Insert orders; raise `Duplicate("command_id")`, at the latest at the commit."""
        ...

    def lock(
        self, ids: Collection[OrderId], restores: Callable[[Order], bool] | None = None
    ) -> Mapping[OrderId, Order]:
        """Lock and read orders, in id order. Archived ones are moved back to the hot tables.

        With `restores`, which is called with archived orders, only those are for which it returns True. The others stay
        archived: they are read and locked, but must not be saved, and their payments are not found.
        """
        ...

    def save(self, orders: Collection[Order]) -> None:
        """Update orders that this transaction has locked."""
        ...

    def archive(self, limit: int, settled_before: datetime) -> int:
        """Move up to `limit` orders to the archive, the oldest first; return how many.

        They are settled (`domain.order.SETTLED`), were placed and changed last before `settled_before`, and have no
        payment attempt that is open or still checked, and no open refund. Locked orders are skipped. An order moves
        with its lines, refunds, payments and stock movements; reads find it as before, except that the ledger of a
        product ends with its oldest movement that is not archived.
        """
        ...

    def by_command(self, ids: Collection[CommandId]) -> Mapping[CommandId, Order]:
        """Read without a lock the orders that were placed with these command ids.

        Archived orders are found only if they were imported or seeded: requests are repeated within minutes, imports at
        any time.
        """
        ...

    def has_bought(self, buyer_id: AccountId, paid_before: datetime) -> bool:
        """Whether the account has a PAID order with a product of another seller that was paid before this time."""
        ...

    def recent_units(self, buyers: Collection[AccountId], since: datetime) -> RecentUnits:
        """Units in the orders that buyers placed at `since` or later, without rejected and cancelled orders.

        The last `RECENT_ORDERS` orders of each buyer are read.
        """
        ...

    def quota_facts(
        self, buyers: Collection[AccountId], products: Collection[ProductId], since: datetime
    ) -> QuotaFacts:
        """What decisions on orders of these buyers and products depend on, read in one round trip without locks.

        `since` bounds the time of price withdrawals.
        """
        ...

    def unpaid_units(
        self, buyers: Collection[AccountId], products: Collection[ProductId]
    ) -> Mapping[tuple[AccountId, ProductId], int]:
        """Units in PENDING orders by buyer and product; zeros are left out."""
        ...

    def bought_units(
        self, buyers: Collection[AccountId], products: Collection[ProductId], since: datetime
    ) -> Mapping[tuple[AccountId, ProductId], int]:
        """Units in PENDING orders, and units without refunds in orders that were placed at `since` or later and paid,
        by buyer and product, in one snapshot; zeros are left out.
        """
        ...

    def unsettled(self, account_id: AccountId, limit: int) -> Sequence[UnsettledOrder]:
        """Up to `limit` orders of the account, or with its products, by id, that are not settled: CREATED, PENDING, or
        with an open payment attempt or refund.
        """
        ...

    def claim_undecided(self, limit: int, now: datetime) -> Sequence[Order]:
        """Lock the first CREATED orders, in id order, that are neither parked nor deferred beyond `now`.

        Empty while another transaction holds the advisory lock of decisions: only one decider may run, because two
        would break the order of arrival.
        """
        ...

    def try_claim_undecided(self, limit: int, now: datetime) -> Sequence[Order] | None:
        """As `claim_undecided`, but claim all undecided orders without waiting for any lock, for a transaction that
        decides orders which it adds.

        None while another transaction holds the advisory lock of decisions or one of these orders, or if there are more
        than `limit` of them; in the last case others can take the lock. If the result is a sequence, no other
        transaction decides until this one ends.
        """
        ...

    def claim_expired(self, limit: int, now: datetime) -> Sequence[Order]:
        """Lock PENDING orders whose `expires_at` has passed, skipping locked ones.

        Orders with an open payment attempt are skipped too. An attempt may be opened before the locks are granted: the
        caller checks `payments.open_attempts` again under the locks.
        """
        ...
