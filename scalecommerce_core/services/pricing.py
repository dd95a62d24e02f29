"""Repricing: each active policy looks at its products in batches, decides, and writes prices and their history."""

from collections.abc import Callable, Sequence

from attrs import frozen

from scalecommerce_core.domain.errors import TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.ports import Clock, Store
from scalecommerce_core.pricing.stock_cover import Decision, PricingPolicy, Signals
from scalecommerce_core.services.outcomes import retried

BATCH = 1_000


@frozen
class AdoptPolicy:
    """A seller's wish to have prices moved, for one category or all of their products."""

    owner: AccountId
    name: str
    category_id: CategoryId | None = None
    target_cover_days: int = 30


@frozen
class RepricingRun:
    """What a run did, or with `dry_run` would have done; `moves` holds only prices that move."""

    looked_at: int
    moves: tuple[Decision, ...]
    dry_run: bool


class Pricing:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @retried(TransactionAborted)
    def adopt(self, commands: Sequence[AdoptPolicy]) -> list[PricingPolicy]:
        """New active policies; raise `Invalid` for bounds that are not met."""
        now = self._clock.now()
        with self._store.begin() as tx:
            policies = [
                PricingPolicy(
                    id=policy_id,
                    seller_id=command.owner,
                    name=command.name,
                    created_at=now,
                    category_id=command.category_id,
                    target_cover_days=command.target_cover_days,
                )
                for command, policy_id in zip(commands, tx.policies.next_ids(len(commands)), strict=True)
            ]
            tx.policies.add(policies)
        return policies

    def policies(self) -> Sequence[PricingPolicy]:
        """The active ones, by id."""
        with self._store.begin() as tx:
            return tx.policies.active()

    def reprice(
        self, *, dry_run: bool = False, only: PolicyId | None = None, progress: Callable[[int], None] = lambda _: None
    ) -> RepricingRun:
        """Run the active policies; `progress` is told how many products each batch looked at.

        Each batch is a transaction of its own: what an interrupted run has written stands. A product with
        several policies follows the one made last.
        """
        looked_at = 0
        moves: list[Decision] = []
        decided: set[ProductId] = set()
        for policy in sorted(self.policies(), key=lambda policy: policy.id, reverse=True):
            if only is not None and policy.id != only:
                continue
            after: ProductId | None = None
            while seen := self._signals(policy, after):
                after = seen[-1].product_id
                fresh = [signals for signals in seen if signals.product_id not in decided]
                decided.update(signals.product_id for signals in fresh)
                now = self._clock.now()
                wanted = [move for signals in fresh if (move := policy.decide(signals, now)).moves]
                moves += wanted if dry_run or not wanted else self._write(wanted)
                looked_at += len(fresh)
                progress(len(fresh))
        return RepricingRun(looked_at, tuple(moves), dry_run)

    @retried(TransactionAborted)
    def _signals(self, policy: PricingPolicy, after: ProductId | None) -> Sequence[Signals]:
        with self._store.begin() as tx:
            return tx.policies.signals(policy, self._clock.now(), after=after, limit=BATCH)

    @retried(TransactionAborted)
    def _write(self, wanted: Sequence[Decision]) -> list[Decision]:
        """Put prices in force; a price that was edited since it was read wins over the decision."""
        now = self._clock.now()
        with self._store.begin() as tx:
            products = tx.products.lock({decision.product_id for decision in wanted})
            written = []
            for decision in wanted:
                product = products.get(decision.product_id)
                if product is not None and product.price == decision.old and product.withdrawn_at is None:
                    product.reprice(decision.new, now, PriceCause.POLICY)
                    written.append(decision)
            tx.products.save([products[decision.product_id] for decision in written])
        return written
