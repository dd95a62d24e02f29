"""The one interface that every pricing policy has, and the register in which a policy is found by its name.

A policy is a frozen attrs class whose fields are its parameters:

    @register
    @frozen
    class Markup(Stateless):
        name: ClassVar = "markup"
        share: float = parameter(0.4, at_least=0, at_most=5, says="Share of the cost that is added to it.")

        def propose(self, state, signals, epoch):
            return Proposal(signals.full_cost() * (1 + self.share))

Guardrails come after it: a policy proposes freely, and nothing that it proposes is dangerous.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from math import isnan
from sys import float_info
from typing import Any, ClassVar, Final, Protocol, TypeVar, runtime_checkable

import numpy as np
from attrs import NOTHING, Attribute, field, fields, frozen

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.signals import Signals


class Motive(StrEnum):
    """Why a policy wants a price; a seller reads its sentence."""

    OTHER = "other"
    HOLD = "hold"
    WAITING = "waiting"
    PROFIT_ROSE = "profit_rose"
    PROFIT_FELL = "profit_fell"
    STOCK_SHORT = "stock_short"
    STOCK_LONG = "stock_long"
    DEMAND_ABOVE = "demand_above"
    DEMAND_BELOW = "demand_below"
    LEARNED = "learned"
    TRYING = "trying"
    NO_PRICE = "no_price"
    """Set by the engine when the policy returned NaN without a motive."""
    UNUSABLE_PRICE = "unusable_price"
    """Set by the engine when the policy's price was infinite or not positive."""


MOTIVES: Final = tuple(Motive)
"""A motive is stored as its place in this order: append, never insert."""


@frozen(eq=False)
class State:
    """What a policy remembers: arrays with a row per product, and per group of products. Treat them as immutable."""

    products: Mapping[str, Floats] = field(factory=dict)
    groups: Mapping[str, Floats] = field(factory=dict)

    def rows(self, chosen: slice | Whole | Flags) -> "State":
        """Of some products; the groups stay as they are."""
        return State({name: column[chosen] for name, column in self.products.items()}, self.groups)


@frozen(eq=False)
class Proposal:
    """Prices in minor units, not yet rounded; NaN leaves the price as it is. `motive` numbers `MOTIVES`.

    NaN without a motive, and prices that are infinite, zero or negative, are reported as faults of the policy; these
    products keep their prices.
    """

    prices: Floats
    motive: Whole | None = None


@runtime_checkable
class PricingStrategy(Protocol):
    """Methods are pure: equal arguments, equal answers; arguments are not changed. Arrays have a row per product."""

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, int]]
    """What it remembers of a product: names, and how many floats each has. Stored with the product."""

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        """The state of products that are seen for the first time; `groups` is what is known of the groups, or empty.

        The answer's groups replace them: they have grown where a product brings a group of its own.
        """
        ...

    def update(self, state: State, signals: Signals) -> State:
        """Learn from an epoch that has ended: `signals.price` was in force."""
        ...

    def pool(self, state: State, signals: Signals) -> State:
        """Learn across products of a group; called every few epochs with all of them. Most return `state`."""
        ...

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        """Prices for the epoch that begins; `epoch` numbers it, for policies that vary prices on purpose."""
        ...


@frozen
class Stateless:
    """What a policy that remembers nothing has beside its name, its parameters and `propose`."""

    columns: ClassVar[Mapping[str, int]] = {}

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        del signals, groups
        return State()

    def update(self, state: State, signals: Signals) -> State:
        del signals
        return state

    def pool(self, state: State, signals: Signals) -> State:
        del signals
        return state


def parameter(
    default: Any,
    *,
    says: str,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] = (),
    longest: int = 20,
) -> Any:
    """A parameter of a policy: its default says its type (a whole number, a number, a word, yes or no, prices), and an
    annotation with `float` that a whole default is not meant to be the only kind.
    """
    rule = {"at_least": at_least, "at_most": at_most, "says": says, "choices": tuple(choices), "longest": longest}
    return field(default=default, metadata={"rule": rule}, kw_only=True)


def build(cls: type[Any], values: Mapping[str, Any], *, within: str = "") -> Any:
    """An instance of `cls` with these parameters; raise `Invalid` naming each wrong one, prefixed by `within`."""
    known = {attribute.name: attribute for attribute in fields(cls) if "rule" in attribute.metadata}
    errors = {f"{within}{name}": ["There is no such parameter."] for name in values.keys() - known.keys()}
    clean = {}
    for name in known.keys() & values.keys():
        clean[name], said = _checked(known[name], values[name])
        if said:
            errors[f"{within}{name}"] = [said]
    if errors:
        raise Invalid(dict(sorted(errors.items())))
    try:
        return cls(**clean)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the class may be a user's, with validation of its own
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise Invalid.field(within.rstrip(".") or "parameters", f"{kind}{one_line_message(error)}") from error


MESSAGE_LENGTH: Final = 300
_UNSTORABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates."""


def one_line_message(error: BaseException) -> str:
    """The message of an error of a user's code in one line of bounded length that PostgreSQL and JSON accept."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - `__str__` is user code as well
        return "(an error without a message)"
    if len(said) > MESSAGE_LENGTH:
        said = f"{said[:MESSAGE_LENGTH]}…"
    return _UNSTORABLE.sub(lambda found: " " if found.group().isspace() else "\ufffd", said)


def parameter_values(instance: Any) -> dict[str, Any]:
    """All parameters of a policy or of guardrails as JSON has them; `built` reads them back."""
    return {
        attribute.name: list(value) if isinstance(value, tuple) else value
        for attribute in fields(type(instance))
        if "rule" in attribute.metadata
        for value in [getattr(instance, attribute.name)]
    }


def _checked(attribute: "Attribute[Any]", value: Any) -> tuple[Any, str]:
    """The value in its proper type, and what is wrong with it."""
    rule, default = attribute.metadata["rule"], attribute.default
    if isinstance(default, bool):
        return value, "" if isinstance(value, bool) else "This is true or false."
    if isinstance(default, str):
        return value, "" if value in rule["choices"] else f"This is one of {', '.join(rule['choices'])}."
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple):
            return value, "A list of numbers is wanted."
        if len(value) > rule["longest"]:
            return value, f"At most {rule['longest']} are allowed."
        said = [_number(item, rule, whole=True) for item in value]
        return tuple(value), next(filter(None, said), "")
    whole = isinstance(default, int) and attribute.type not in {float, "float"}
    said_of_it = _number(value, rule, whole=whole)
    return value if said_of_it or whole else float(value), said_of_it


def _number(value: Any, rule: Mapping[str, Any], *, whole: bool) -> str:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return "A whole number is wanted." if whole else "A number is wanted."
    low, high = rule["at_least"], rule["at_most"]
    # An int may be beyond the range of floats: compared, but not turned into one.
    finite = whole or abs(value) <= float_info.max
    if not finite or (low is not None and value < low) or (high is not None and value > high):
        return "A finite number is wanted." if low is None and high is None else f"This lies between {low} and {high}."
    return ""


_REGISTER: Final[dict[str, type[Any]]] = {}
_NAME: Final = re.compile("[a-z][a-z0-9_]{0,49}")
"""Names of policies and parameters that the HTTP API accepts."""
RENAMED: Final[Mapping[str, str]] = {"learning": "elasticity_learning"}
"""Former names of strategies and their current names. Stored policies and runs may have a former name."""
_RESERVED: Final = ("static", *RENAMED)
"""`static` names fixed prices in `simulate`; a former name would be read as the strategy that had it."""
_P = TypeVar("_P", bound=type[Any])


def register(cls: _P) -> _P:
    """Class decorator: register a policy by its name, which must be unique.

    Raise `TypeError` for a class that is not a policy, or whose parameters could not be set over HTTP, and
    `ValueError` for a name that another class has.
    """
    if "__attrs_attrs__" not in vars(cls):
        raise TypeError(f"{cls.__name__} is no attrs class: put @register above @frozen.")
    missing = [part for part in ("name", "columns", "start", "update", "pool", "propose") if not hasattr(cls, part)]
    if missing:
        raise TypeError(f"{cls.__name__} lacks {', '.join(missing)}.")
    if not isinstance(cls.name, str) or not _NAME.fullmatch(cls.name) or cls.name in _RESERVED:
        raise TypeError(
            f"{cls.__name__} is named {cls.name!r}: a policy's name has at most 50 lower-case letters, digits and _,"
            f" begins with a letter, and is not {' or '.join(map(repr, _RESERVED))}."
        )
    for attribute in fields(cls):
        if "rule" in attribute.metadata and not _NAME.fullmatch(attribute.name):
            raise TypeError(
                f"{cls.__name__}.{attribute.name}: a parameter's name has at most 50 lower-case letters, digits and _."
            )
        if "rule" not in attribute.metadata and attribute.default is NOTHING:
            raise TypeError(f"{cls.__name__}.{attribute.name} has no default: declare it with parameter(default, …).")
        if "rule" in attribute.metadata and (said := _declaration_error(attribute)):
            raise TypeError(f"{cls.__name__}.{attribute.name}: {said}")
    if not _are_columns(cls.columns):
        raise TypeError(f"{cls.__name__}.columns names each column and how many floats it has, as {{'epochs': 1}}.")
    known = _REGISTER.setdefault(cls.name, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"There is a policy {cls.name!r} already: {known.__module__}.{known.__qualname__}.")
    _REGISTER[cls.name] = cls
    return cls


def _declaration_error(attribute: "Attribute[Any]") -> str:
    """What is wrong with the default or the bounds of a parameter, which must be valid JSON; empty if nothing is."""
    rule, default = attribute.metadata["rule"], attribute.default
    bounds = [bound for bound in (rule["at_least"], rule["at_most"]) if bound is not None]
    if any(type(bound) not in {int, float} or isnan(bound) for bound in bounds):
        return "its bounds must be numbers (int or float)."
    if type(default) not in {bool, int, float, str, tuple}:
        return f"its default {default!r} must be a bool, an int, a float, a str or a tuple of int."
    _, said = _checked(attribute, default)
    return f"its default {default!r} is not valid: {said}" if said else ""


def _are_columns(columns: Any) -> bool:
    return isinstance(columns, Mapping) and all(
        isinstance(name, str) and type(width) is int and width > 0 for name, width in columns.items()
    )


@contextmanager
def atomic_registration() -> Iterator[None]:
    """Unregister the policies that the block registered if it raises."""
    before = dict(_REGISTER)
    try:
        yield
    except BaseException:
        _REGISTER.clear()
        _REGISTER.update(before)
        raise


def registered_strategies() -> Mapping[str, type[Any]]:
    """Registered strategies by their current name, sorted by name."""
    return dict(sorted(_REGISTER.items()))


def current_name(name: str) -> str:
    """The current name of a strategy; `name` itself unless the strategy was renamed (`RENAMED`)."""
    return RENAMED.get(name, name)


def known_strategies() -> frozenset[str]:
    """Names of registered strategies, former names included: `policy` of a stored document may be any of them."""
    return frozenset(_REGISTER) | {old for old, new in RENAMED.items() if new in _REGISTER}


def motive_column(motive: Motive, size: int) -> Whole:
    return np.full(size, MOTIVES.index(motive), dtype=np.int64)


def select_motives(usual: Motive | Whole, *others: tuple[Flags, Motive]) -> Whole:
    """Motives by case; of the cases that hold, the last one counts."""
    motive = MOTIVES.index(usual) if isinstance(usual, Motive) else usual
    for holds, other in others:
        motive = np.where(holds, MOTIVES.index(other), motive)
    return np.asarray(motive, dtype=np.int64)
