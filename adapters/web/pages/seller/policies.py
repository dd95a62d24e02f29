"""Pricing policies of a seller: choose, preview, run in shadow, activate, stop."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import SUBMISSION, Form, FormErrors
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec, Tone
from adapters.web.pages.seller.fields import decimal_number, utc_field, utc_moment
from adapters.web.pages.seller.prices import PRICING
from adapters.web.pages.seller.products import categories_of, own_policies, product_names
from adapters.web.pages.seller.runs import LIST as RUNS
from adapters.web.pages.seller.runs import run_statuses, with_sentences
from adapters.web.pages.strategies import strategy_words

LIST: Final = "/seller/policies/"
POLICY: Final = LIST + "{id:int}/"
PREVIEWED: Final = 100
"""Products whose next decision is previewed."""
SHOWN_RUNS: Final = 6
PARAMETER: Final = "parameter_"
"""Prefix of the fields of a strategy's parameters."""
GUARDRAIL: Final = "guardrail_"
Setting = Mapping[str, Any]
"""A parameter as `policy-kinds/` describes it."""


class PolicyPages:
    """Pages for the seller's pricing policies."""

    @PageSpec(method="GET", path=LIST, access=Access.ACCOUNT)
    async def show_policies(self, call: PageCall) -> Response:
        document = await call.api.get(f"{PRICING}policies/", call.query_values("cursor"))
        waiting = await call.api.get(f"{PRICING}runs/", {"status": "AWAITING_APPROVAL", "page_size": 20})
        return await call.render(
            "seller/policies.html",
            policies=document["results"],
            cursors=CursorLinks(document),
            waiting=waiting["results"],
            strategies=strategy_words(call.language),
        )

    @PageSpec(method="GET", path=f"{LIST}new/", access=Access.ACCOUNT)
    async def show_new_policy(self, call: PageCall) -> Response:
        kinds = await call.api.get(f"{PRICING}policy-kinds/")
        kind = _kind(kinds, call.query.get("kind", ""))
        if kind is None:
            return await call.render(
                "seller/policy_kinds.html", kinds=kinds["results"], strategies=strategy_words(call.language)
            )
        form = Form.of(
            {"name": "", "kind": kind["name"], "scope": "assigned", "epoch_hours": 168, "fee_percent": 0}
            | _setting_fields(PARAMETER, kind["parameters"], {})
            | _setting_fields(GUARDRAIL, kinds["guardrails"], {})
        )
        return await self._render_form(call, "seller/policy_new.html", kinds, kind, form=form)

    @PageSpec(method="POST", path=f"{LIST}new/", access=Access.ACCOUNT)
    async def create_policy(self, call: PageCall) -> Response:
        """Create an inactive policy, whose page previews its first run."""
        kinds = await call.api.get(f"{PRICING}policy-kinds/")
        kind = _kind(kinds, call.form.text("kind"))
        if kind is None:
            return call.redirect(f"{LIST}new/", call.gettext("Choose a strategy."), Tone.ERROR)
        body = {**_policy_fields(call.form, kind, kinds["guardrails"]), "policy": kind["name"], "is_active": False}
        try:
            created = await call.api.post(f"{PRICING}policies/", body, idempotency_key=call.form.optional(SUBMISSION))
        except ApiProblem as problem:
            return await self._render_form(
                call, "seller/policy_new.html", kinds, kind, status=problem.status, errors=_form_errors(problem)
            )
        text = call.gettext("The policy is a draft: see what it would do, then activate it.")
        return call.redirect(policy_path(created["id"]), text)

    @PageSpec(method="GET", path=POLICY, access=Access.ACCOUNT)
    async def show_policy(self, call: PageCall) -> Response:
        policy = await call.api.get(f"{PRICING}policies/{call.id}/")
        preview, failure = None, ""
        if call.query.get("preview") or not policy["is_active"] or policy["is_shadow"]:
            try:
                preview = await call.api.get(f"{PRICING}policies/{call.id}/preview/", {"limit": PREVIEWED})
            except ApiProblem as problem:
                failure = problem.detail
        runs = await call.api.get(f"{PRICING}runs/", {"policy": call.id, "page_size": SHOWN_RUNS})
        experiments = await call.api.get(f"{PRICING}experiments/", {"policy": call.id, "page_size": 5})
        return await call.render(
            "seller/policy.html",
            policy=policy,
            preview=preview,
            decisions=() if preview is None else with_sentences(preview["decisions"], call),
            products={}
            if preview is None
            else await product_names(call, (each["product"] for each in preview["decisions"])),
            failure=failure,
            strategies=strategy_words(call.language),
            runs=runs["results"],
            statuses=run_statuses(call),
            experiments=experiments["results"],
            categories=dict(await categories_of(call)),
            form=Form.of({"kind": "hold_out", "weeks": 12, "share": "0.2"}),
        )

    @PageSpec(method="GET", path=f"{POLICY}edit/", access=Access.ACCOUNT)
    async def show_edit(self, call: PageCall) -> Response:
        kinds = await call.api.get(f"{PRICING}policy-kinds/")
        policy = await call.api.get(f"{PRICING}policies/{call.id}/")
        kind = _kind(kinds, policy["policy"])
        if kind is None:
            text = call.gettext("The strategy of this policy is not installed, so it cannot be edited.")
            return call.redirect(policy_path(call.id), text, Tone.ERROR)
        return await self._render_form(
            call, "seller/policy_edit.html", kinds, kind, policy=policy, form=_policy_form(policy, kind, kinds)
        )

    @PageSpec(method="POST", path=f"{POLICY}edit/", access=Access.ACCOUNT)
    async def edit_policy(self, call: PageCall) -> Response:
        kinds = await call.api.get(f"{PRICING}policy-kinds/")
        policy = await call.api.get(f"{PRICING}policies/{call.id}/")
        kind = _kind(kinds, policy["policy"])
        if kind is None:
            return call.redirect(policy_path(call.id))
        try:
            await call.api.patch(
                f"{PRICING}policies/{call.id}/",
                _policy_fields(call.form, kind, kinds["guardrails"]),
                headers={"If-Match": f'"v{call.form.text("version")}"'},
            )
        except ApiProblem as problem:
            return await self._render_form(
                call,
                "seller/policy_edit.html",
                kinds,
                kind,
                status=problem.status,
                errors=_form_errors(problem),
                policy=policy,
            )
        return call.redirect(policy_path(call.id), call.gettext("The changes are saved."))

    @PageSpec(method="POST", path=f"{POLICY}activate/", access=Access.ACCOUNT)
    async def activate_policy(self, call: PageCall) -> Response:
        """Activate, in shadow or not."""
        is_shadow = call.form.flag("shadow")
        text = (
            call.gettext("The policy runs in shadow: it decides and records, but changes no price.")
            if is_shadow
            else call.gettext("The policy is active.")
        )
        return await self._patch(call, {"is_active": True, "is_shadow": is_shadow}, text)

    @PageSpec(method="POST", path=f"{POLICY}deactivate/", access=Access.ACCOUNT)
    async def deactivate_policy(self, call: PageCall) -> Response:
        """Stop the policy. With `run`, the reader returns to the rollback of that run, which this prepares."""
        run = call.form.text("run")
        target = f"{RUNS}{run}/roll-back/" if run.isascii() and run.isdecimal() else policy_path(call.id)
        text = call.gettext("The policy is stopped. All prices stay.")
        return await self._patch(call, {"is_active": False}, text, target)

    @PageSpec(method="POST", path=f"{POLICY}delete/", access=Access.ACCOUNT)
    async def delete_policy(self, call: PageCall) -> Response:
        try:
            await call.api.delete(f"{PRICING}policies/{call.id}/")
        except ApiProblem as problem:
            return call.refuse(policy_path(call.id), problem)
        return call.redirect(LIST, call.gettext("The policy is deleted. All prices stay."))

    @PageSpec(method="GET", path=f"{LIST}stop/", access=Access.ACCOUNT)
    async def show_stop(self, call: PageCall) -> Response:
        return await call.render("seller/policies_stop.html", policies=await _own_active(call))

    @PageSpec(method="POST", path=f"{LIST}stop/", access=Access.ACCOUNT)
    async def stop_policies(self, call: PageCall) -> Response:
        """Deactivate all active policies of the seller: no price changes by a policy any more."""
        failed = []
        active = await _own_active(call)
        for policy in active:
            try:
                await call.api.patch(f"{PRICING}policies/{policy['id']}/", {"is_active": False})
            except ApiProblem as problem:
                failed.append(f"{policy['name']}: {problem.detail}")
        if failed:
            return call.redirect(LIST, " ".join(failed), Tone.ERROR)
        return call.redirect(LIST, call.gettext("All your policies are stopped. All prices stay."))

    async def _patch(
        self, call: PageCall, changes: dict[str, object], message: str, target: str | None = None
    ) -> Response:
        """Change the policy, then show `target`, by default the page of the policy."""
        target = target or policy_path(call.id)
        try:
            await call.api.patch(f"{PRICING}policies/{call.id}/", changes)
        except ApiProblem as problem:
            return call.refuse(target, problem)
        return call.redirect(target, message)

    async def _render_form(
        self,
        call: PageCall,
        template: str,
        kinds: Mapping[str, Any],
        kind: Mapping[str, Any],
        *,
        status: int = 200,
        **context: Any,
    ) -> Response:
        return await call.render(
            template,
            status=status,
            kind=kind,
            guardrails=kinds["guardrails"],
            categories=await categories_of(call),
            **context,
        )


def policy_path(number: int) -> str:
    return f"{LIST}{number}/"


def read_setting(form: Form, prefix: str, setting: Setting) -> object:
    """The value of a parameter's field, None if it is empty; text that is no value of its type is for the API to
    refuse.
    """
    name, kind = f"{prefix}{setting['name']}", setting["type"]
    if kind == "boolean":
        return form.flag(name)
    if kind == "integer":
        return form.integer(name)
    if kind == "number":
        return decimal_number(form.text(name))
    if kind == "array":
        return [decimal_number(part.strip()) for part in form.text(name).split(";") if part.strip()] or None
    return form.optional(name)


def read_settings(form: Form, prefix: str, settings: Sequence[Setting]) -> dict[str, object]:
    """Parameters by name, without those that are empty: these have their defaults."""
    values = {setting["name"]: read_setting(form, prefix, setting) for setting in settings}
    return {name: value for name, value in values.items() if value is not None}


def _setting_fields(prefix: str, settings: Sequence[Setting], values: Mapping[str, Any]) -> dict[str, object]:
    fields = {}
    for setting in settings:
        value = values.get(setting["name"], setting["default"])
        fields[f"{prefix}{setting['name']}"] = "; ".join(map(str, value)) if isinstance(value, list) else value
    return fields


def _policy_fields(form: Form, kind: Mapping[str, Any], guardrails: Sequence[Setting]) -> dict[str, object]:
    hours, percent = decimal_number(form.text("epoch_hours")), decimal_number(form.text("fee_percent"))
    scope = form.text("scope")
    return {
        "name": form.text("name"),
        "epoch_seconds": round(hours * 3_600, 3) if isinstance(hours, float) else hours,
        "fee": round(percent / 100, 6) if isinstance(percent, float) else percent or 0,
        "stock_days": decimal_number(form.text("stock_days")),
        "stock_until": utc_moment(form.text("stock_until")),
        "category_id": form.integer("category_id") if scope == "category" else None,
        "assigned_only": scope == "assigned",
        "parameters": read_settings(form, PARAMETER, kind["parameters"]),
        "guardrails": read_settings(form, GUARDRAIL, guardrails),
    }


def _policy_form(policy: Mapping[str, Any], kind: Mapping[str, Any], kinds: Mapping[str, Any]) -> Form:
    scope = "assigned" if policy["assigned_only"] else "all" if policy["category_id"] is None else "category"
    return Form.of(
        {
            "name": policy["name"],
            "version": policy["version"],
            "scope": scope,
            "category_id": policy["category_id"],
            "epoch_hours": f"{policy['epoch_seconds'] / 3_600:.9g}",
            "fee_percent": f"{policy['fee'] * 100:.6g}",
            "stock_days": policy["stock_days"],
            "stock_until": utc_field(policy["stock_until"]),
        }
        | _setting_fields(PARAMETER, kind["parameters"], policy["parameters"])
        | _setting_fields(GUARDRAIL, kinds["guardrails"], policy["guardrails"])
    )


def _form_errors(problem: ApiProblem) -> FormErrors:
    """Errors beside the fields of this form, which has other names than the API for some."""
    renamed = {"epoch_seconds": "epoch_hours", "fee": "fee_percent"}
    fields = {}
    for name, texts in problem.errors.items():
        group, _, setting = name.partition(".")
        prefix = {"parameters": PARAMETER, "guardrails": GUARDRAIL}.get(group)
        fields[f"{prefix}{setting}" if prefix and setting else renamed.get(name, name)] = texts
    return FormErrors((), fields) if fields else FormErrors.of(problem)


def _kind(kinds: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((kind for kind in kinds["results"] if kind["name"] == name), None)


async def _own_active(call: PageCall) -> list[Any]:
    return [policy for policy in await own_policies(call) if policy["is_active"]]
