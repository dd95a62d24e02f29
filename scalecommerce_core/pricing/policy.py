"""`PricingPolicy`: a seller's choice of a pricing strategy, its scope, its epoch and its guardrails."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define, field, setters

from scalecommerce_core.domain.date_times import parse_date_time
from scalecommerce_core.domain.edits import apply_edit
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId
from scalecommerce_core.domain.text import NAME_LENGTH, normal_line, text_errors
from scalecommerce_core.pricing.built_in import BUILT_IN, drop_retired_parameters, strategy_named
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.interface import PricingStrategy, build, current_name, parameter_values

MIN_EPOCH: Final = timedelta(seconds=1)
MAX_EPOCH: Final = timedelta(days=90)
MAX_FEE: Final = 0.9
MIN_STOCK_DAYS: Final = 0.001
MAX_STOCK_DAYS: Final = 3_650
"""Days."""
_STRATEGY_FIELDS: Final = frozenset({"policy", "parameters"})
_EDITABLE: Final = frozenset(
    {
        "name",
        "category_id",
        "assigned_only",
        "policy",
        "parameters",
        "guardrails",
        "epoch_seconds",
        "fee",
        "stock_days",
        "stock_until",
        "is_shadow",
        "is_active",
    }
)


@define
class PricingPolicy:
    """Prices without a policy never change by themselves. `version` counts edits; decisions record it."""

    id: PolicyId = field(on_setattr=setters.frozen)
    seller_id: AccountId = field(on_setattr=setters.frozen)
    name: str
    created_at: datetime = field(on_setattr=setters.frozen)
    category_id: CategoryId | None = None
    """None: all categories."""
    assigned_only: bool = False
    """Covers only products that are assigned to the policy one by one."""
    policy: str = BUILT_IN[0].name
    """Name of the strategy."""
    parameters: dict[str, Any] = field(factory=dict)
    """Parameters that differ from the strategy's defaults, as JSON values."""
    guardrails: Guardrails = field(factory=Guardrails)
    epoch: timedelta = timedelta(days=7)
    """Interval between runs; durations of guardrails scale with it."""
    fee: float = 0.0
    """The marketplace's share of the price, rounded to hundredths of a percent."""
    stock_days: float | None = None
    """Days that the stock is intended to last, counted anew at each run: this horizon never counts down. It applies to
    products without a date of their own or of the policy; None: stock does not affect their prices."""
    stock_until: datetime | None = None
    """End of the season of all products without a date of their own; None or past: unknown."""
    is_shadow: bool = False
    """Runs decide, record and update the policy state, but change no price."""
    is_active: bool = True
    """False: the policy does not run."""
    version: int = 1
    edited_by: AccountId | None = None
    """Who created, edited, activated or deactivated the policy last; None: unknown, taken for the seller."""

    def __attrs_post_init__(self) -> None:
        self._check()

    @property
    def epoch_days(self) -> float:
        return self.epoch / timedelta(days=1)

    def epoch_at(self, now: datetime) -> int:
        """Number of the epoch at `now`; epoch 0 begins at `created_at`."""
        return (now - self.created_at) // self.epoch

    def strategy(self) -> PricingStrategy:
        """Build the strategy with its parameters; raise `Invalid` if it is not registered."""
        return strategy_named(self.policy, self.parameters)

    def edit(self, **changes: Any) -> None:
        """Set fields of the `document`; equal values do not count as an edit.

        Raise `Invalid`, which names the fields; nothing is changed then. The strategy and its parameters are validated
        only if they are edited, so that a policy whose strategy is not registered can still be deactivated.
        """
        if unknown := changes.keys() - _EDITABLE:
            raise Invalid({name: ["Unknown field."] for name in sorted(unknown)})
        facts = _read(changes)
        apply_edit(self, facts, lambda: self._check(check_strategy=bool(facts.keys() & _STRATEGY_FIELDS)))

    def document(self) -> dict[str, Any]:
        """The editable fields as JSON values; `from_document` and `edit` read them."""
        return {
            "name": self.name,
            "category_id": self.category_id,
            "assigned_only": self.assigned_only,
            "policy": self.policy,
            "parameters": dict(self.parameters),
            "guardrails": parameter_values(self.guardrails),
            "epoch_seconds": self.epoch.total_seconds(),
            "fee": self.fee,
            "stock_days": self.stock_days,
            "stock_until": None if self.stock_until is None else self.stock_until.isoformat(),
            "is_shadow": self.is_shadow,
            "is_active": self.is_active,
        }

    @classmethod
    def from_document(
        cls,
        document: Mapping[str, Any],
        *,
        id: PolicyId,  # noqa: A002 - the field's name
        seller_id: AccountId,
        created_at: datetime,
        version: int = 1,
    ) -> "PricingPolicy":
        """Build a policy from a `document`; missing fields have their defaults.

        Raise `Invalid`, which names the fields.
        """
        if unknown := document.keys() - _EDITABLE:
            raise Invalid({name: ["Unknown field."] for name in sorted(unknown)})
        facts = {"name": "", **_read(document)}
        errors: dict[str, list[str]] = {}
        try:
            strategy_named(facts.get("policy", BUILT_IN[0].name), facts.get("parameters", {}))
        except Invalid as wrong:
            errors = wrong.errors
        try:
            policy = cls(id=id, seller_id=seller_id, created_at=created_at, version=version, **facts)
        except Invalid as wrong:
            raise Invalid(wrong.errors | errors) from wrong
        if errors:
            raise Invalid(errors)
        return policy

    @classmethod
    def from_stored(cls, document: Mapping[str, Any], **facts: Any) -> "PricingPolicy":
        """The policy of a document that was validated before it was stored.

        Its strategy need not be registered: such a policy can be shown, replaced and deleted; `strategy` raises
        `Invalid`. Former names of strategies are replaced by the current ones.
        """
        policy = cls.from_document({k: v for k, v in document.items() if k not in _STRATEGY_FIELDS}, **facts)
        policy.policy = current_name(document.get("policy", policy.policy))
        policy.parameters = drop_retired_parameters(policy.policy, document.get("parameters", {}))
        return policy

    def _check(self, *, check_strategy: bool = False) -> None:
        errors: dict[str, list[str]] = {}
        if said := text_errors(self.name, at_most=NAME_LENGTH, at_least=1):
            errors["name"] = said
        if not MIN_EPOCH <= self.epoch <= MAX_EPOCH:
            errors["epoch_seconds"] = ["Must be between 1 second and 90 days."]
        if not 0 <= self.fee <= MAX_FEE:
            errors["fee"] = [f"Must be between 0 and {MAX_FEE}."]
        if self.stock_days is not None and not MIN_STOCK_DAYS <= self.stock_days <= MAX_STOCK_DAYS:
            errors["stock_days"] = [f"Must be between {MIN_STOCK_DAYS} and {MAX_STOCK_DAYS}."]
        if self.assigned_only and self.category_id is not None:
            errors["category_id"] = ["Must be null if assigned_only is true."]
        if check_strategy:
            try:
                self.strategy()
            except Invalid as wrong:
                errors |= wrong.errors
        if errors:
            raise Invalid(errors)


def _read(document: Mapping[str, Any]) -> dict[str, Any]:
    """Convert fields of a document to fields of `PricingPolicy`."""
    facts, errors = dict(document), {}
    for name, kinds, said in (
        ("name", str, "Must be a string."),
        ("policy", str, "Must be the name of a pricing strategy."),
        ("assigned_only", bool, "Must be true or false."),
        ("is_shadow", bool, "Must be true or false."),
        ("is_active", bool, "Must be true or false."),
        ("category_id", int | None, "Must be a whole number or null."),
        ("parameters", Mapping, "Must be an object."),
        ("guardrails", Mapping, "Must be an object."),
        ("epoch_seconds", int | float, "Must be a number of seconds."),
        ("fee", int | float, "Must be a number."),
        ("stock_days", int | float | None, "Must be a number of days or null."),
        ("stock_until", str | datetime | None, "Must be a date-time or null."),
    ):
        if name in facts and (
            not isinstance(facts[name], kinds) or (isinstance(facts[name], bool) and kinds is not bool)
        ):
            errors[name] = [said]
    if isinstance(facts.get("stock_until"), str) and not errors:
        try:
            facts["stock_until"] = parse_date_time(facts["stock_until"])
        except ValueError as wrong:
            errors["stock_until"] = [str(wrong)]
    if not errors and "guardrails" in facts:
        facts["guardrails"] = build(Guardrails, facts["guardrails"], within="guardrails.")
    if not errors and "epoch_seconds" in facts:
        seconds = facts.pop("epoch_seconds")
        if not 0 <= seconds <= MAX_EPOCH.total_seconds():
            raise Invalid.field("epoch_seconds", "Must be between 1 second and 90 days.")
        facts["epoch"] = timedelta(seconds=seconds)
    if errors:
        raise Invalid(errors)
    if "name" in facts:
        facts["name"] = normal_line(facts["name"])
    if "policy" in facts:
        facts["policy"] = current_name(facts["policy"])
    if "parameters" in facts:
        facts["parameters"] = dict(facts["parameters"])
    return facts
