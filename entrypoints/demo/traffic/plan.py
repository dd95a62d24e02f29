"""Who visits the demo, and what they look at: made when the demo is, told to the process that visits."""

import json
from collections.abc import Sequence
from typing import Self

from attrs import asdict, field, frozen

from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, Demand


@frozen
class TrafficPlan:
    """Product ids by the keys of `WARES`, and the accounts that buy; all log in with `password`."""

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
        return [
            (self.products[product.key], product.demand) for product in DEMO_PRODUCTS if product.key in self.products
        ]
