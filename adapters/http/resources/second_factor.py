"""`users/api/v1/me/second-factor/`: one-time passwords of an authenticator app, and recovery codes."""

from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from adapters.http.confidential import Confidential
from adapters.http.dependencies import Dependencies
from adapters.http.execution.hashing_pool import Priority
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response, no_content
from adapters.http.resources.users import ROOT, TAG, Code, GivenPassword
from scalecommerce_core.domain.errors import NotFound, TooManyAttempts
from scalecommerce_core.services.second_factors import SecondFactorEnabled, SecondFactorNotEnabled

PATH: Final = f"{ROOT}me/second-factor/"


class SecondFactorSchema(msgspec.Struct):
    enabled: bool
    required: Annotated[
        bool, msgspec.Meta(description="Whether this account has rights of staff only with a second factor.")
    ]
    recovery_codes_left: int


class PasswordProofBody(Confidential):
    password: GivenPassword


class CodeBody(Confidential):
    code: Code


class BothProofsBody(Confidential):
    password: GivenPassword
    code: Code


class EnrolmentSchema(Confidential):
    secret: Annotated[str, msgspec.Meta(description="The secret in base32, to type it into an authenticator app.")]
    uri: Annotated[str, msgspec.Meta(description="The same as an `otpauth:` URI, to show it as a QR code.")]


class RecoveryCodesSchema(Confidential):
    recovery_codes: list[str]


class SecondFactorResource:
    """The second factor of the caller's account."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._second_factors = dependencies.market.second_factors

    @OperationSpec(
        method="GET",
        path=PATH,
        name="readSecondFactor",
        summary="Read whether the account has a second factor",
        responses={200: ResponseSpec(SecondFactorSchema, "The state of the second factor.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound,),
    )
    async def read_second_factor(self, call: Call[None, None]) -> Response:
        state = await self._dependencies.run_in_thread(self._second_factors.state, call.identity.account_id)
        return json_response(SecondFactorSchema(state.is_enabled, state.is_required, state.recovery_codes_left))

    @OperationSpec(
        method="POST",
        path=PATH,
        name="beginSecondFactor",
        summary="Begin to set up a second factor",
        description="Returns a secret for an authenticator app (TOTP, RFC 6238). Log-ins need its codes from"
        " `confirmSecondFactor` on. Repeating the operation replaces the secret.",
        responses={200: ResponseSpec(EnrolmentSchema, "The secret, which is shown only here.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, SecondFactorEnabled, TooManyAttempts),
    )
    async def begin_second_factor(self, call: Call[PasswordProofBody, None]) -> Response:
        address = call.client_address
        enrolment = await self._dependencies.run_in_hasher(
            address,
            Priority.LOG_IN,
            self._second_factors.begin,
            call.identity.account_id,
            call.body.password,
            address=address,
        )
        return json_response(EnrolmentSchema(enrolment.secret, enrolment.uri))

    @OperationSpec(
        method="POST",
        path=f"{PATH}confirm/",
        name="confirmSecondFactor",
        summary="Switch the second factor on with a code of the app",
        description="Ends all other sessions. Staff that need a second factor get their rights at the next exchange of"
        " the refresh token.",
        responses={200: ResponseSpec(RecoveryCodesSchema, "Ten recovery codes, which are shown only here.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, SecondFactorEnabled, SecondFactorNotEnabled, TooManyAttempts),
    )
    async def confirm_second_factor(self, call: Call[CodeBody, None]) -> Response:
        codes = await self._dependencies.run_in_thread(
            self._second_factors.confirm, call.identity, call.body.code, address=call.client_address
        )
        return json_response(RecoveryCodesSchema(list(codes)))

    @OperationSpec(
        method="POST",
        path=f"{PATH}recovery-codes/",
        name="renewRecoveryCodes",
        summary="Replace the recovery codes",
        responses={200: ResponseSpec(RecoveryCodesSchema, "Ten new codes; the former ones are invalid.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, SecondFactorNotEnabled, TooManyAttempts),
    )
    async def renew_recovery_codes(self, call: Call[BothProofsBody, None]) -> Response:
        address = call.client_address
        codes = await self._dependencies.run_in_hasher(
            address,
            Priority.LOG_IN,
            self._second_factors.renew_recovery_codes,
            call.identity,
            call.body.password,
            call.body.code,
            address=address,
        )
        return json_response(RecoveryCodesSchema(list(codes)))

    @OperationSpec(
        method="POST",
        path=f"{PATH}disable/",
        name="disableSecondFactor",
        summary="Switch the second factor off",
        description="Ends all other sessions. A recovery code is accepted as well.",
        responses={204: ResponseSpec(None, "Log-ins need the password only.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(NotFound, SecondFactorNotEnabled, TooManyAttempts),
    )
    async def disable_second_factor(self, call: Call[BothProofsBody, None]) -> Response:
        address = call.client_address
        await self._dependencies.run_in_hasher(
            address,
            Priority.LOG_IN,
            self._second_factors.disable,
            call.identity,
            call.body.password,
            call.body.code,
            address=address,
        )
        return no_content()
