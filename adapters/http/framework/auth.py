"""Who calls: a Bearer token, or nobody."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from starlette.datastructures import Headers

from scalecommerce_core.domain.errors import Forbidden, NotAuthenticated, TokenNotValid
from scalecommerce_core.services.accounts import Identity

Authenticate = Callable[[str], Identity]
"""Whose token this is; raises `TokenNotValid`. Called on the event loop, so it must not wait for anything."""


class Access(StrEnum):
    """Who may use an operation."""

    PUBLIC = "public"
    """Anyone; a token is not even looked at."""
    OPTIONAL = "optional"
    """Anyone, but the answer may depend on who asks; a bad token is refused."""
    ACCOUNT = "account"
    STAFF = "staff"


BEARER: Final = "bearer"


def authenticate_request(headers: Headers, access: Access, authenticate: Authenticate) -> Identity | None:
    """The identity behind the request; raise `NotAuthenticated` (401) or `Forbidden` (403)."""
    if access is Access.PUBLIC:
        return None
    given = headers.getlist("authorization")
    if not given and access is Access.OPTIONAL:
        return None
    if not given:
        raise NotAuthenticated("Log in first: an access token is wanted as Authorization: Bearer.")
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != BEARER or not token.strip():
        raise TokenNotValid("The Authorization header is not a Bearer token.")
    identity = authenticate(token.strip())
    if access is Access.STAFF and not identity.is_staff:
        raise Forbidden("This is for staff.")
    return identity
