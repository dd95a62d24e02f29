"""The audit log: who did what to things of others, and why."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from starlette.responses import Response

from adapters.web.framework.languages import Language
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.admin.lists import end_of, filter_form, read_account_list, start_of

AUDIT: Final = "/audit/api/v1/"
FILTERS: Final = ("search", "actor", "action", "kind", "target")
PATHS: Final[Mapping[str, str]] = {
    "account": "/admin/users/",
    "product": "/admin/products/",
    "order": "/admin/orders/",
    "policy": "/admin/policies/",
    "run": "/admin/runs/",
    "webhook": "/admin/webhooks/",
}
"""Kinds of things that have a page, and where."""


@frozen
class Change:
    """One field before and after an action; None: it did not exist."""

    name: str
    before: str | None
    after: str | None


class AuditPages:
    @PageSpec(method="GET", path="/admin/audit/", access=Access.STAFF)
    async def list_entries(self, call: PageCall) -> Response:
        query = {
            **call.query_values(*(name for name in FILTERS if name != "actor")),
            "from": start_of(call.query.get("from", "")),
            "to": end_of(call.query.get("to", "")),
        }
        if call.query.get("operator"):
            query["operator"] = "true"
        entries, errors = await read_account_list(call, AUDIT, query, "actor")
        return await call.render(
            "admin/audit.html",
            status=400 if errors else 200,
            errors=errors,
            entries=entries,
            form=filter_form(call),
            kinds=target_words(call.language),
            actions=action_words(call.language),
            link_of=target_link,
            changes=changes,
            names=field_words(call.language),
            values=value_words(call.language),
            is_filtered=any(call.query.get(name) for name in (*FILTERS, "from", "to", "operator")),
        )


def target_link(kind: str, target: str) -> str | None:
    """The page of the thing that an action was about."""
    return f"{PATHS[kind]}{target}/" if kind in PATHS and target.isdecimal() else None


def changes(entry: Mapping[str, Any]) -> list[Change]:
    """The fields that an action changed, in their order."""
    before, after = entry["before"], entry["after"]
    return [Change(name, _text(before, name), _text(after, name)) for name in dict.fromkeys([*before, *after])]


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    if name not in fields or fields[name] is None:
        return None
    value = fields[name]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items())
    return str(value)


def target_words(language: Language) -> Mapping[str, str]:
    _ = language.gettext
    return {
        "account": _("Account"),
        "api_key": _("API key"),
        "category": _("Category"),
        "product": _("Product"),
        "order": _("Order"),
        "payment": _("Payment"),
        "refund": _("Refund"),
        "email": _("E-mail"),
        "promotion": _("Promotion"),
        "policy": _("Policy"),
        "run": _("Pricing run"),
        "experiment": _("Experiment"),
        "pricing": _("All pricing"),
        "webhook": _("Webhook"),
        "delivery": _("Delivery"),
    }


def value_words(language: Language) -> Mapping[str, str]:
    """The words for values of fields that nobody entered as text."""
    return {"true": language.gettext("yes"), "false": language.gettext("no")}


def field_words(language: Language) -> Mapping[str, str]:
    """The names of the fields that actions change."""
    _ = language.gettext
    return {
        "account_id": _("Account"),
        "all_events": _("Events of all accounts"),
        "assigned_only": _("For assigned products only"),
        "brand": _("Brand"),
        "category_id": _("Category"),
        "check_at": _("Next check at the gateway"),
        "competitor_price": _("Competitor's price"),
        "competitor_price_at": _("Competitor's price observed at"),
        "correction": _("Correction"),
        "cost": _("Cost"),
        "description": _("Description"),
        "email": _("E-mail"),
        "ended_at": _("Ended at"),
        "endpoint_id": _("Webhook"),
        "ends_at": _("Ends at"),
        "epoch_seconds": _("Seconds between runs"),
        "fee": _("Fee"),
        "guardrails": _("Guardrails"),
        "is_active": _("Active"),
        "is_excluded": _("Excluded from pricing"),
        "is_shadow": _("Shadow"),
        "is_staff": _("Staff"),
        "is_stopped": _("Pricing stopped"),
        "kind": _("Kind"),
        "lines": _("Lines"),
        "max_per_buyer": _("Most units per buyer"),
        "max_price": _("Highest price"),
        "min_hold_days": _("Minimum hold in days"),
        "min_price": _("Lowest price"),
        "name": _("Name"),
        "parameters": _("Parameters"),
        "percent": _("Percent"),
        "policy": _("Strategy"),
        "policy_id": _("Policy"),
        "price": _("Price"),
        "product_id": _("Product"),
        "products": _("Products"),
        "reserved": _("Reserved units"),
        "restock": _("Units return to stock"),
        "session": _("Session"),
        "sessions": _("Sessions"),
        "sku": _("SKU"),
        "slug": _("Name in URLs"),
        "starts_at": _("Starts at"),
        "status": _("Status"),
        "stock": _("Stock"),
        "stock_days": _("Days that the stock should last"),
        "stock_until": _("Stock should last until"),
        "topic": _("Topic"),
        "topics": _("Topics"),
        "trouble": _("Cause"),
        "try_at": _("Next try at"),
        "url": _("Address"),
        "weeks": _("Weeks"),
        "withdrawn_at": _("Withdrawn at"),
    }


def action_words(language: Language) -> Mapping[str, str]:
    _ = language.gettext
    return {
        "account.deactivated": _("Account deactivated"),
        "account.reactivated": _("Account reactivated"),
        "account.staff_appointed": _("Appointed as staff"),
        "account.staff_dismissed": _("Dismissed from staff"),
        "account.session_revoked": _("One session ended"),
        "account.sessions_revoked": _("Sessions ended"),
        "account.deleted": _("Account deleted"),
        "account.second_factor_reset": _("Second factor removed"),
        "account.exported": _("Personal data exported"),
        "api_key.revoked": _("API key revoked"),
        "category.created": _("Category created"),
        "category.renamed": _("Category renamed"),
        "category.min_hold_set": _("Minimum hold of a category set"),
        "product.created": _("Product listed"),
        "product.edited": _("Product edited"),
        "product.withdrawn": _("Product withdrawn"),
        "product.price_withdrawn": _("Price withdrawn"),
        "product.stock_adjusted": _("Stock adjusted"),
        "product.stock_repaired": _("Stock repaired"),
        "product.policy_assigned": _("Policy assigned to a product"),
        "product.pricing_excluded": _("Product excluded from pricing"),
        "order.cancelled": _("Order cancelled by staff"),
        "order.refunded": _("Order refunded"),
        "order.requeued": _("Order requeued"),
        "payment.checked": _("Gateway asked about a payment"),
        "refund.sent": _("Refund sent again"),
        "email.sent": _("E-mail sent again"),
        "promotion.created": _("Promotion created"),
        "promotion.edited": _("Promotion edited"),
        "promotion.cancelled": _("Promotion cancelled"),
        "policy.edited": _("Policy edited"),
        "policy.deleted": _("Policy deleted"),
        "run.started": _("Run started"),
        "run.cancelled": _("Run cancelled"),
        "run.rolled_back": _("Run rolled back"),
        "run.approved": _("Run approved"),
        "run.declined": _("Run declined"),
        "experiment.started": _("Experiment started"),
        "experiment.ended": _("Experiment ended"),
        "pricing.stopped": _("Pricing stopped"),
        "pricing.resumed": _("Pricing resumed"),
        "webhook.edited": _("Webhook edited"),
        "webhook.verified": _("Webhook verified"),
        "webhook.pinged": _("Webhook tested"),
        "webhook.deleted": _("Webhook deleted"),
        "delivery.redelivered": _("Message sent again"),
    }
