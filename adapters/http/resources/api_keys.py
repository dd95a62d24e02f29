"""`users/api/v1/me/api-keys/`: the caller's keys for programs."""

from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from adapters.http.confidential import Confidential
from adapters.http.dependencies import Dependencies
from adapters.http.execution.hashing_pool import Priority
from adapters.http.framework.auth import Access
from adapters.http.framework.idempotency_key import build_idempotency_key
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response, no_content
from adapters.http.framework.text_fields import KeyName
from adapters.http.resources.users import ROOT, TAG, Code, GivenPassword
from scalecommerce_core.domain.api_key import ApiKey, Scope
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.errors import Forbidden, NotFound, TooManyAttempts
from scalecommerce_core.domain.identifiers import ApiKeyId
from scalecommerce_core.services.api_keys import CreatedKey, SecretShownOnce, TooManyApiKeys, render_key_id

KEYS: Final = f"{ROOT}me/api-keys/"
PROOFS: Final = ("password", "code")
REPEATED: Final = (
    " A repeated request with the same `Idempotency-Key` changes nothing and gets a 409 with the code"
    " `secret_shown_once`: its response cannot be stored, because it has the secret. It needs a new code of the second"
    " factor, since each code is accepted once."
)


class NewApiKey(Confidential, omit_defaults=True):
    """`expires_at` may be omitted for a key that does not expire. `password` is that of the caller; accounts with a
    second factor need a `code`.
    """

    name: KeyName
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=len(Scope))]
    password: GivenPassword
    expires_at: Annotated[datetime, msgspec.Meta(tz=True, examples=["2030-01-01T00:00:00Z"])] | None = None
    code: Code = ""


class RotationBody(Confidential, omit_defaults=True):
    """`password` is that of the caller; `code` is needed for accounts with a second factor."""

    password: GivenPassword
    code: Code = ""


class ApiKeySchema(msgspec.Struct):
    """`prefix` is the beginning of the key. `used_at` is up to a minute late; null: never used."""

    id: int
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


class NewApiKeySchema(Confidential):
    """Store `secret` now: it cannot be read again. Send it as `Authorization: Bearer sk_…`."""

    id: int
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    secret: str


class ApiKeyListSchema(msgspec.Struct):
    results: list[ApiKeySchema]


def to_api_key_schema(key: ApiKey) -> ApiKeySchema:
    return ApiKeySchema(key.id, key.name, key.prefix, sorted(key.scopes), key.created_at, key.expires_at, key.used_at)


def to_new_api_key_schema(created: CreatedKey) -> NewApiKeySchema:
    key = created.key
    return NewApiKeySchema(
        key.id, key.name, key.prefix, sorted(key.scopes), key.created_at, key.expires_at, created.secret
    )


class ApiKeyResource:
    """API keys. No operation here accepts an API key."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._api_keys = dependencies.market.api_keys
        self._accounts = dependencies.market.accounts

    @OperationSpec(
        method="POST",
        path=KEYS,
        name="createApiKey",
        summary="Create an API key",
        description="Needs the password, and a code of the second factor if there is one, so that a stolen access token"
        " cannot create a key. A key with the scope"
        " `staff` acts on the data of all accounts; only staff may create one." + REPEATED,
        responses={201: ResponseSpec(NewApiKeySchema, "The key with its secret.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, Forbidden, TooManyApiKeys, SecretShownOnce, TooManyAttempts),
        idempotent=True,
    )
    async def create_api_key(self, call: Call[NewApiKey, None]) -> Response:
        who, body, address = call.identity, call.body, call.client_address
        await self._check_owner(call)
        idempotency = await build_idempotency_key(call, render_key_id, secrets=PROOFS)
        created = await self._dependencies.run_in_thread(
            partial(self._api_keys.create, address=address, idempotency=idempotency),
            who,
            body.name,
            body.scopes,
            body.expires_at,
        )
        return json_response(to_new_api_key_schema(created), 201)

    @OperationSpec(
        method="GET",
        path=KEYS,
        name="listApiKeys",
        summary="List the caller's API keys",
        description="The newest first, without revoked and expired ones.",
        responses={200: ResponseSpec(ApiKeyListSchema, "The keys, without their secrets.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def list_api_keys(self, call: Call[None, None]) -> Response:
        keys = await self._dependencies.run_in_thread(self._api_keys.list_valid, call.identity.account_id)
        return json_response(ApiKeyListSchema([to_api_key_schema(key) for key in keys]))

    @OperationSpec(
        method="POST",
        path=f"{KEYS}{{id:id}}/rotate/",
        name="rotateApiKey",
        summary="Replace the secret of an API key",
        description="Needs the password, and a code of the second factor if there is one. The former secret remains"
        " valid for a day by default." + REPEATED,
        responses={200: ResponseSpec(NewApiKeySchema, "The key with its new secret.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, SecretShownOnce, TooManyAttempts),
        idempotent=True,
    )
    async def rotate_api_key(self, call: Call[RotationBody, None]) -> Response:
        await self._check_owner(call)
        idempotency = await build_idempotency_key(call, render_key_id, secrets=PROOFS)
        created = await self._dependencies.run_in_thread(
            partial(self._api_keys.rotate, address=call.client_address, idempotency=idempotency),
            call.identity,
            ApiKeyId(call.id),
        )
        return json_response(to_new_api_key_schema(created))

    @OperationSpec(
        method="DELETE",
        path=f"{KEYS}{{id:id}}/",
        name="revokeApiKey",
        summary="Revoke an API key",
        description="Within a second no process accepts it.",
        responses={204: ResponseSpec(None, "The key is invalid.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def revoke_api_key(self, call: Call[None, None]) -> Response:
        await self._dependencies.run_in_thread(
            self._api_keys.revoke,
            call.identity.account_id,
            ApiKeyId(call.id),
            Actor(call.identity.account_id, call.client_address),
        )
        return no_content()

    async def _check_owner(self, call: Call[NewApiKey, None] | Call[RotationBody, None]) -> None:
        address = call.client_address
        await self._dependencies.run_in_hasher(
            address,
            Priority.LOG_IN,
            self._accounts.check_owner,
            call.identity.account_id,
            call.body.password,
            call.body.code,
            address=address,
        )
