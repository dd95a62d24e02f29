"""The interface of pricing strategies, and the register of strategies by name.

A strategy is a frozen attrs class whose fields are its parameters:

    @register
    @frozen
    class Markup(Stateless):
        name: ClassVar = "markup"
        share: float = parameter(0.4, at_least=0, at_most=5, says="Share of the cost that is added to it.")

        def propose(self, state, signals, epoch):
            return Proposal(signals.full_cost() * (1 + self.share))

Guardrails limit every proposal, so a strategy need not check limits itself.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from math import isnan
from sys import float_info
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from attrs import NOTHING, Attribute, field, fields, frozen

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.signals import Signals


class Motive(StrEnum):
    """Why a strategy proposes a price; `decisions` has a sentence for each."""

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
    """Set by the engine if the strategy returns NaN without a motive."""
    UNUSABLE_PRICE = "unusable_price"
    """Set by the engine if the proposed price is infinite or not positive."""
    OWN_PRICE = "own_price"
    """Set by the engine if an experiment returns the product to the seller's own price."""
    NOT_BETTER = "not_better"
    COMPETITOR = "competitor"


POOLING_INTERVAL: Final = 4
"""Epochs between two calls of `PricingStrategy.pool`."""
MOTIVES: Final = tuple(Motive)
"""A motive is stored as its index in this tuple: append new motives at the end."""


@frozen(eq=False)
class State:
    """State of a strategy: arrays with an element per product, and per group of products. Treat them as immutable."""

    products: Mapping[str, Floats] = field(factory=dict)
    groups: Mapping[str, Floats] = field(factory=dict)

    def rows(self, chosen: slice | Whole | Flags) -> "State":
        """The state of some products, with all groups."""
        return State({name: column[chosen] for name, column in self.products.items()}, self.groups)


@frozen(eq=False)
class Proposal:
    """Prices in minor units, not rounded; NaN keeps the price. `motive` holds indexes of `MOTIVES`.

    NaN without a motive, and prices that are infinite, zero or negative, are reported as errors of the strategy; these
    products keep their prices.
    """

    prices: Floats
    motive: Whole | None = None


@runtime_checkable
class PricingStrategy(Protocol):
    """Methods are pure functions: results depend only on the arguments, which they do not modify.

    Arrays have an element per product.
    """

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, int]]
    """Columns of the state: name and number of floats per product."""

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        """Return the initial state of new products. `groups` holds the present state of the groups, or is empty.

        The groups of the result replace `groups`; they must include groups that occur only in `signals`.
        """
        ...

    def update(self, state: State, signals: Signals) -> State:
        """Update the state with the signals of an epoch that has ended, in which `signals.price` was in force."""
        ...

    def pool(self, state: State, signals: Signals) -> State:
        """Update the state across the products of each group; called every few epochs with all products.

        A strategy that does not combine products returns `state`.
        """
        ...

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        """Propose prices for the epoch that begins. `epoch` is its number, from which random numbers are derived."""
        ...


@frozen(eq=False)
class DemandEstimate:
    """Units per view of one product at some prices (minor units): the estimate, and the bounds of its central 80 %.

    The bounds are about what the strategy does not know, not about the noise of sales.
    """

    prices: Floats
    expected: Floats
    low: Floats
    high: Floats


EIGHTY_PERCENT: Final = 1.2815515655446004
"""Standard deviations from the mean of a normal distribution within which it has 80 % of its probability."""


@runtime_checkable
class EstimatesDemand(Protocol):
    """A strategy that learns how demand depends on the price may have this method, for displays of what it learnt."""

    def estimate_demand(self, state: State, signals: Signals, prices: Floats) -> DemandEstimate | None:
        """Estimate the demand for the first product at `prices`, or at the prices among which the strategy chooses.

        None if the state is one of an earlier release.
        """
        ...


@frozen
class Stateless:
    """Base class of strategies without a state: they implement `propose` only."""

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


ParameterType = Literal["boolean", "integer", "number", "string", "array"]


def parameter(
    default: Any,
    *,
    says: str,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] = (),
    longest: int = 20,
) -> Any:
    """Declare a parameter of a strategy, or a guardrail.

    The type of `default` is the type of the parameter: int, float, str (one of `choices`), bool, or a tuple of int
    with at most `longest` items. The annotation `float` makes an int default a float parameter. `at_least` and
    `at_most` are inclusive bounds; `says` describes the parameter in the HTTP API and the documentation.
    """
    rule = {"at_least": at_least, "at_most": at_most, "says": says, "choices": tuple(choices), "longest": longest}
    return field(default=default, metadata={"rule": rule}, kw_only=True)


def build(cls: type[Any], values: Mapping[str, Any], *, within: str = "") -> Any:
    """Build an instance of `cls` from JSON values.

    Raise `Invalid`, which names each wrong parameter, prefixed by `within`.
    """
    known = {attribute.name: attribute for attribute in fields(cls) if "rule" in attribute.metadata}
    errors = {f"{within}{name}": ["Unknown parameter."] for name in values.keys() - known.keys()}
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
    except BaseException as error:  # validation in a user's class may raise anything
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise Invalid.field(within.rstrip(".") or "parameters", f"{kind}{one_line_message(error)}") from error


MESSAGE_LENGTH: Final = 300
_UNSTORABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates."""


def one_line_message(error: BaseException) -> str:
    """The error's message in one line of bounded length, with characters that PostgreSQL and JSON accept."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - `__str__` is user code as well
        return "(no message)"
    if len(said) > MESSAGE_LENGTH:
        said = f"{said[:MESSAGE_LENGTH]}…"
    return _UNSTORABLE.sub(lambda found: " " if found.group().isspace() else "\ufffd", said)


def parameter_values(instance: Any) -> dict[str, Any]:
    """All parameters of a strategy or of guardrails as JSON values; `build` is the inverse."""
    return {
        attribute.name: list(value) if isinstance(value, tuple) else value
        for attribute in fields(type(instance))
        if "rule" in attribute.metadata
        for value in [getattr(instance, attribute.name)]
    }


def parameter_type(attribute: "Attribute[Any]") -> ParameterType:
    """The type of a parameter's values in JSON Schema. Each number, whole or not, is a valid `number`."""
    match attribute.default:
        case bool():
            return "boolean"
        case int() if attribute.type not in {float, "float"}:
            return "integer"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            return "array"


def _checked(attribute: "Attribute[Any]", value: Any) -> tuple[Any, str]:
    """Return the value in its proper type, and an error message, empty if it is valid."""
    rule, kind = attribute.metadata["rule"], parameter_type(attribute)
    if kind == "boolean":
        return value, "" if isinstance(value, bool) else "Must be true or false."
    if kind == "string":
        return value, "" if value in rule["choices"] else f"Must be one of {', '.join(rule['choices'])}."
    if kind == "array":
        if not isinstance(value, list | tuple):
            return value, "Must be a list of numbers."
        if len(value) > rule["longest"]:
            return value, f"Must have at most {rule['longest']} items."
        said = [_number(item, rule, whole=True) for item in value]
        return tuple(value), next(filter(None, said), "")
    whole = kind == "integer"
    said_of_it = _number(value, rule, whole=whole)
    return value if said_of_it or whole else float(value), said_of_it


def _number(value: Any, rule: Mapping[str, Any], *, whole: bool) -> str:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return "Must be a whole number." if whole else "Must be a number."
    low, high = rule["at_least"], rule["at_most"]
    # An int may exceed the range of floats: it can be compared, but not converted.
    finite = whole or abs(value) <= float_info.max
    if not finite or (low is not None and value < low) or (high is not None and value > high):
        return "Must be finite." if low is None and high is None else f"Must be between {low} and {high}."
    return ""


_REGISTER: Final[dict[str, type[Any]]] = {}
_NAME: Final = re.compile("[a-z][a-z0-9_]{0,49}")
"""Names of strategies and parameters that the HTTP API accepts."""
RENAMED: Final[Mapping[str, str]] = {"learning": "elasticity_learning"}
"""Former names of strategies and their current names. Stored policies and runs may have a
former name, so entries must never be removed."""
_RESERVED: Final = ("static", *RENAMED)
"""`static` names fixed prices in `simulate`; a former name would be read as the strategy that had it."""
_P = TypeVar("_P", bound=type[Any])


def register(cls: _P) -> _P:
    """Class decorator: register a strategy by its name, which must be unique.

    Raise `TypeError` for a class that is not a strategy, or whose parameters cannot be set over HTTP, and
    `ValueError` for a name that another class has.
    """
    if "__attrs_attrs__" not in vars(cls):
        raise TypeError(f"{cls.__name__} is not an attrs class: put @register above @frozen.")
    missing = [part for part in ("name", "columns", "start", "update", "pool", "propose") if not hasattr(cls, part)]
    if missing:
        raise TypeError(f"{cls.__name__} lacks {', '.join(missing)}.")
    if not isinstance(cls.name, str) or not _NAME.fullmatch(cls.name) or cls.name in _RESERVED:
        raise TypeError(
            f"{cls.__name__} is named {cls.name!r}: the name of a strategy has at most 50 lower-case letters, digits"
            f" and _, begins with a letter, and is not {' or '.join(map(repr, _RESERVED))}."
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
        raise ValueError(f"There is already a strategy {cls.name!r}: {known.__module__}.{known.__qualname__}.")
    _REGISTER[cls.name] = cls
    return cls


def _declaration_error(attribute: "Attribute[Any]") -> str:
    """Error message for a default or bounds that are not valid JSON values; empty if they are valid."""
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
    """If the block raises, unregister the strategies that it registered."""
    before = dict(_REGISTER)
    try:
        yield
    except BaseException:
        _REGISTER.clear()
        _REGISTER.update(before)
        raise


@contextmanager
def temporarily_registered(*strategies: type[Any]) -> Iterator[None]:
    """Register the strategies, and restore the register afterwards. Names of other strategies are replaced."""
    before = dict(_REGISTER)
    try:
        _REGISTER.update({strategy.name: strategy for strategy in strategies})
        yield
    finally:
        _REGISTER.clear()
        _REGISTER.update(before)


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
    """An array of `size` times the same motive."""
    return np.full(size, MOTIVES.index(motive), dtype=np.int64)


def select_motives(usual: Motive | Whole, *others: tuple[Flags, Motive]) -> Whole:
    """Select motives by condition; where several conditions hold, the last one applies."""
    motive = MOTIVES.index(usual) if isinstance(usual, Motive) else usual
    for holds, other in others:
        motive = np.where(holds, MOTIVES.index(other), motive)
    return np.asarray(motive, dtype=np.int64)


if not TYPE_CHECKING:
    # A server does not start if a strategy of its users fails to import.
    _FORMER_NAMES: Final = {"Policy": "PricingStrategy", "motives": "motive_column", "chosen": "select_motives"}

    def __getattr__(name: str) -> object:
        """Deprecated names that strategies of users import; they will be removed in the next release."""
        if name in _FORMER_NAMES:
            warnings.warn(f"{name} was renamed to {_FORMER_NAMES[name]}", DeprecationWarning, stacklevel=2)
            return globals()[_FORMER_NAMES[name]]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
