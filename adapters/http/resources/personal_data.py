"""`users/api/v1/me/export/` and `users/api/v1/me/deletion/`: the data of a person, and their deletion."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

from adapters.http.confidential import Confidential
from adapters.http.dependencies import Dependencies
from adapters.http.execution.hashing_pool import Priority
from adapters.http.framework.auth import Access
from adapters.http.framework.download import DownloadResponse, next_chunk
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, no_content
from adapters.http.resources.account_administration import ReasonBody
from adapters.http.resources.users import ROOT, TAG, Code, GivenPassword
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.errors import AccountDeleted, LastStaffAccount, NotFound, TooManyAttempts
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.personal_data import OrdersOpen


class DeletionBody(Confidential):
    """`code` is needed for accounts with a second factor."""

    password: GivenPassword
    code: Code = ""


class PersonalDataSchema(msgspec.Struct):
    """Everything that is stored about the account, without password, secrets and tokens."""

    exported_at: datetime
    account: dict[str, Any]
    orders: list[dict[str, Any]]
    sales: list[dict[str, Any]]
    products: list[dict[str, Any]]
    pricing_policies: list[dict[str, Any]]
    pricing_experiments: list[dict[str, Any]]
    promotions: list[dict[str, Any]]
    api_keys: list[dict[str, Any]]
    webhooks: list[dict[str, Any]]


class PersonalDataResource:
    """Export and deletion of an account."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._personal_data = dependencies.market.personal_data

    @OperationSpec(
        method="GET",
        path=f"{ROOT}me/export/",
        name="exportProfile",
        summary="Download everything that is stored about the account",
        description="Five times an hour.",
        responses={200: ResponseSpec(PersonalDataSchema, "One document, which may be long.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, TooManyAttempts),
    )
    async def export_profile(self, call: Call[None, None]) -> Response:
        parts = await self._dependencies.run_in_thread(
            self._personal_data.export,
            call.identity.account_id,
            Actor(call.identity.account_id, call.client_address),
        )
        return self._download(parts)

    @OperationSpec(
        method="GET",
        path=f"{ROOT}{{id:id}}/export/",
        name="exportUser",
        summary="Download everything that is stored about an account",
        description="For requests of the owner that reach the operator by other ways. Five times an hour.",
        responses={200: ResponseSpec(PersonalDataSchema, "One document, which may be long.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(TooManyAttempts,),
    )
    async def export_user(self, call: Call[None, None]) -> Response:
        parts = await self._dependencies.run_in_thread(
            self._personal_data.export,
            AccountId(call.id),
            Actor(call.identity.account_id, call.client_address),
        )
        return self._download(parts)

    @OperationSpec(
        method="POST",
        path=f"{ROOT}me/deletion/",
        name="deleteProfile",
        summary="Delete the account",
        description="Removes all personal data, withdraws all products, and ends sessions, policies and webhooks."
        " Orders keep their lines and amounts. Refused while orders are open, or payments and refunds in progress.",
        responses={204: ResponseSpec(None, "The account is deleted.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, OrdersOpen, LastStaffAccount, AccountDeleted, TooManyAttempts),
    )
    async def delete_profile(self, call: Call[DeletionBody, None]) -> Response:
        address = call.client_address
        await self._dependencies.run_in_hasher(
            address,
            Priority.LOG_IN,
            self._personal_data.delete,
            call.identity.account_id,
            call.body.password,
            code=call.body.code,
            address=address,
        )
        return no_content()

    @OperationSpec(
        method="POST",
        path=f"{ROOT}{{id:id}}/deletion/",
        name="deleteUser",
        summary="Delete an account on request of its owner",
        description="As `deleteProfile`.",
        responses={204: ResponseSpec(None, "The account is deleted.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(OrdersOpen, LastStaffAccount, AccountDeleted),
    )
    async def delete_user(self, call: Call[ReasonBody, None]) -> Response:
        await self._dependencies.run_in_thread(
            self._personal_data.delete_for,
            AccountId(call.id),
            call.body.reason,
            Actor(call.identity.account_id, call.client_address),
        )
        return no_content()

    def _download(self, parts: Iterator[str]) -> Response:
        return DownloadResponse(self._chunks(parts), "account.json")

    async def _chunks(self, parts: Iterator[str]) -> AsyncIterator[bytes]:
        while chunk := await self._dependencies.run_in_thread(next_chunk, parts):
            yield chunk
