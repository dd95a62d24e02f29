"""Policy state: what a policy stores about its products between runs, in blocks of some thousand product ids.

A block is loaded, changed and stored as a whole, column by column. One database row per product and epoch would cost
as much as writing the product's price.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from attrs import field, fields, frozen
from numpy.typing import NDArray

from scalecommerce_core.pricing.arrays import Floats, Whole, narrowed
from scalecommerce_core.pricing.view_following import ViewHistory

BLOCK_SIZE: Final = 4_096
"""Products in a new block. A block with more than twice as many is split."""
_FORMAT: Final = 2
_FORMER: Final = 1
"""The format of earlier releases: 8 bytes for each number, 4 for estimates of the anomaly filter."""
REFUNDED_TOTAL: Final = "refunded"
ORDERS_TOTAL: Final = "orders"
NET_UNITS: Final = "net_units"
NET_AMOUNT: Final = "net_amount"
"""Names of running totals among the columns of `PolicyState.baseline`. The first two are totals of the price interval,
the others of the product, as in `Facts`. States of earlier releases lack all but the first, which then is a total of
the product."""
ASSUMED_VIEWS: Final = "assumed_views"
"""Name of the column with the views per day that are assumed for a product whose views are not counted."""
SELLER_PRICE: Final = "seller_price"
"""Name of the column of `Signals.seller_price`."""
WAITING_PRICE: Final = "waiting_price"
"""Name of the column with the price of an epoch whose refunds are awaited (`anomalies`)."""
_EXACT: Final = frozenset({
    REFUNDED_TOTAL, ORDERS_TOTAL, NET_UNITS, NET_AMOUNT, ASSUMED_VIEWS, SELLER_PRICE, WAITING_PRICE,
})  # fmt: skip


@frozen(eq=False)
class PolicyState:
    """One row per product, sorted by id. Times are microseconds since 1970; amounts are minor units.

    `views` and `units` are running totals of the price interval that began at `priced_at`, and `out_of_stock`
    (microseconds) is one of the product, all at the time `seen_at`. `epoch` is the last epoch in which the product was
    decided. `state` holds the columns of the strategy's state, and `baseline` further columns of the engine: those of
    the anomaly filter, further running totals, and the two that are named above. NaN stands for a value that is not
    known; a column without any known value is not stored.
    """

    product: Whole
    category: Whole
    reference: Whole
    price: Whole
    priced_at: Whole
    seen_at: Whole
    epoch: Whole
    views: Whole
    units: Whole
    out_of_stock: Whole
    state: Mapping[str, Floats] = field(factory=dict, kw_only=True)
    baseline: Mapping[str, Floats] = field(factory=dict, kw_only=True)

    def __len__(self) -> int:
        return len(self.product)

    @classmethod
    def empty(cls, columns: Mapping[str, int]) -> Self:
        none = np.empty(0, dtype=np.int64)
        state = {name: np.empty(_shape(0, width)) for name, width in columns.items()}
        return cls(*(none for _ in STATE_FACTS), state=state)

    def fits(self, columns: Mapping[str, int]) -> bool:
        """Whether `state` has exactly these columns."""
        return {name: _width(values) for name, values in self.state.items()} == dict(columns)

    def rows(self, chosen: "slice | Whole | np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "PolicyState":
        return PolicyState(
            *(getattr(self, name)[chosen] for name in STATE_FACTS),
            state={name: values[chosen] for name, values in self.state.items()},
            baseline={name: values[chosen] for name, values in self.baseline.items()},
        )

    def baseline_column(self, name: str) -> Floats:
        """A column of `baseline`; NaN if it is missing."""
        return self.baseline[name] if name in self.baseline else np.full(len(self), np.nan)

    @classmethod
    def concatenate(cls, parts: Sequence["PolicyState"]) -> Self:
        """Merge states that have no product in common and the same columns of the strategy.

        Columns of `baseline` that only some of them have are unknown in the others.
        """
        baseline = dict.fromkeys(name for part in parts for name in part.baseline)
        order = np.argsort(np.concatenate([part.product for part in parts]), kind="stable")
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts])[order] for name in STATE_FACTS),
            state={name: np.concatenate([part.state[name] for part in parts])[order] for name in parts[-1].state},
            baseline={name: np.concatenate([part.baseline_column(name) for part in parts])[order] for name in baseline},
        )

    def updated_with(self, other: "PolicyState") -> "PolicyState":
        """Merge with `other`, whose rows replace those of the same products."""
        if np.array_equal(self.product, other.product):
            return other
        return PolicyState.concatenate([self.rows(~np.isin(self.product, other.product)), other])

    def for_products(self, products: Whole) -> "PolicyState":
        """The rows of these products (sorted ids); products without a row are left out."""
        if not len(products):
            return self.rows(slice(0, 0))
        near = self.rows(
            slice(
                int(np.searchsorted(self.product, products[0])),
                int(np.searchsorted(self.product, products[-1], side="right")),
            )
        )
        return near.rows(np.isin(near.product, products))

    def to_bytes(self) -> bytes:
        """Serialize: a line of JSON that names the columns and their types, then the columns, little-endian.

        Each column has the narrowest type that represents its values exactly, and a column with one value only is
        stored as this value.
        """
        baseline = {name: values for name, values in self.baseline.items() if not np.isnan(values).all()}
        columns: list[NDArray[Any]] = [getattr(self, name) for name in STATE_FACTS]
        columns += self.state.values()
        columns += [values.astype(_baseline_type(name)) for name, values in baseline.items()]
        stored = [narrowed(_single(values)) for values in columns]
        head = {
            "format": _FORMAT,
            "rows": len(self),
            "state": {name: _width(values) for name, values in self.state.items()},
            "baseline": [*baseline],
            "types": [[values.dtype.str, len(values)] for values in stored],
        }
        return json.dumps(head).encode() + b"\n" + b"".join(values.tobytes() for values in stored)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Inverse of `to_bytes`. Raise `ValueError` for an unknown format version."""
        end = stored.index(b"\n")
        head = json.loads(stored[:end])
        if head["format"] not in {_FORMAT, _FORMER}:
            raise ValueError(f"Policy state has format {head['format']}; this release reads formats up to {_FORMAT}.")
        rows, widths, baseline = head["rows"], head["state"], head.get("baseline", ())
        kinds = head["types"] if head["format"] == _FORMAT else _former_types(rows, widths, baseline)
        given, at = iter(kinds), end + 1

        def column(kind: type[np.int64] | type[np.float64], width: int = 1) -> NDArray[Any]:
            nonlocal at
            stored_as, count = next(given)
            values = np.frombuffer(stored, stored_as, count * width, at)
            at += values.nbytes
            shape = _shape(rows, width)
            whole = np.empty(shape, dtype=kind)
            whole[:] = values.reshape(_shape(count, width))
            return whole

        facts = [column(np.int64) for _ in STATE_FACTS]
        state = {name: column(np.float64, width) for name, width in widths.items()}
        own = {name: column(np.float64) for name in baseline}
        return cls(*facts, state=state, baseline=own | _former_view_history(state))


STATE_FACTS: Final = tuple(
    attribute.name for attribute in fields(PolicyState) if attribute.name not in {"state", "baseline"}
)


def _baseline_type(name: str) -> str:
    """Running totals and amounts need all digits; the estimates of the anomaly filter do not."""
    return "<f8" if name in _EXACT else "<f4"


def _former_types(rows: int, widths: Mapping[str, int], baseline: Sequence[str]) -> list[tuple[str, int]]:
    kinds = ["<i8"] * len(STATE_FACTS) + ["<f8"] * len(widths) + [_baseline_type(name) for name in baseline]
    return [(kind, rows) for kind in kinds]


def _former_view_history(state: dict[str, Floats]) -> dict[str, Floats]:
    """Remove the statistics of views, which were columns of strategies before, and return them."""
    if not {"view_means", "view_sums"} <= state.keys():
        return {}
    columns = (*state.pop("view_means").T, *state.pop("view_sums").T)
    return dict(zip(ViewHistory._fields, columns, strict=True))


def _single(values: NDArray[Any]) -> NDArray[Any]:
    """The first row if all rows are equal, else all."""
    if len(values) > 1 and np.array_equal(values[1:8], np.broadcast_to(values[0], values[1:8].shape)):
        equal = values == values[0]
        return values[:1] if equal.all() else values
    return values


def _width(values: Floats) -> int:
    return values.shape[1] if values.ndim > 1 else 1


def _shape(rows: int, width: int) -> tuple[int, ...]:
    return (rows,) if width == 1 else (rows, width)


@frozen
class StateBlockRange:
    """A range of product ids within one block; `block` is the first id of the block."""

    block: int
    first: int
    last: int
    products: int


def split_into_ranges(products: Whole, blocks: Sequence[int], size: int = BLOCK_SIZE) -> list[StateBlockRange]:
    """Divide products (sorted ids) into ranges by block; blocks that are too large are split into new ones.

    `blocks` holds the first ids of the existing blocks, in order. Products before the first block belong to it.
    """
    if not len(products):
        return []
    starts = np.array(blocks if len(blocks) else [int(products[0])], dtype=np.int64)
    block = np.maximum(np.searchsorted(starts, products, side="right") - 1, 0)
    parts = []
    cuts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(products)]
    for begin, end in itertools.pairwise(cuts):
        name = int(starts[block[begin]])
        count = end - begin
        pieces = [begin, end] if count <= 2 * size else [*range(begin, end - size // 2, size), end]
        for number, (a, b) in enumerate(itertools.pairwise(pieces)):
            first = int(products[a])
            parts.append(StateBlockRange(first if number else name, first, int(products[b - 1]), b - a))
    return parts
