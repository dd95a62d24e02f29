"""`users/api/v1/password/reset/` and `users/api/v1/email/`: operations with tokens that are sent by e-mail."""

from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from adapters.http.confidential import Confidential
from adapters.http.dependencies import Dependencies
from adapters.http.execution.hashing_pool import Priority
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, no_content
from adapters.http.framework.text_fields import Email
from adapters.http.resources.users import ROOT, TAG, Code, GivenPassword, NewPassword
from scalecommerce_core.domain.errors import NotFound, TooManyAttempts
from scalecommerce_core.services.emails import EmailDisabled

MAX_TOKEN: Final = 100
EXAMPLE_TOKEN: Final = "6qk0W3M4aJvE7GvX0t2c1uLr8dYb5nZsPfHqTjKxRmA"  # noqa: S105 - an example

EmailToken = Annotated[
    str, msgspec.Meta(max_length=MAX_TOKEN, description="The token in the e-mail.", examples=[EXAMPLE_TOKEN])
]


class ResetRequestBody(msgspec.Struct):
    email: Email


class ResetBody(Confidential):
    token: EmailToken
    new_password: NewPassword


class EmailTokenBody(Confidential):
    token: EmailToken


class EmailChangeBody(Confidential):
    """`code` is needed for accounts with a second factor."""

    email: Email
    password: GivenPassword
    code: Code = ""


class PasswordResetResource:
    """A new password for an account whose password is forgotten."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._reset = dependencies.market.password_reset

    @OperationSpec(
        method="POST",
        path=f"{ROOT}password/reset/",
        name="requestPasswordReset",
        summary="Request an e-mail to reset a forgotten password",
        description="The response is the same whether or not the address has an account. The e-mail contains a token"
        " for `confirmPasswordReset`, which works once, within 30 minutes by default.",
        responses={204: ResponseSpec(None, "If the address has an account, an e-mail will be sent.")},
        tag=TAG,
        errors=(EmailDisabled, TooManyAttempts),
    )
    async def request_password_reset(self, call: Call[ResetRequestBody, None]) -> Response:
        await self._dependencies.run_in_thread(self._reset.request, call.body.email, address=call.client_address)
        return no_content()

    @OperationSpec(
        method="POST",
        path=f"{ROOT}password/reset/confirm/",
        name="confirmPasswordReset",
        summary="Set a new password with a token",
        description="Ends all sessions and API keys of the account. A second factor is still needed to log in.",
        responses={204: ResponseSpec(None, "The password is changed.")},
        tag=TAG,
        errors=(TooManyAttempts,),
    )
    async def confirm_password_reset(self, call: Call[ResetBody, None]) -> Response:
        address = call.client_address
        await self._dependencies.run_in_hasher(
            address, Priority.LOG_IN, self._reset.confirm, call.body.token, call.body.new_password, address=address
        )
        return no_content()


class EmailVerificationResource:
    """The e-mail address of an account."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._verification = dependencies.market.email_verification

    @OperationSpec(
        method="POST",
        path=f"{ROOT}email/",
        name="changeEmail",
        summary="Request another e-mail address",
        description="The new address gets a token for `confirmEmail`, the present one a notice. The address changes"
        " when it is confirmed. The response is the same whether or not the new address has an account.",
        responses={204: ResponseSpec(None, "An e-mail will be sent to the new address.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, EmailDisabled, TooManyAttempts),
    )
    async def change_email(self, call: Call[EmailChangeBody, None]) -> Response:
        address = call.client_address
        await self._dependencies.run_in_hasher(
            address,
            Priority.LOG_IN,
            self._verification.request_change,
            call.identity.account_id,
            call.body.email,
            call.body.password,
            code=call.body.code,
            address=address,
        )
        return no_content()

    @OperationSpec(
        method="POST",
        path=f"{ROOT}email/verification/",
        name="requestEmailVerification",
        summary="Request an e-mail to confirm the address",
        responses={204: ResponseSpec(None, "An e-mail will be sent, unless the address is confirmed already.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, EmailDisabled, TooManyAttempts),
    )
    async def request_email_verification(self, call: Call[None, None]) -> Response:
        await self._dependencies.run_in_thread(
            self._verification.request, call.identity.account_id, address=call.client_address
        )
        return no_content()

    @OperationSpec(
        method="POST",
        path=f"{ROOT}email/verification/confirm/",
        name="confirmEmail",
        summary="Confirm an e-mail address with a token",
        description="After `changeEmail`, the confirmed address replaces the former one.",
        responses={204: ResponseSpec(None, "The address is confirmed.")},
        tag=TAG,
        errors=(TooManyAttempts,),
    )
    async def confirm_email(self, call: Call[EmailTokenBody, None]) -> Response:
        await self._dependencies.run_in_thread(self._verification.confirm, call.body.token, address=call.client_address)
        return no_content()
