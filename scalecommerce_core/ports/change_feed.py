"""Notifications of committed changes: of the catalog, for caches, of access, for authentication, and of new events."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, SessionId


class ProductAspect(StrEnum):
    """What decides which products a list has and in which order, in contrast to what it shows of them."""

    MEMBERSHIP = "membership"
    """Products were created, taken off sale, put back on sale, withdrawn or moved to another category."""
    TEXT = "text"
    """The name, the brand or the description."""
    PRICE = "price"
    """The price, also where the store copies it for sorted lists."""
    SOLD_OUT = "sold_out"
    """The last available unit was taken."""
    RESTOCKED = "restocked"
    """Units became available of a product that had none, or a product got its first stock."""


@frozen
class ProductScope:
    """The products of any of these categories and any of these sellers."""

    categories: frozenset[CategoryId]
    sellers: frozenset[AccountId]


@frozen
class CatalogChange:
    """What one commit changed for readers of the catalog; `number` is the store's id of the commit.

    `products`: their price, texts or availability changed, or they were created or withdrawn. `sellers`: their names
    changed on all of their products. `everything`: any product may have changed.

    `aspects`: each changed aspect with a scope, which contains the changed products as they were before and as they are
    after the change; None instead of a scope: any product. Other aspects are unchanged, so the change concerns only
    lists that show one of the `products` or depend on one of the `aspects`. None: any list may have changed. If all
    else is empty, only lists changed, such as that of the categories.
    """

    number: int
    products: frozenset[ProductId] = frozenset()
    sellers: frozenset[AccountId] = frozenset()
    everything: bool = False
    aspects: Mapping[ProductAspect, ProductScope | None] | None = None


@frozen
class AccessChange:
    """Access that one commit ended or changed.

    `sessions` were revoked. The API keys of `key_owners` must be read again: they or the rights of the account changed.
    """

    sessions: frozenset[SessionId] = frozenset()
    key_owners: frozenset[AccountId] = frozenset()


class ChangeListener(Protocol):
    """The part of one process that depends on the latest changes. Methods may be called from any thread; calls of one
    feed are serialised and in order.
    """

    def on_start(self, number: int) -> None:
        """The feed starts, or restarts after an interruption: changes with smaller numbers may have been missed.

        The listener may read the store here: the feed already receives what is committed meanwhile. If this raises, the
        feed restarts.
        """
        ...

    def on_change(self, change: CatalogChange) -> None:
        """A change was committed by any process: reads that begin now see it."""
        ...

    def on_local_change(self, change: CatalogChange) -> None:
        """A change was committed by this process; `on_change` will report it again through the feed."""
        ...

    def on_events(self) -> None:
        """Events got numbers in the event log, such as those of decided and paid orders."""
        ...

    def on_access_change(self, change: AccessChange) -> None:
        """Access was ended by any process. A change of this process is reported twice: at once, and by the feed."""
        ...

    def on_heartbeat(self, moment: float) -> None:
        """All changes that were committed before `moment`, in seconds of `time.monotonic`, have been reported."""
        ...


class CatalogFeed(Protocol):
    """Reports every committed change of the catalog and of access to the listener of one process."""

    def follow(self, listener: ChangeListener) -> None:
        """Report changes to `listener` until `close`. After an interruption of the store it reconnects and calls
        `on_start`.
        """
        ...

    def keep_alive(self) -> None:
        """Request further heartbeats; a listener calls it while it is in use. Quick, and callable from any thread.

        Without it the feed becomes idle: it reports changes a second late, and sends heartbeats as rarely.
        """
        ...

    def close(self) -> None:
        """Stop reporting and release the connection."""
        ...
