"""Decisions: proposed prices, prices after the guardrails, and sentences that explain them to sellers."""

from typing import Final

import numpy as np
from attrs import field, frozen

from scalecommerce_core.domain.currencies import DEFAULT_MINOR_PER_UNIT
from scalecommerce_core.domain.identifiers import PolicyId, ProductId
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrail, apply_guardrails, guardrail_names
from scalecommerce_core.pricing.interface import MOTIVES, Motive, PricingStrategy, State
from scalecommerce_core.pricing.messages import Amount, Message, Share, Templates
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.pricing.strategy_calls import call_propose

MOTIVE_MESSAGES: Final = Templates(
    "motive",
    {
        "other": "the strategy proposes this price",
        "hold": "there is no reason for another price",
        "waiting": "there is not enough demand data at this price yet",
        "profit_rose": "profit per view rose after the last change",
        "profit_fell": "profit per view fell after the last change",
        "stock_short": "the stock would sell out too soon",
        "stock_long": "the stock would last longer than needed",
        "demand_above": "sales are clearly above your target",
        "demand_below": "sales are clearly below your target",
        "learned": "past sales at other prices indicate that this price earns most",
        "trying": "sales at other prices are needed to estimate demand",
        "no_price": "the strategy proposed no price",
        "not_better": "no other price is likely to earn more",
        "competitor": "a price below the competitor's earns more than a higher one",
        "unusable_price": "the strategy proposed a price that is infinite, zero or negative",
        "own_price": "an experiment returns this product to your own price, to compare",
    },
)
HELD_MESSAGES: Final = Templates(
    "held",
    {
        "hold_out": "an experiment compares the policy with your own prices, and this product keeps yours",
        "few_views": "too few people have viewed the product",
        "short_history": "the product is too new",
        "out_of_stock": "the product is out of stock, so its sales say nothing about its price",
        "manual_edit": "you set this price yourself",
        "promotion": "a promotion is running",
        "anomaly_hold": "views, sales or refunds jumped by more than a change of the price explains",
        "before_promotion": "a lower price before the announced promotion would lower its prior price",
        "min_hold": "the marketplace keeps each price of this category for a minimum time",
        "cooldown": "the price changed recently",
        "dead_band": "the change would be too small to matter",
        "breaker": "the circuit breaker limited this run, and no smaller change of this price is possible",
    },
)
LIMIT_MESSAGES: Final = Templates(
    "limit",
    {
        "floor": "limited by the lowest price that your limits and costs allow",
        "ceiling": "limited by the highest price that your limits and the usual price allow",
        "step": "limited by the largest step",
        "day_limit": "limited by the largest change in a day",
        "month_limit": "limited by the largest change in 30 days",
        "ending": "limited by the price ending",
        "breaker": "limited by the circuit breaker, because the run would have changed prices by too much on the whole",
    },
)
"""Guardrails that change a price. Of those that keep it, `HELD_MESSAGES` has the reasons."""
CHANGE_MESSAGES: Final = Templates(
    "decision",
    {
        "kept": "Kept at {price}",
        "raised": "Raised by {share} to {price}",
        "lowered": "Lowered by {share} to {price}",
    },
)
_LIMITED: Final = "limited by "


@frozen
class Decision:
    """Decision about one product. Amounts are in minor units; `new` equals `old` if the price is kept."""

    product_id: ProductId
    policy_id: PolicyId
    policy_version: int
    epoch: int
    old: int
    new: int
    wanted: int | None
    """Price proposed by the strategy, before the guardrails; None: no proposal."""
    motive: Motive
    guardrails: tuple[str, ...]
    """Names of the guardrails that acted, in their order."""
    minor_per_unit: int = DEFAULT_MINOR_PER_UNIT
    """Minor units in one whole unit of the product's currency."""

    @property
    def moves(self) -> bool:
        return self.new != self.old

    @property
    def change(self) -> Message:
        """The new price."""
        price = Amount(self.new, self.minor_per_unit)
        if not self.moves:
            return CHANGE_MESSAGES.message("kept", price=price)
        share = Share(abs(self.new - self.old) / self.old)
        return CHANGE_MESSAGES.message("raised" if self.new > self.old else "lowered", share=share, price=price)

    @property
    def causes(self) -> tuple[Message, ...]:
        """Why the price is kept or changed, the main reason first."""
        why = MOTIVE_MESSAGES.message(self.motive.value)
        acted = set(self.guardrails)
        limits = [LIMIT_MESSAGES.message(name) for name in LIMIT_MESSAGES.templates if name in acted]
        if self.moves:
            return (why, *limits)
        held = [HELD_MESSAGES.message(name) for name in HELD_MESSAGES.templates if name in acted]
        return ((held or limits or [why])[0],)

    @property
    def sentence(self) -> str:
        """A sentence for the seller: the price change and its reason."""
        return f"{self.change.text}: {self.reason}."

    @property
    def reason(self) -> str:
        """The reason in `sentence`."""
        first, *limits = (message.text for message in self.causes)
        if not limits:
            return first
        return f"{first}; {_LIMITED}{' and '.join(limit.removeprefix(_LIMITED) for limit in limits)}"


@frozen(eq=False)
class Decisions:
    """Decisions of one policy in one epoch; arrays with an element per product, in the order of the signals."""

    policy_id: PolicyId
    policy_version: int
    epoch: int
    product: Whole
    old: Whole
    new: Whole
    wanted: Floats = field(repr=False)
    """Proposed prices in minor units; NaN: no proposal."""
    motive: Whole = field(repr=False)
    guardrails: Whole = field(repr=False)
    """Flags of `Guardrail` that acted."""
    minor_per_unit: Whole = field(repr=False)
    """Minor units in one whole unit of each product's currency."""

    def __len__(self) -> int:
        return len(self.product)

    @property
    def moves(self) -> Flags:
        return np.not_equal(self.new, self.old)

    def __getitem__(self, row: int) -> Decision:
        wanted = float(self.wanted[row])
        return Decision(
            product_id=ProductId(int(self.product[row])),
            policy_id=self.policy_id,
            policy_version=self.policy_version,
            epoch=self.epoch,
            old=int(self.old[row]),
            new=int(self.new[row]),
            wanted=round(wanted) if np.isfinite(wanted) else None,
            motive=MOTIVES[int(self.motive[row])],
            guardrails=guardrail_names(int(self.guardrails[row])),
            minor_per_unit=int(self.minor_per_unit[row]),
        )


def decide(
    policy: PricingPolicy, state: State, signals: Signals, epoch: int, *, strategy: PricingStrategy | None = None
) -> Decisions:
    """Decide prices from signals and a `state` that was updated with the same signals.

    A pure function: equal arguments give equal decisions, bit for bit, and the decision about a product does not depend
    on other products in the batch. `strategy` avoids building the policy's strategy for each batch. Raise
    `StrategyFailed` if the strategy fails, and `Invalid` if it cannot be built.

    A product that an experiment holds out returns to the seller's own price within the guardrails, and stays there.
    """
    wanted = call_propose(strategy or policy.strategy(), state, signals, epoch)
    prices, motive = wanted.prices, wanted.motive
    held_out = signals.held_out_price > 0
    if held_out.any():
        own = np.where(signals.held_out_price == signals.price, np.nan, signals.held_out_price)
        prices = np.where(held_out, own, prices)
        motive = np.where(held_out, MOTIVES.index(Motive.OWN_PRICE), motive)
    new, acted = apply_guardrails(prices, signals, policy.guardrails, epoch_days=policy.epoch_days)
    acted |= np.where(held_out, Guardrail.HOLD_OUT.value, 0)
    made = signals.product, signals.price, new, prices, motive, acted, signals.minor_per_unit
    return Decisions(policy.id, policy.version, epoch, *made)
