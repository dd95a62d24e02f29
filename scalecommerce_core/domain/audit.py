"""The audit log: what staff and operators did with things that are not their own."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, Final
from uuid import UUID

from attrs import field, frozen

from scalecommerce_core.domain.client_network import shortened_network
from scalecommerce_core.domain.identifiers import AccountId, AuditId
from scalecommerce_core.domain.money import Money

Document = Mapping[str, Any]
"""Names of fields and their values as JSON: texts, numbers, booleans, null, and lists and objects of these."""

TEXT_LENGTH: Final = 500
"""Longest text in a document, in characters: longer ones, such as descriptions of products, are cut."""


class TargetKind(StrEnum):
    """The kinds of things that actions are about."""

    ACCOUNT = "account"
    API_KEY = "api_key"
    CATEGORY = "category"
    PRODUCT = "product"
    ORDER = "order"
    PAYMENT = "payment"
    REFUND = "refund"
    EMAIL = "email"
    PROMOTION = "promotion"
    POLICY = "policy"
    RUN = "run"
    EXPERIMENT = "experiment"
    PRICING = "pricing"
    """The pricing of all sellers; its id is `PRICING`."""
    WEBHOOK = "webhook"
    DELIVERY = "delivery"


class AuditAction(StrEnum):
    """What was done: the `TargetKind`, a dot, and the verb."""

    ACCOUNT_DEACTIVATED = "account.deactivated"
    ACCOUNT_REACTIVATED = "account.reactivated"
    ACCOUNT_STAFF_APPOINTED = "account.staff_appointed"
    ACCOUNT_STAFF_DISMISSED = "account.staff_dismissed"
    ACCOUNT_SESSION_REVOKED = "account.session_revoked"
    ACCOUNT_SESSIONS_REVOKED = "account.sessions_revoked"
    ACCOUNT_DELETED = "account.deleted"
    ACCOUNT_SECOND_FACTOR_RESET = "account.second_factor_reset"
    ACCOUNT_EXPORTED = "account.exported"
    API_KEY_REVOKED = "api_key.revoked"
    CATEGORY_CREATED = "category.created"
    CATEGORY_RENAMED = "category.renamed"
    CATEGORY_MIN_HOLD_SET = "category.min_hold_set"
    PRODUCT_CREATED = "product.created"
    PRODUCT_EDITED = "product.edited"
    PRODUCT_WITHDRAWN = "product.withdrawn"
    PRODUCT_PRICE_WITHDRAWN = "product.price_withdrawn"
    PRODUCT_STOCK_ADJUSTED = "product.stock_adjusted"
    PRODUCT_STOCK_REPAIRED = "product.stock_repaired"
    PRODUCT_POLICY_ASSIGNED = "product.policy_assigned"
    PRODUCT_PRICING_EXCLUDED = "product.pricing_excluded"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_REFUNDED = "order.refunded"
    ORDER_REQUEUED = "order.requeued"
    PAYMENT_CHECKED = "payment.checked"
    REFUND_SENT = "refund.sent"
    EMAIL_SENT = "email.sent"
    PROMOTION_CREATED = "promotion.created"
    PROMOTION_EDITED = "promotion.edited"
    PROMOTION_CANCELLED = "promotion.cancelled"
    POLICY_EDITED = "policy.edited"
    POLICY_DELETED = "policy.deleted"
    RUN_STARTED = "run.started"
    RUN_CANCELLED = "run.cancelled"
    RUN_ROLLED_BACK = "run.rolled_back"
    RUN_APPROVED = "run.approved"
    RUN_DECLINED = "run.declined"
    EXPERIMENT_STARTED = "experiment.started"
    EXPERIMENT_ENDED = "experiment.ended"
    PRICING_STOPPED = "pricing.stopped"
    PRICING_RESUMED = "pricing.resumed"
    WEBHOOK_EDITED = "webhook.edited"
    WEBHOOK_VERIFIED = "webhook.verified"
    WEBHOOK_PINGED = "webhook.pinged"
    WEBHOOK_DELETED = "webhook.deleted"
    DELIVERY_REDELIVERED = "delivery.redelivered"

    @property
    def target_kind(self) -> TargetKind:
        """The kind of thing that the action is about."""
        return TargetKind(self.value.partition(".")[0])

    @property
    def verb(self) -> str:
        """The action without the kind of its target, such as `deactivated`."""
        return self.value.partition(".")[2]


PRICING: Final = "all"
"""The target of `PRICING_STOPPED` and `PRICING_RESUMED`: the pricing of all sellers."""
MAX_TARGET_ID: Final = 64
"""Longest id of a target, in characters."""


@frozen
class AuditEntry:
    """One action. `actor_id` is None for an operator on the command line.

    `before` and `after` hold the fields that the action changed, without secrets.
    """

    actor_id: AccountId | None
    network: str
    """The shortened network of the client (`192.0.2.0/24`); empty for operators."""
    action: AuditAction
    target_id: str
    occurred_at: datetime
    before: Document = field(factory=dict)
    after: Document = field(factory=dict)
    reason: str = ""


@frozen
class AuditRecord:
    """A stored entry and its number."""

    id: AuditId
    entry: AuditEntry


@frozen
class Actor:
    """Who acts: an account, or an operator on the command line (None)."""

    account_id: AccountId | None = None
    address: str = ""
    """The network address of the client, for the security log; the audit log stores a shortened form."""

    def entry(
        self,
        action: AuditAction,
        target_id: int | str | UUID,
        now: datetime,
        *,
        before: Mapping[str, object] | None = None,
        after: Mapping[str, object] | None = None,
        reason: str = "",
    ) -> AuditEntry:
        """The entry of an action of this actor. Of the fields in both `before` and `after`, only changed ones stay."""
        old, new = before or {}, after or {}
        same = {name for name in old.keys() & new.keys() if old[name] == new[name]}
        return AuditEntry(
            self.account_id,
            shortened_network(self.address),
            action,
            str(target_id),
            now,
            {name: _to_json(value) for name, value in old.items() if name not in same},
            {name: _to_json(value) for name, value in new.items() if name not in same},
            reason,
        )


OPERATOR: Final = Actor()


def changed(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """The entries of edits that changed something."""
    return [entry for entry in entries if entry.before or entry.after]


_WORD: Final = re.compile(r"\w+")


def reason_words(text: str) -> frozenset[str]:
    """The words by which a reason is found: all words of a search must be among them, without case."""
    return frozenset(_WORD.findall(text.casefold()))


def _to_json(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Money):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): _to_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(_to_json, value))
    text = str(value)
    return text if len(text) <= TEXT_LENGTH else f"{text[: TEXT_LENGTH - 1]}…"
