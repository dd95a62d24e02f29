"""Decisions: proposed prices, prices after the guardrails, and sentences that explain them to sellers."""

from typing import Final

import numpy as np
from attrs import field, frozen

from scalecommerce_core.domain.currencies import DEFAULT_MINOR_PER_UNIT
from scalecommerce_core.domain.identifiers import PolicyId, ProductId
from scalecommerce_core.domain.money import unit_text
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrail, apply_guardrails, guardrail_names
from scalecommerce_core.pricing.interface import MOTIVES, Motive, PricingStrategy, State
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.pricing.strategy_calls import call_propose

_WHY: Final = {
    Motive.OTHER: "the strategy proposes this price",
    Motive.HOLD: "there is no reason for another price",
    Motive.WAITING: "too few buyers have seen this price yet",
    Motive.PROFIT_ROSE: "profit per view rose after the last change",
    Motive.PROFIT_FELL: "profit per view fell after the last change",
    Motive.STOCK_SHORT: "the stock would sell out too soon",
    Motive.STOCK_LONG: "the stock would last longer than needed",
    Motive.DEMAND_ABOVE: "sales are clearly above your target",
    Motive.DEMAND_BELOW: "sales are clearly below your target",
    Motive.LEARNED: "past sales at other prices indicate that this price earns most",
    Motive.TRYING: "sales at other prices are needed to estimate demand",
    Motive.NO_PRICE: "the strategy proposed no price",
    Motive.NOT_BETTER: "no other price is likely to earn more",
    Motive.COMPETITOR: "a price below the competitor's earns more than a higher one",
    Motive.UNUSABLE_PRICE: "the strategy proposed a price that is infinite, zero or negative",
    Motive.OWN_PRICE: "an experiment returns this product to your own price, to compare",
}
_HELD: Final = {
    Guardrail.HOLD_OUT: "an experiment compares the policy with your own prices, and this product keeps yours",
    Guardrail.FEW_VIEWS: "too few people have viewed the product",
    Guardrail.SHORT_HISTORY: "the product is too new",
    Guardrail.OUT_OF_STOCK: "the product is out of stock, so its sales say nothing about its price",
    Guardrail.MANUAL_EDIT: "you set this price yourself",
    Guardrail.PROMOTION: "a promotion is running",
    Guardrail.ANOMALY_HOLD: "views, sales or refunds jumped by more than a change of the price explains",
    Guardrail.BEFORE_PROMOTION: "a lower price before the announced promotion would lower its prior price",
    Guardrail.MIN_HOLD: "the marketplace keeps each price of this category for a minimum time",
    Guardrail.COOLDOWN: "the price changed recently",
    Guardrail.DEAD_BAND: "the change would be too small to matter",
    Guardrail.BREAKER: "the circuit breaker limited this run, and no smaller change of this price is possible",
}
_BOUNDED: Final = {
    Guardrail.FLOOR: "the lowest price that your limits and costs allow",
    Guardrail.CEILING: "the highest price that your limits and the usual price allow",
    Guardrail.STEP: "the largest step",
    Guardrail.DAY_LIMIT: "the largest change in a day",
    Guardrail.MONTH_LIMIT: "the largest change in 30 days",
    Guardrail.ENDING: "the price ending",
    Guardrail.BREAKER: "the circuit breaker, because the run would have changed prices by too much on the whole",
}


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
    def sentence(self) -> str:
        """A sentence for the seller: the price change and its reason."""
        if not self.moves:
            return f"Kept at {unit_text(self.old, self.minor_per_unit)}: {self.reason}."
        verb = "Raised" if self.new > self.old else "Lowered"
        by = abs(self.new - self.old) / self.old
        return f"{verb} by {by:.1%} to {unit_text(self.new, self.minor_per_unit)}: {self.reason}."

    @property
    def reason(self) -> str:
        """The reason in `sentence`."""
        why, acted = _WHY[self.motive], {Guardrail[name.upper()] for name in self.guardrails}
        if not self.moves:
            held = next((said for rail, said in _HELD.items() if rail in acted), None)
            return held or next((f"limited by {said}" for rail, said in _BOUNDED.items() if rail in acted), why)
        limits = " and ".join(said for rail, said in _BOUNDED.items() if rail in acted)
        return f"{why}; limited by {limits}" if limits else why


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
