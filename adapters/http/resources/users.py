"""`users/api/v1/`: accounts, log-in and tokens."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.confidential import Confidential
from adapters.http.dependencies import Dependencies
from adapters.http.execution.hashing_pool import Priority
from adapters.http.framework.auth import Access
from adapters.http.framework.openapi import LOCATION
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response, no_content
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.framework.text_fields import ANY_TEXT, EXAMPLE_EMAIL, Bio, DisplayName, Email, Name
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import NotAuthenticated, NotFound, TokenNotValid, TooManyAttempts
from scalecommerce_core.queries import AccountFilter, AccountView
from scalecommerce_core.queries.accounts import MIN_FRAGMENT
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.second_factor_check import MAX_CODE, SecondFactorRejected, SecondFactorRequired

ROOT: Final = "/users/api/v1/"
TAG: Final = "Users"
MAX_PASSWORD: Final = 1024
"""Characters. Longer input is rejected before hashing; the core has a lower limit for new passwords."""
MAX_TOKEN: Final = 4096

RULES: Final = (
    "At least 8 characters; not only digits, not similar to the e-mail address or name, and not easy to guess, such as"
    " a common password with changed letters or added digits."
)
EXAMPLE: Final = "three words here"

NewPassword = Annotated[str, msgspec.Meta(max_length=MAX_PASSWORD, description=RULES, examples=[EXAMPLE])]
GivenPassword = Annotated[str, msgspec.Meta(max_length=MAX_PASSWORD, examples=[EXAMPLE])]
Code = Annotated[
    str,
    msgspec.Meta(
        max_length=MAX_CODE,
        description="The one-time password of the authenticator app, or a recovery code.",
        examples=["123456"],
    ),
]
Token = Annotated[str, msgspec.Meta(max_length=MAX_TOKEN, examples=["eyJhbGciOi…"])]


TOKEN_LINKS: Final = (
    Link("refreshToken", {}, {"refresh": "$response.body#/refresh"}),
    Link("verifyToken", {}, {"token": "$response.body#/access"}),
)


class UserSchema(msgspec.Struct):
    """`display_name` is the public name of a seller. Unless it is set, it is derived: `Kara S.`, or `Seller 7`."""

    id: int
    first_name: str
    last_name: str
    email: str
    bio: str
    display_name: str


class SignUpBody(Confidential):
    email: Email
    password: NewPassword
    first_name: Name = ""
    last_name: Name = ""
    bio: Bio = ""
    display_name: DisplayName = ""


class Credentials(Confidential):
    """`device_token` is the one that the last log-in on this device returned; it may be omitted. `code` is needed for
    accounts with a second factor.
    """

    email: Annotated[str, msgspec.Meta(max_length=1000, examples=[EXAMPLE_EMAIL])]
    password: GivenPassword
    device_token: Token = ""
    code: Code = ""


class RefreshBody(Confidential):
    refresh: Token


class VerifyBody(Confidential):
    token: Token


class TokensSchema(Confidential):
    access: str
    refresh: str


class LogInTokensSchema(Confidential):
    """Store `device_token` on the device, also after logging out, and send it with the next log-in."""

    access: str
    refresh: str
    device_token: str


class Nothing(msgspec.Struct):
    """An empty object."""


class ProfileBody(msgspec.Struct):
    """Omitted fields keep their values. An empty `display_name` is derived from the name."""

    first_name: Name | UnsetType = UNSET
    last_name: Name | UnsetType = UNSET
    bio: Bio | UnsetType = UNSET
    display_name: DisplayName | UnsetType = UNSET


class UserQuery(PageQuery, frozen=True):
    active: Annotated[
        Literal["true", "false", "any"], msgspec.Meta(description="Whether the account may log in.", examples=["any"])
    ] = "true"
    staff: Annotated[
        bool | None, msgspec.Meta(description="true: only staff; false: only others.", examples=[True])
    ] = None
    email: Annotated[
        Annotated[str, msgspec.Meta(max_length=1000)] | None,
        msgspec.Meta(description="The whole address.", examples=[EXAMPLE_EMAIL]),
    ] = None
    search: Annotated[
        Annotated[str, msgspec.Meta(min_length=MIN_FRAGMENT, max_length=100, extra_json_schema={"pattern": ANY_TEXT})]
        | None,
        msgspec.Meta(
            description="A part of the e-mail address or of a name, without case and accents.", examples=["kara"]
        ),
    ] = None


class PasswordBody(Confidential):
    """`code` is needed for accounts with a second factor. `revoke_api_keys` also ends the API keys of the account."""

    old_password: GivenPassword
    new_password: NewPassword
    code: Code = ""
    revoke_api_keys: bool = False


def to_user_schema(account: Account | AccountView) -> UserSchema:
    return UserSchema(
        account.id, account.first_name, account.last_name, account.email, account.bio, account.public_name
    )


class UserResource:
    """Accounts, sessions and tokens."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._accounts = dependencies.market.accounts
        self._sessions = dependencies.market.sessions
        self._queries = dependencies.market.queries

    @OperationSpec(
        method="POST",
        path=f"{ROOT}token/",
        name="logIn",
        summary="Log in",
        description="After too many wrong passwords, log-ins are answered with 429. Failures of strangers do not affect"
        " a client that sends the `device_token` of its last log-in. An account with a second factor needs a `code`:"
        " without it, the right password is answered with the code `second_factor_required`.",
        responses={200: ResponseSpec(LogInTokensSchema, "An access, a refresh and a device token.", links=TOKEN_LINKS)},
        tag=TAG,
        errors=(NotAuthenticated, SecondFactorRequired, SecondFactorRejected, TooManyAttempts),
    )
    async def log_in(self, call: Call[Credentials, None]) -> Response:
        address, body = call.client_address, call.body
        pair = await self._dependencies.run_in_hasher(
            address,
            Priority.LOG_IN,
            self._accounts.log_in,
            body.email,
            body.password,
            address=address,
            code=body.code,
            device_token=body.device_token,
            user_agent=call.request.headers.get("user-agent", ""),
        )
        return json_response(LogInTokensSchema(pair.access, pair.refresh, pair.device))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}token/refresh/",
        name="refreshToken",
        summary="Exchange a refresh token for a new pair",
        description="A refresh token can be exchanged once. A second exchange within the grace period (10 seconds by"
        " default) returns the same pair; a later one ends the session.",
        responses={200: ResponseSpec(TokensSchema, "The new pair.", links=TOKEN_LINKS)},
        tag=TAG,
        errors=(TokenNotValid,),
    )
    async def refresh_token(self, call: Call[RefreshBody, None]) -> Response:
        pair = await self._dependencies.run_in_thread(
            self._sessions.refresh, call.body.refresh, address=call.client_address
        )
        return json_response(TokensSchema(pair.access, pair.refresh))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}token/verify/",
        name="verifyToken",
        summary="Check a token",
        responses={200: ResponseSpec(Nothing, "The token is valid.")},
        tag=TAG,
        errors=(TokenNotValid,),
    )
    async def verify_token(self, call: Call[VerifyBody, None]) -> Response:
        await self._dependencies.run_in_thread(self._sessions.verify, call.body.token)
        return json_response(Nothing())

    @OperationSpec(
        method="GET",
        path=ROOT,
        name="listUsers",
        summary="List accounts",
        description="Active accounts by default.",
        responses={200: ResponseSpec(PageSchema[UserSchema], "Accounts by id.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def list_users(self, call: Call[None, UserQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        query = call.query
        criteria = AccountFilter(
            is_active=None if query.active == "any" else query.active == "true",
            is_staff=query.staff,
            email=None if query.email is None else query.email.strip().lower(),
            search=query.search,
        )
        page = await self._dependencies.run_in_thread(self._queries.accounts, page_request, criteria)
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, to_user_schema))

    @OperationSpec(
        method="GET",
        path=f"{ROOT}me/",
        name="readProfile",
        summary="Read the caller's profile",
        responses={200: ResponseSpec(UserSchema, "The profile.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound,),
    )
    async def read_profile(self, call: Call[None, None]) -> Response:
        account = await self._dependencies.run_in_thread(self._queries.account, call.identity.account_id)
        if account is None:
            raise NotFound("account", call.identity.account_id)
        return json_response(to_user_schema(account))

    @OperationSpec(
        method="PATCH",
        path=f"{ROOT}me/",
        name="editProfile",
        summary="Edit the caller's profile",
        responses={200: ResponseSpec(UserSchema, "The profile.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound,),
    )
    async def edit_profile(self, call: Call[ProfileBody, None]) -> Response:
        changes = {name: text for name, text in msgspec.structs.asdict(call.body).items() if text is not UNSET}
        account = await self._dependencies.run_in_thread(
            self._accounts.edit_profile, call.identity.account_id, **changes
        )
        return json_response(to_user_schema(account))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}sign-up/",
        name="signUp",
        summary="Create an account",
        description="E-mail addresses are unique regardless of case. If the shop sends e-mail, the address gets a link"
        " to confirm it.",
        responses={201: ResponseSpec(UserSchema, "The account.", [LOCATION])},
        tag=TAG,
        errors=(TooManyAttempts,),
    )
    async def sign_up(self, call: Call[SignUpBody, None]) -> Response:
        address, body = call.client_address, call.body
        # Before the queue of the hashing threads, so that a flood of sign-ups costs next to nothing.
        self._accounts.check_sign_up(address)
        command = SignUp(
            body.email,
            body.password,
            body.first_name,
            body.last_name,
            body.bio,
            verify_email=True,
            display_name=body.display_name,
        )
        outcomes = await self._dependencies.run_in_hasher(
            address, Priority.SIGN_UP, self._accounts.sign_up, [command], address=address
        )
        account = unwrap_single(outcomes)
        return json_response(to_user_schema(account), 201, {"Location": f"{ROOT}me/"})

    @OperationSpec(
        method="POST",
        path=f"{ROOT}password/",
        name="changePassword",
        summary="Change the password and end all other sessions",
        description="API keys remain valid unless `revoke_api_keys` is true.",
        responses={204: ResponseSpec(None, "The password is changed.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, TooManyAttempts),
    )
    async def change_password(self, call: Call[PasswordBody, None]) -> Response:
        address, body = call.client_address, call.body
        await self._dependencies.run_in_hasher(
            address,
            Priority.LOG_IN,
            self._accounts.change_password,
            call.identity,
            body.old_password,
            body.new_password,
            code=body.code,
            revoke_api_keys=body.revoke_api_keys,
            address=address,
        )
        return no_content()

    @OperationSpec(
        method="POST",
        path=f"{ROOT}logout/",
        name="logOut",
        summary="End this session",
        responses={204: ResponseSpec(None, "The tokens of the session are invalid.")},
        tag=TAG,
        access=Access.ACCOUNT,
    )
    async def log_out(self, call: Call[None, None]) -> Response:
        await self._dependencies.run_in_thread(self._sessions.log_out, call.identity, address=call.client_address)
        return no_content()
