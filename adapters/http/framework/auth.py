"""Authentication by Bearer tokens."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request

from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Forbidden, NotAuthenticated, TokenNotValid
from scalecommerce_core.services.sessions import Identity

Authenticate = Callable[[str], Identity | Awaitable[Identity]]
"""Convert an access token to an identity, or raise `TokenNotValid`. Called in the event loop, so it must not block.

The result is an identity if it is known at once, else it must be awaited.
"""


class Access(StrEnum):
    """The access rule of an operation."""

    PUBLIC = "public"
    """Everybody; an Authorization header is ignored."""
    OPTIONAL = "optional"
    """Everybody, but the response may depend on the caller; an invalid token is rejected."""
    ACCOUNT = "account"
    """Authenticated callers."""
    STAFF = "staff"
    """Authenticated callers who are staff."""


BEARER: Final = "bearer"
MAX_TOKEN_LENGTH: Final = 4096
"""Characters of a token that is verified. Access tokens have about 400."""


async def authenticate_request(
    request: Request, access: Access, authenticate: Authenticate, scope: Scope | None = None
) -> Identity | None:
    """The identity of the caller, or None for an anonymous one.

    Raise `NotAuthenticated` or `TokenNotValid` (401), or `Forbidden` (403), as `access` requires, or for an API key
    without `scope`; None: no API key may do this. The account id is
    stored in the scope, for the security log, which is written where the identity is unknown.
    """
    token = read_token(request.headers, access)
    if token is None:
        return None
    identity = authenticate(token)
    if not isinstance(identity, Identity):
        identity = await identity
    request.scope["account_id"] = identity.account_id
    if identity.scopes is not None and (scope is None or scope not in identity.scopes):
        raise Forbidden(
            "API keys cannot do this: log in." if scope is None else f"This API key lacks the scope {scope}."
        )
    if access is Access.STAFF and not identity.is_staff:
        raise Forbidden("Only staff may do this.")
    return identity


def read_token(headers: Headers, access: Access) -> str | None:
    """The token of the Authorization header; None if `access` permits its absence or ignores it.

    Raise `NotAuthenticated` if it is missing, `TokenNotValid` if the header is not `Bearer <token>`.
    """
    if access is Access.PUBLIC:
        return None
    given = headers.getlist("authorization")
    if not given and access is Access.OPTIONAL:
        return None
    if not given:
        raise NotAuthenticated("Authentication required: send an access token as `Authorization: Bearer <token>`.")
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or len(token) > MAX_TOKEN_LENGTH or scheme.lower() != BEARER or not token.strip():
        raise TokenNotValid("The Authorization header must be `Bearer <token>`.")
    return token.strip()
