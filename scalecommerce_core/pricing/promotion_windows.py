"""The times of announced promotions of products, and what they mean for facts and price intervals."""

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Whole
from scalecommerce_core.pricing.facts import PROMOTED_SHARE, last_rows


@frozen(eq=False)
class PromotionWindows:
    """Announced promotions that were not cancelled, sorted by product and start. Microseconds since 1970."""

    product: Whole
    starts_at: Whole
    ends_at: Whole

    def __len__(self) -> int:
        return len(self.product)

    def facts(self, product: Whole, now: int) -> dict[str, Whole]:
        """The columns of `Facts` about promotions, for products in the order of their ids."""
        found = {
            name: np.full(len(product), -1, dtype=np.int64)
            for name in ("promoted_from", "promoted_until", "next_promotion")
        }
        if not len(self) or not len(product):
            return found
        row = np.minimum(np.searchsorted(product, self.product), len(product) - 1)
        mine = product[row] == self.product
        # Rows are sorted by start, and the last assignment to an element stays.
        begun = mine & (self.starts_at <= now)
        found["promoted_from"][row[begun]] = self.starts_at[begun]
        found["promoted_until"][row[begun]] = self.ends_at[begun]
        later = np.flatnonzero(mine & (self.starts_at > now))[::-1]
        found["next_promotion"][row[later]] = self.starts_at[later]
        return found

    def promoted(self, product: Whole, valid_from: Whole) -> Flags:
        """Whether price intervals, sorted by product and beginning, are of a promotion.

        An interval is, if promotions overlap more than `PROMOTED_SHARE` of it; the last one of a product, which has no
        end yet, if it began in a promotion.
        """
        if not len(self) or not len(product):
            return np.zeros(len(product), dtype=np.bool_)
        ends = np.where(last_rows(product), valid_from + 1, np.append(valid_from[1:], 0))
        shared = self._promoted_until(product, ends) - self._promoted_until(product, valid_from)
        return shared > PROMOTED_SHARE * (ends - valid_from)

    def _promoted_until(self, product: Whole, moments: Whole) -> Whole:
        """How long each product was in promotions until a moment. A product is in one promotion at a time."""
        length = self.ends_at - self.starts_at
        earlier = np.cumsum(length) - length
        # Windows and moments in order of product and time: the number of windows before each moment.
        order = np.lexsort(
            (
                np.append(np.zeros(len(self)), np.ones(len(product))),
                np.append(self.starts_at, moments),
                np.append(self.product, product),
            )
        )
        begun = np.empty(len(order), dtype=np.int64)
        begun[order] = np.cumsum(order < len(self))
        last = begun[len(self) :] - 1
        mine = (last >= 0) & (self.product[last] == product)
        first = np.minimum(np.searchsorted(self.product, product), len(self) - 1)
        running = np.minimum(moments, self.ends_at[last]) - self.starts_at[last]
        return np.where(mine, earlier[last] - earlier[first] + running, 0)
