"""`PricingPolicy`: a seller's choice of how prices move, which products it is for, and what it may never do."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define, field, setters

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
        "is_shadow",
        "is_active",
    }
)


@define
class PricingPolicy:
    """Prices without a policy never move. `version` counts edits: a decision names the version that made it."""

    id: PolicyId = field(on_setattr=setters.frozen)
    seller_id: AccountId = field(on_setattr=setters.frozen)
    name: str
    created_at: datetime = field(on_setattr=setters.frozen)
    category_id: CategoryId | None = None
    """None: all of the seller's products."""
    assigned_only: bool = False
    """Only for products that are assigned to it one by one."""
    policy: str = BUILT_IN[0].name
    """Name of a registered policy."""
    parameters: dict[str, Any] = field(factory=dict)
    """Those that differ from the policy's defaults, as JSON has them."""
    guardrails: Guardrails = field(factory=Guardrails)
    epoch: timedelta = timedelta(days=7)
    """How often prices may move; the guardrails' durations are scaled by it."""
    fee: float = 0.0
    """What the marketplace keeps of each price: a share, counted in hundredths of a percent."""
    stock_days: float | None = None
    """How long the stock is meant to last, as until the next delivery; None: stock does not matter to the price."""
    is_shadow: bool = False
    """Decides, records and learns, and leaves prices alone."""
    is_active: bool = True
    """The kill switch."""
    version: int = 1

    def __attrs_post_init__(self) -> None:
        self._check()

    @property
    def epoch_days(self) -> float:
        return self.epoch / timedelta(days=1)

    def epoch_at(self, now: datetime) -> int:
        """Number of the epoch at `now`; 0 begins when the policy is made."""
        return (now - self.created_at) // self.epoch

    def strategy(self) -> PricingStrategy:
        """The policy by its name, with its parameters; raise `Invalid` when it is not registered any more."""
        return strategy_named(self.policy, self.parameters)

    def edit(self, **changes: Any) -> None:
        """Set any of the fields of a `document`; equal values are not an edit.

        Raise `Invalid` naming the fields; nothing is changed then. Rules that this process does not know are
        validated only if they are edited, so that such a policy can still be switched off.
        """
        if unknown := changes.keys() - _EDITABLE:
            raise Invalid({name: ["There is no such field."] for name in sorted(unknown)})
        facts = _read(changes)
        apply_edit(self, facts, lambda: self._check(check_strategy=bool(facts.keys() & _STRATEGY_FIELDS)))

    def document(self) -> dict[str, Any]:
        """What is chosen, as JSON has it; `read` and `edit` take it back."""
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
        """The policy of a `document`; what it does not name has its default. Raise `Invalid` naming the fields."""
        if unknown := document.keys() - _EDITABLE:
            raise Invalid({name: ["There is no such field."] for name in sorted(unknown)})
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
            errors["epoch_seconds"] = ["An epoch lasts from one second to 90 days."]
        if not 0 <= self.fee <= MAX_FEE:
            errors["fee"] = [f"A fee lies between 0 and {MAX_FEE}."]
        if self.stock_days is not None and not MIN_STOCK_DAYS <= self.stock_days <= MAX_STOCK_DAYS:
            errors["stock_days"] = [f"This lies between {MIN_STOCK_DAYS} and {MAX_STOCK_DAYS}."]
        if self.assigned_only and self.category_id is not None:
            errors["category_id"] = ["A policy is for a category, or for what is assigned to it."]
        if check_strategy:
            try:
                self.strategy()
            except Invalid as wrong:
                errors |= wrong.errors
        if errors:
            raise Invalid(errors)


def _read(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the aggregate for those of a document."""
    facts, errors = dict(document), {}
    for name, kinds, said in (
        ("name", str, "A text is wanted."),
        ("policy", str, "The name of a policy is wanted."),
        ("assigned_only", bool, "This is true or false."),
        ("is_shadow", bool, "This is true or false."),
        ("is_active", bool, "This is true or false."),
        ("category_id", int | None, "A whole number or nothing is wanted."),
        ("parameters", Mapping, "An object is wanted."),
        ("guardrails", Mapping, "An object is wanted."),
        ("epoch_seconds", int | float, "A number of seconds is wanted."),
        ("fee", int | float, "A share is wanted."),
        ("stock_days", int | float | None, "A number of days or nothing is wanted."),
    ):
        if name in facts and (
            not isinstance(facts[name], kinds) or (isinstance(facts[name], bool) and kinds is not bool)
        ):
            errors[name] = [said]
    if not errors and "guardrails" in facts:
        facts["guardrails"] = build(Guardrails, facts["guardrails"], within="guardrails.")
    if not errors and "epoch_seconds" in facts:
        seconds = facts.pop("epoch_seconds")
        if not 0 <= seconds <= MAX_EPOCH.total_seconds():
            raise Invalid.field("epoch_seconds", "An epoch lasts from one second to 90 days.")
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
