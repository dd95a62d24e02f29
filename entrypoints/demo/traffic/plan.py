"""The plan of the simulated visitors, passed as text to the process that runs them."""

import json
from collections.abc import Sequence
from typing import Self

from attrs import asdict, field, frozen

from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, Demand


@frozen
class TrafficPlan:
    """Product ids by the keys of `DEMO_PRODUCTS`, and the accounts that buy, which have the same `password`."""

    products: dict[str, int]
    buyers: Sequence[str]
    password: str = field(repr=False)

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        return cls(**json.loads(text))

    @property
    def demands(self) -> list[tuple[int, Demand]]:
        """(product id, demand) of each demo product."""
        return [
            (self.products[product.key], product.demand) for product in DEMO_PRODUCTS if product.key in self.products
        ]
