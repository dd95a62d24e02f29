"""User-defined strategies: a valid one, and factories for faulty ones."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing import interface
from scalecommerce_core.pricing.interface import Proposal, State, Stateless, parameter, register


@contextmanager
def temporarily_registered(*policies: type[Any]) -> Iterator[None]:
    """Register the strategies, and restore the register afterwards."""
    before = dict(interface._REGISTER)
    try:
        for policy in policies:
            register(policy)
        yield
    finally:
        interface._REGISTER.clear()
        interface._REGISTER.update(before)


@frozen
class Markup(Stateless):
    """Cost plus a share of the cost."""

    name: ClassVar[str] = "markup"
    share: float = parameter(0.4, at_least=0, at_most=5, says="Share of the cost that is added to it.")

    def propose(self, state: State, signals: Any, epoch: int) -> Proposal:
        del state, epoch
        return Proposal(signals.full_cost() * (1 + self.share))


def proposing(propose: Callable[..., Any], name: str = "faulty") -> type[Any]:
    """A stateless strategy that calls `propose(signals)`."""
    body = {"name": name, "propose": lambda _self, _state, signals, _epoch: propose(signals)}
    return frozen(type("Faulty", (Stateless,), body))


@frozen
class Remembering:
    """A strategy that counts epochs. `broken` maps the name of a method to a function that replaces its result."""

    name: ClassVar[str] = "remembering"
    columns: ClassVar[Mapping[str, int]] = {"epochs": 1, "arms": 3}
    broken: ClassVar[dict[str, Callable[..., Any]]] = {}

    def start(self, signals: Any, groups: Mapping[str, Any]) -> Any:
        size = int(signals.group.max(initial=-1)) + 1
        level = np.concatenate([groups.get("level", np.zeros(0)), np.ones(size)])[
            : max(size, len(groups.get("level", [])))
        ]
        return self._or(
            "start", State({"epochs": np.zeros(len(signals)), "arms": np.zeros((len(signals), 3))}, {"level": level})
        )

    def update(self, state: State, signals: Any) -> Any:
        del signals
        return self._or("update", State({**state.products, "epochs": state.products["epochs"] + 1}, state.groups))

    def pool(self, state: State, signals: Any) -> Any:
        del signals
        return self._or("pool", state)

    def propose(self, state: State, signals: Any, epoch: int) -> Any:
        del state, epoch
        return self._or("propose", Proposal(signals.price * 1.04))

    def _or(self, method: str, answer: Any) -> Any:
        return self.broken[method](answer) if method in self.broken else answer
