"""Notifications of catalog changes."""

from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, ProductId


@frozen
class CatalogChange:
    """What readers of the catalogue see otherwise from one commit on; `number` is the store's name for the commit.

    Prices, texts and what can be promised of `products`, new and withdrawn ones among them; the name of `sellers` on
    all that they offer; or `everything`. None of these: only lists differ, such as that of the categories.
    """

    number: int
    products: frozenset[ProductId] = frozenset()
    sellers: frozenset[AccountId] = frozenset()
    everything: bool = False


class ChangeListener(Protocol):
    """Whoever keeps copies of the catalogue. Called from any thread, one call at a time and in order for each feed."""

    def on_start(self, number: int) -> None:
        """The feed begins, anew perhaps: changes with numbers below this may have happened unheard."""
        ...

    def on_change(self, change: CatalogChange) -> None:
        """It was committed, by whichever process: reads that begin now see it."""
        ...

    def on_local_change(self, change: CatalogChange) -> None:
        """It was committed by our own process, which has told nobody yet. The feed tells it again."""
        ...

    def on_heartbeat(self, moment: float) -> None:
        """Every change that was committed before this moment of `time.monotonic` has been told."""
        ...


class CatalogFeed(Protocol):
    """Tells one process of all changes of the catalogue, as they are committed."""

    def follow(self, listener: ChangeListener) -> None:
        """From now on, until `close`; over interruptions of the store, which end in another `begun`."""
        ...

    def keep_alive(self) -> None:
        """Somebody reads copies: go on saying how `complete` the feed is. Quick, and callable from any thread."""
        ...

    def close(self) -> None: ...
