"""`users/api/v1/{id}/`: what staff do with the accounts of others."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from adapters.http.confidential import Confidential
from adapters.http.dependencies import Dependencies
from adapters.http.execution.hashing_pool import Priority
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.text_fields import Reason
from adapters.http.resources.sessions import SessionListSchema, to_session_schema
from adapters.http.resources.users import ROOT, TAG, NewPassword
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.errors import AccountDeleted, LastStaffAccount, NotFound, OwnAccount
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import AccountDetails

ActionReason = Annotated[
    Reason,
    msgspec.Meta(
        description="Kept in the audit log, which staff can read.",
        examples=["Asked for it by phone."],
    ),
]


class ReasonBody(msgspec.Struct):
    reason: ActionReason


class AppointmentBody(Confidential):
    """`password` replaces the present one, because somebody else may have opened the account."""

    reason: ActionReason
    password: NewPassword


class AccountActionSchema(msgspec.Struct):
    """`actor` is the account that acted; null for an operator on the command line."""

    kind: str
    reason: str
    at: datetime
    actor: int | None


class AccountSchema(msgspec.Struct):
    """`actions` are the latest ones in the audit log, newest first."""

    id: int
    first_name: str
    last_name: str
    email: str
    bio: str
    is_staff: bool
    is_active: bool
    created_at: datetime
    actions: list[AccountActionSchema]


def to_account_schema(details: AccountDetails) -> AccountSchema:
    view = details.account
    return AccountSchema(
        view.id,
        view.first_name,
        view.last_name,
        view.email,
        view.bio,
        details.is_staff,
        details.is_active,
        details.created_at,
        [
            AccountActionSchema(each.action.verb, each.reason, each.occurred_at, each.actor_id)
            for each in details.actions
        ],
    )


class AccountAdministrationResource:
    """Accounts as staff see and change them."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._administration = dependencies.market.account_administration
        self._accounts = dependencies.market.accounts
        self._sessions = dependencies.market.sessions
        self._queries = dependencies.market.queries

    @OperationSpec(
        method="GET",
        path=f"{ROOT}{{id:id}}/",
        name="readUser",
        summary="Read an account with its history",
        responses={200: ResponseSpec(AccountSchema, "The account.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def read_user(self, call: Call[None, None]) -> Response:
        return await self._respond(AccountId(call.id))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}{{id:id}}/deactivate/",
        name="deactivateUser",
        summary="Deactivate an account",
        description="Ends its sessions: within a second no token is accepted. Its products are neither shown to buyers"
        " nor sold, its webhooks and pricing policies pause. Open orders continue.",
        responses={200: ResponseSpec(AccountSchema, "The account.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(OwnAccount, LastStaffAccount, AccountDeleted),
    )
    async def deactivate_user(self, call: Call[ReasonBody, None]) -> Response:
        return await self._act(self._administration.deactivate, call)

    @OperationSpec(
        method="POST",
        path=f"{ROOT}{{id:id}}/reactivate/",
        name="reactivateUser",
        summary="Reactivate an account",
        description="It may log in again, and its products, webhooks and pricing policies continue.",
        responses={200: ResponseSpec(AccountSchema, "The account.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(AccountDeleted,),
    )
    async def reactivate_user(self, call: Call[ReasonBody, None]) -> Response:
        return await self._act(self._administration.reactivate, call)

    @OperationSpec(
        method="POST",
        path=f"{ROOT}{{id:id}}/revoke-sessions/",
        name="revokeSessionsOfUser",
        summary="End all sessions of an account",
        description="The account may log in again.",
        responses={200: ResponseSpec(AccountSchema, "The account.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(AccountDeleted,),
    )
    async def revoke_sessions_of_user(self, call: Call[ReasonBody, None]) -> Response:
        return await self._act(self._administration.revoke_sessions, call)

    @OperationSpec(
        method="GET",
        path=f"{ROOT}{{id:id}}/sessions/",
        name="listSessionsOfUser",
        summary="List the open sessions of an account",
        description="The newest first, at most 200.",
        responses={200: ResponseSpec(SessionListSchema, "The sessions.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def list_sessions_of_user(self, call: Call[None, None]) -> Response:
        account_id = AccountId(call.id)
        if await self._dependencies.run_in_thread(self._queries.account, account_id) is None:
            raise NotFound("account", call.id)
        sessions = await self._dependencies.run_in_thread(self._sessions.list_open, account_id)
        own = call.identity.session_id
        return json_response(
            SessionListSchema([to_session_schema(each, is_current=each.id == own) for each in sessions])
        )

    @OperationSpec(
        method="POST",
        path=f"{ROOT}{{id:id}}/sessions/{{session:id}}/revoke/",
        name="revokeSessionOfUser",
        summary="End one session of an account",
        description="The account may log in again.",
        responses={200: ResponseSpec(AccountSchema, "The account.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(AccountDeleted,),
    )
    async def revoke_session_of_user(self, call: Call[ReasonBody, None]) -> Response:
        number = int(call.request.path_params["session"])
        account = await self._dependencies.run_in_thread(
            self._administration.revoke_session, AccountId(call.id), number, call.body.reason, _actor(call)
        )
        return await self._respond(account.id)

    @OperationSpec(
        method="POST",
        path=f"{ROOT}{{id:id}}/appoint-staff/",
        name="appointStaff",
        summary="Make an account staff",
        description="Sets a new password and ends all sessions, because somebody else may have opened the account; its"
        " names and description are cleared and its webhook endpoints disabled. Tell the new member of staff to change"
        " the password at once. The password of an account that is staff already is not changed (400).",
        responses={200: ResponseSpec(AccountSchema, "The account.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(AccountDeleted,),
    )
    async def appoint_staff(self, call: Call[AppointmentBody, None]) -> Response:
        account = await self._dependencies.run_in_thread(self._queries.account, AccountId(call.id))
        if account is None:
            raise NotFound("account", call.id)
        by = _actor(call)
        await self._dependencies.run_in_hasher(
            by.address,
            Priority.LOG_IN,
            self._accounts.appoint_staff,
            account.email,
            call.body.password,
            reason=call.body.reason,
            by=by,
        )
        return await self._respond(account.id)

    @OperationSpec(
        method="POST",
        path=f"{ROOT}{{id:id}}/dismiss-staff/",
        name="dismissStaff",
        summary="Withdraw the staff rights of an account",
        description="Ends its sessions: within a second its tokens are not accepted. It may log in as an ordinary"
        " account. An account that is not staff stays unchanged.",
        responses={200: ResponseSpec(AccountSchema, "The account.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(OwnAccount, LastStaffAccount, AccountDeleted),
    )
    async def dismiss_staff(self, call: Call[ReasonBody, None]) -> Response:
        return await self._act(self._administration.dismiss_staff, call)

    async def _act(self, act: Callable[[AccountId, str, Actor], Account], call: Call[ReasonBody, None]) -> Response:
        account = await self._dependencies.run_in_thread(act, AccountId(call.id), call.body.reason, _actor(call))
        return await self._respond(account.id)

    async def _respond(self, account_id: AccountId) -> Response:
        details = await self._dependencies.run_in_thread(self._queries.account_details, account_id)
        if details is None:
            raise NotFound("account", account_id)
        return json_response(to_account_schema(details))


def _actor(call: Call[Any, None]) -> Actor:
    return Actor(call.identity.account_id, call.client_address)
