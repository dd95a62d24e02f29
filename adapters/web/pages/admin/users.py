"""Accounts as staff see and change them."""

from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import NO_ERRORS, FormErrors
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.admin.audit import action_words
from adapters.web.pages.admin.lists import filter_form, read_list

USERS: Final = "/users/api/v1/"
ACTIVITY: Final = ("true", "false", "any")


class UserPages:
    @PageSpec(method="GET", path="/admin/users/", access=Access.STAFF)
    async def list_users(self, call: PageCall) -> Response:
        wanted = call.query.get("search", "").strip()
        if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19:
            return call.redirect(f"/admin/users/{int(wanted)}/")
        query = {"active": call.query.get("active") or "any", **call.query_values("search", "staff")}
        users, errors = await read_list(call, USERS, query)
        return await call.render(
            "admin/users.html",
            status=400 if errors else 200,
            errors=errors,
            users=users,
            form=filter_form(call),
            is_filtered=any(call.query.get(name) for name in ("search", "staff", "active")),
        )

    @PageSpec(method="GET", path="/admin/users/{id:int}/", access=Access.STAFF)
    async def show_user(self, call: PageCall) -> Response:
        return await _render_user(call)

    @PageSpec(method="POST", path="/admin/users/{id:int}/deactivate/", access=Access.STAFF)
    async def deactivate(self, call: PageCall) -> Response:
        return await _act(call, "deactivate", call.gettext("The account is deactivated, and its sessions are ended."))

    @PageSpec(method="POST", path="/admin/users/{id:int}/reactivate/", access=Access.STAFF)
    async def reactivate(self, call: PageCall) -> Response:
        return await _act(call, "reactivate", call.gettext("The account is active again."))

    @PageSpec(method="POST", path="/admin/users/{id:int}/revoke-sessions/", access=Access.STAFF)
    async def revoke_sessions(self, call: PageCall) -> Response:
        return await _act(call, "revoke-sessions", call.gettext("All sessions of the account are ended."))

    @PageSpec(method="POST", path="/admin/users/{id:int}/revoke-session/", access=Access.STAFF)
    async def revoke_session(self, call: PageCall) -> Response:
        session = call.form.integer("session")
        if not isinstance(session, int):
            return call.redirect(f"/admin/users/{call.id}/")
        return await _act(call, f"sessions/{session}/revoke", call.gettext("The session is ended."))

    @PageSpec(method="POST", path="/admin/users/{id:int}/dismiss-staff/", access=Access.STAFF)
    async def dismiss(self, call: PageCall) -> Response:
        return await _act(call, "dismiss-staff", call.gettext("The account is not staff any more."))

    @PageSpec(method="GET", path="/admin/users/{id:int}/appoint-staff/", access=Access.STAFF)
    async def show_appointment(self, call: PageCall) -> Response:
        return await _render_appointment(call)

    @PageSpec(method="POST", path="/admin/users/{id:int}/appoint-staff/", access=Access.STAFF)
    async def appoint(self, call: PageCall) -> Response:
        body = {"reason": call.form.text("reason"), "password": call.form.raw("password")}
        try:
            await call.api.post(f"{USERS}{call.id}/appoint-staff/", body)
        except ApiProblem as problem:
            return await _render_appointment(call, problem)
        text = call.gettext("The account is staff. Tell its owner the new password, to be changed at once.")
        return call.redirect(f"/admin/users/{call.id}/", text)


async def _render_user(call: PageCall, problem: ApiProblem | None = None) -> Response:
    user = await call.api.get(f"{USERS}{call.id}/")
    sessions = await call.api.get(f"{USERS}{call.id}/sessions/")
    return await call.render(
        "admin/user.html",
        status=200 if problem is None else problem.status,
        errors=NO_ERRORS if problem is None else FormErrors.of(problem),
        user=user,
        sessions=sessions["results"],
        actions=action_words(call.language),
        is_self=call.identity is not None and call.identity.account_id == user["id"],
    )


async def _render_appointment(call: PageCall, problem: ApiProblem | None = None) -> Response:
    return await call.render(
        "admin/appoint.html",
        status=200 if problem is None else problem.status,
        errors=NO_ERRORS if problem is None else FormErrors.of(problem),
        user=await call.api.get(f"{USERS}{call.id}/"),
    )


async def _act(call: PageCall, action: str, done: str) -> Response:
    """Call the action with the reason of the form; errors are shown beside the field."""
    try:
        await call.api.post(f"{USERS}{call.id}/{action}/", {"reason": call.form.text("reason")})
    except ApiProblem as problem:
        return await _render_user(call, problem)
    return call.redirect(f"/admin/users/{call.id}/", done)
