"""`users/api/v1/me/sessions/`: the sessions of the caller."""

from datetime import datetime
from typing import Final

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response, no_content
from adapters.http.resources.users import ROOT, TAG
from scalecommerce_core.queries import SessionView

SESSIONS: Final = f"{ROOT}me/sessions/"


class SessionSchema(msgspec.Struct):
    """`used_at` is the time of the last refresh. `network` and `user_agent` describe the client that logged in."""

    id: int
    is_current: bool
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    network: str
    user_agent: str


class SessionListSchema(msgspec.Struct):
    results: list[SessionSchema]


def to_session_schema(view: SessionView, *, is_current: bool) -> SessionSchema:
    return SessionSchema(
        view.number, is_current, view.created_at, view.used_at, view.expires_at, view.network, view.user_agent
    )


class SessionResource:
    """The caller's own sessions."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._sessions = dependencies.market.sessions

    @OperationSpec(
        method="GET",
        path=SESSIONS,
        name="listSessions",
        summary="List the caller's open sessions",
        description="The newest first, at most 200.",
        responses={200: ResponseSpec(SessionListSchema, "The sessions.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def list_sessions(self, call: Call[None, None]) -> Response:
        who = call.identity
        sessions = await self._dependencies.run_in_thread(self._sessions.list_open, who.account_id)
        return json_response(
            SessionListSchema([to_session_schema(each, is_current=each.id == who.session_id) for each in sessions])
        )

    @OperationSpec(
        method="DELETE",
        path=f"{SESSIONS}{{id:id}}/",
        name="revokeSession",
        summary="End one of the caller's sessions",
        responses={204: ResponseSpec(None, "The tokens of the session are invalid.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def revoke_session(self, call: Call[None, None]) -> Response:
        await self._dependencies.run_in_thread(
            self._sessions.revoke, call.identity, call.id, address=call.client_address
        )
        return no_content()

    @OperationSpec(
        method="POST",
        path=f"{SESSIONS}revoke-others/",
        name="revokeOtherSessions",
        summary="End all other sessions of the caller",
        responses={204: ResponseSpec(None, "Only this session remains.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def revoke_other_sessions(self, call: Call[None, None]) -> Response:
        await self._dependencies.run_in_thread(self._sessions.revoke_others, call.identity, address=call.client_address)
        return no_content()
