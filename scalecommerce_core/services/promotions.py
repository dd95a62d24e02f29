"""Promotions: announce, edit, cancel, and put their prices in force and out of force in time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve, field, frozen

from scalecommerce_core.domain.audit import AuditAction
from scalecommerce_core.domain.errors import (
    ConnectionLost,
    Invalid,
    MarketError,
    NotFound,
    QuotaReached,
    TransactionAborted,
    VersionMismatch,
)
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, PromotionId
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, Money, price_range_message
from scalecommerce_core.domain.price_history import WINDOW
from scalecommerce_core.domain.promotion import OPEN, Promotion, PromotionsOverlap, promote
from scalecommerce_core.ports import Clock, Store, Transaction
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed, apply_each
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.staff_commands import StaffCommand, actor_on

MAX_OPEN_PROMOTIONS: Final = 100
"""Promotions of a seller that are scheduled or running."""
MAX_PROMOTED_PRODUCTS: Final = 10_000
"""Products of a promotion."""


class TooManyPromotions(QuotaReached):
    """The seller has `MAX_OPEN_PROMOTIONS` promotions that are not over: cancel one first."""

    code = "too_many_promotions"


@frozen
class CreatePromotion:
    """Announce a promotion of `seller_id`, by default of `owner`, who gives the command; without `starts_at`, from now.

    The caller checks that only staff names another seller.

    Give one of: `products`, with the promotional price of each (None: `percent`, or no price); `category_id`;
    `all_products`. The category or all means the products that the seller has now.
    """

    owner: AccountId
    name: str
    ends_at: datetime
    starts_at: datetime | None = None
    percent: int | None = None
    products: Mapping[ProductId, Money | None] | None = None
    category_id: CategoryId | None = None
    all_products: bool = False
    seller_id: AccountId | None = None
    idempotency: IdempotencyKey | None = field(default=None, eq=False)
    address: str = ""
    """The network address of the client, for the audit log."""

    @property
    def seller(self) -> AccountId:
        return self.owner if self.seller_id is None else self.seller_id


@frozen
class EditPromotion(StaffCommand):
    """Set any of name, starts_at and ends_at. Staff may edit the promotions of all sellers."""

    promotion_id: PromotionId
    owner: AccountId
    changes: Mapping[str, Any]
    expected_version: int | None = None


@frozen
class CancelPromotion(StaffCommand):
    """Cancel a promotion before its start, or end it now. The `owner` None is an operator."""

    promotion_id: PromotionId
    owner: AccountId | None
    expected_version: int | None = None


class Promotions:
    """Use cases of promotions. Each takes a batch and returns one result or error per command."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @retry_on(TransactionAborted)
    def create(self, commands: Sequence[CreatePromotion]) -> list[Promotion | Replayed | MarketError]:
        """Announce promotions.

        Errors: `Invalid`, also for products of others and for prices that are not below the present price or are below
        `min_price`; `PromotionsOverlap`; `TooManyPromotions`; `IdempotencyKeyReused`;
        `IdempotencyKeyInFlight`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:

            def create_all(fresh: Sequence[CreatePromotion]) -> list[Promotion | MarketError]:
                # The lock keeps two concurrent transactions from putting a product into two promotions at a time.
                owners = tx.accounts.lock({command.seller for command in fresh})

                def create(command: CreatePromotion) -> Promotion:
                    if command.seller not in owners:
                        raise Invalid.field("seller", f"There is no account {command.seller}.")
                    return _create(tx, command, now)

                return apply_each(fresh, create)

            return run_idempotent(tx, commands, now, create_all)

    def edit(self, commands: Sequence[EditPromotion]) -> list[Promotion | MarketError]:
        """Edit promotions, also while they run: an end that is not later than now ends them within seconds.

        Errors: `NotFound`, `VersionMismatch`, `Invalid`, `PromotionOver`, `PromotionsOverlap`.
        """
        now = self._clock.now()
        action = AuditAction.PROMOTION_EDITED
        return apply_each(
            commands, lambda command: self._change(command, action, lambda found: found.edit(now, **command.changes))
        )

    def cancel(self, commands: Sequence[CancelPromotion]) -> list[Promotion | MarketError]:
        """Cancel promotions before their start, or end them now; those that are over stay as they are.

        Errors: `NotFound`, `VersionMismatch`.
        """
        now = self._clock.now()
        action = AuditAction.PROMOTION_CANCELLED
        return apply_each(commands, lambda command: self._change(command, action, lambda found: found.cancel(now)))

    @retry_on(TransactionAborted, ConnectionLost)
    def _change(
        self, command: EditPromotion | CancelPromotion, action: AuditAction, change: Callable[[Promotion], None]
    ) -> Promotion:
        """Change a promotion and its products in a transaction of its own."""
        promotion_id = command.promotion_id
        with self._store.begin() as tx:
            # The owner is locked first, as by `create`.
            if (found := tx.promotions.get_many([promotion_id]).get(promotion_id)) is not None:
                tx.accounts.lock([found.seller_id])
            promotion = tx.promotions.lock([promotion_id]).get(promotion_id)
            if promotion is None or not (command.as_staff or command.owner in {None, promotion.seller_id}):
                raise NotFound("promotion", promotion_id)
            if command.expected_version not in {None, promotion.version}:
                raise VersionMismatch(f"Promotion {promotion.id} was edited: its version is {promotion.version} now.")
            before = evolve(promotion)
            items = tx.promotions.lock_products(promotion_id) if promotion.status in OPEN else []
            if any(item.has_begun for item in items):
                # The sweep starts products apart from their promotion, possibly by the clock of another machine.
                promotion.begin(self._clock.now())
            was = _audited(promotion)
            change(promotion)
            if promotion.version != before.version:
                for item in items:
                    item.copy_schedule(promotion)
                if promotion.starts_at < before.starts_at or promotion.ends_at > before.ends_at:
                    _check_overlap(tx, promotion, [item.product_id for item in items if item.status in OPEN])
                tx.promotions.save([promotion])
                tx.promotions.save_products(items)
                if (actor := actor_on(promotion.seller_id, command.owner, command.address)) is not None:
                    after = _audited(promotion)
                    tx.audit.record([actor.entry(action, promotion_id, self._clock.now(), before=was, after=after)])
            return promotion

    @retry_on(TransactionAborted, ConnectionLost)
    def sweep(self, limit: int) -> int:
        """Start and end up to `limit` promotions and as many products of promotions whose time has come.

        Return how many. Several processes may call this at once: each works on other rows. After a crash, the next call
        continues.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            due = tx.promotions.claim_due(now, limit)
            for promotion in due:
                promotion.advance(now)
            tx.promotions.save(due)
            items = tx.promotions.claim_due_products(now, limit)
            if items:
                products = tx.products.lock({item.product_id for item in items})
                opened = min(item.starts_at for item in items) - WINDOW
                history = tx.products.prices_since(products.keys(), opened)
                # An end comes before the start of the following promotion.
                for item in sorted(items, key=lambda item: item.starts_at):
                    item.advance(products[item.product_id], history[item.product_id], now)
                tx.products.save(list(products.values()))
                tx.promotions.save_products(items)
        return len(due) + len(items)


def _create(tx: Transaction, command: CreatePromotion, now: datetime) -> Promotion:
    if tx.promotions.count_open(command.seller) >= MAX_OPEN_PROMOTIONS:
        raise TooManyPromotions(
            f"A seller has at most {MAX_OPEN_PROMOTIONS} promotions that are not over: cancel one first."
        )
    _check_selection(tx, command)
    (promotion_id,) = tx.promotions.next_ids(1)
    promotion = Promotion.announced(
        id=promotion_id,
        seller_id=command.seller,
        name=command.name,
        starts_at=command.starts_at,
        ends_at=command.ends_at,
        now=now,
        percent=command.percent,
        category_id=command.category_id,
        is_all=command.all_products,
    )
    given = command.products
    candidates = tx.promotions.candidates(
        command.seller, MAX_PROMOTED_PRODUCTS + 1, product_ids=given, category_id=command.category_id
    )
    prices = dict.fromkeys(candidates) if given is None else given
    if len(prices) > MAX_PROMOTED_PRODUCTS:
        raise Invalid.field(
            "products",
            f"A promotion has at most {MAX_PROMOTED_PRODUCTS:,} products: create one for each category, or several with"
            " a list of products.",
        )
    products = promote(promotion, candidates, prices)
    promotion.products = len(products)
    _check_overlap(tx, promotion, list(prices))
    tx.promotions.add(promotion, products)
    if (actor := actor_on(promotion.seller_id, command.owner, command.address)) is not None:
        facts = {**_audited(promotion), "percent": promotion.percent, "products": promotion.products}
        tx.audit.record([actor.entry(AuditAction.PROMOTION_CREATED, promotion_id, now, after=facts)])
    return promotion


def _audited(promotion: Promotion) -> Mapping[str, object]:
    """The fields of a promotion in the audit log."""
    return {name: getattr(promotion, name) for name in ("name", "starts_at", "ends_at", "status")}


def _check_selection(tx: Transaction, command: CreatePromotion) -> None:
    chosen = [command.products is not None, command.category_id is not None, command.all_products]
    if sum(chosen) != 1:
        raise Invalid.field("products", "Give one of: products, category_id, or all_products true.")
    if command.category_id is not None and not tx.categories.existing({command.category_id}):
        raise Invalid.field("category_id", "There is no such category.")
    wrong = {
        f"products[{place}].price": [price_range_message(price.currency)]
        for place, price in enumerate((command.products or {}).values())
        if price is not None and not MIN_PRICE <= price.minor <= MAX_PRICE
    }
    if wrong:
        raise Invalid(wrong)


def _check_overlap(tx: Transaction, promotion: Promotion, product_ids: Sequence[ProductId]) -> None:
    """Raise `PromotionsOverlap` if a product is in another promotion at this time."""
    found = tx.promotions.overlapping(product_ids, promotion.starts_at, promotion.ends_at, promotion.id)
    if found:
        other = found[0][1]
        raise PromotionsOverlap([product for product, each in found if each == other], other)
