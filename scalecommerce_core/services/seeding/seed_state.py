"""The results and errors of seeding."""

from collections.abc import Mapping

from attrs import field, frozen

from scalecommerce_core.domain.errors import Conflict, Refused
from scalecommerce_core.domain.order import OrderStatus


class AlreadySeeded(Conflict):
    """The step was run with this seed before; another seed adds more data."""

    code = "already_seeded"

    def __init__(self, step: str, rng_seed: int) -> None:
        super().__init__(f"Seed {rng_seed} was used for {step} here before: choose another one to add more.")
        self.step = step
        self.rng_seed = rng_seed


class NothingToSeedOn(Refused):
    """The step needs data that another step makes; the message names it."""

    code = "nothing_to_seed_on"


@frozen
class Seeded:
    """How many rows of each kind were made."""

    users: int = 0
    categories: int = 0
    products: int = 0
    price_changes: int = 0
    policies: int = 0
    orders: int = 0
    order_lines: int = 0
    refunds: int = 0
    stock_movements: int = 0
    orders_by_status: Mapping[OrderStatus, int] = field(factory=dict)

    @property
    def rows(self) -> int:
        """All rows; a product counts twice, because of its stock."""
        return (
            self.users + self.categories + 2 * self.products + self.price_changes + self.policies + self.orders
            + self.order_lines + self.refunds + self.stock_movements
        )  # fmt: skip

    def __add__(self, other: "Seeded") -> "Seeded":
        return Seeded(
            self.users + other.users,
            self.categories + other.categories,
            self.products + other.products,
            self.price_changes + other.price_changes,
            self.policies + other.policies,
            self.orders + other.orders,
            self.order_lines + other.order_lines,
            self.refunds + other.refunds,
            self.stock_movements + other.stock_movements,
            {
                status: total
                for status in OrderStatus
                if (total := self.orders_by_status.get(status, 0) + other.orders_by_status.get(status, 0))
            },
        )
