"""Examples of `users/api/v1/`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from adapters.http.examples.demo_market import (
    BUYER,
    BUYER_ID,
    COLLEAGUE,
    COLLEAGUE_ID,
    CURSOR,
    EARLIER,
    LONG_AGO,
    NOW,
    PASSWORD,
    ROOT,
    SELLER,
    STAFF,
    STAFF_ID,
)
from adapters.http.framework.example import Example
from adapters.http.framework.pagination import PageSchema
from adapters.http.resources.account_administration import AccountActionSchema, AccountSchema
from adapters.http.resources.account_emails import EXAMPLE_TOKEN
from adapters.http.resources.api_keys import ApiKeyListSchema, ApiKeySchema, NewApiKeySchema
from adapters.http.resources.personal_data import PersonalDataSchema
from adapters.http.resources.second_factor import EnrolmentSchema, RecoveryCodesSchema, SecondFactorSchema
from adapters.http.resources.sessions import SessionListSchema, SessionSchema
from adapters.http.resources.users import EXAMPLE, LogInTokensSchema, Nothing, TokensSchema, UserSchema
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.audit import AuditAction
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotAuthenticated, NotFound, TokenNotValid
from scalecommerce_core.services.password_reset import TOKEN_REFUSED
from scalecommerce_core.services.sessions import LOGIN_REFUSED

NEW_PASSWORD: Final = "nine small teapots"  # noqa: S105 - an example
TOKEN: Final = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxMCJ9.c2lnbmF0dXJl"  # noqa: S105 - an example
API_KEY: Final = "sk_" + "Qm9va3NoZWxmIG9mIHRoZSB3YXJlaG91c2UgIzEyMzQ"
SESSION_NUMBER: Final = 6_402_373_705_728_000
FAR: Final = NOW + timedelta(days=14)
REFRESH: Final = "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.eyJzdWIiOiIxMCJ9.c2lnbmF0dXJl"
DEVICE: Final = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImR0K2p3dCJ9.eyJzdWIiOiIxMCJ9.c2lnbmF0dXJl"

SECRET: Final = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  # noqa: S105 - an example
RECOVERY_CODES: Final = ["MZXW-6YTB-OI7G-CYLS-NFQW-4LB6", "ONSW-G4TF-OQQH-I3ZA-OVZW-KIDP"]

_STAFF: Final = UserSchema(STAFF_ID, "Omar", "Sexton", STAFF, "", "Omar S.")
_EDITED: Final = UserSchema(STAFF_ID, "Omar", "Sexton", STAFF, "Looks after the market.", "Omar of the market")
_GONE: Final = NotFound("account", STAFF_ID)
_NEW_KEY: Final = NewApiKeySchema(
    1, "Warehouse", API_KEY[:11], [Scope.ORDERS_READ, Scope.PRODUCTS_WRITE], EARLIER, None, API_KEY
)
_SESSION_ENDED: Final = TokenNotValid("The session has ended: log in again.")


def _account(kind: AuditAction, reason: str, *, is_active: bool = True, is_staff: bool = False) -> AccountSchema:
    """The account of the examples after an action of the staff account."""
    id_ = (
        COLLEAGUE_ID if kind in {AuditAction.ACCOUNT_STAFF_APPOINTED, AuditAction.ACCOUNT_STAFF_DISMISSED} else BUYER_ID
    )
    names = ("", "") if id_ == COLLEAGUE_ID else ("Rosa", "Tanaka")
    email = COLLEAGUE if id_ == COLLEAGUE_ID else BUYER
    actions = [AccountActionSchema(kind.value, reason, NOW, STAFF_ID)]
    return AccountSchema(id_, *names, email, "", is_staff, is_active, LONG_AGO, actions)


_EXPORT: Final = PersonalDataSchema(
    exported_at=NOW,
    account={"id": STAFF_ID, "email": STAFF, "first_name": "Omar", "last_name": "Sexton"},
    orders=[],
    sales=[],
    products=[],
    pricing_policies=[],
    pricing_experiments=[],
    promotions=[],
    api_keys=[],
    webhooks=[],
)

EXAMPLES: Final[Mapping[str, Example]] = {
    "logIn": Example(
        body={"email": STAFF, "password": PASSWORD},
        alternatives={
            "A seller": {"email": SELLER, "password": PASSWORD},
            "A buyer": {"email": BUYER, "password": PASSWORD},
            "After the example of changePassword": {"email": STAFF, "password": NEW_PASSWORD},
            "The account that the example of signUp creates": {"email": "kara@example.com", "password": EXAMPLE},
        },
        responses={200: LogInTokensSchema(TOKEN, REFRESH, DEVICE)},
        problems=[NotAuthenticated(LOGIN_REFUSED)],
    ),
    "refreshToken": Example(
        body={"refresh": REFRESH},
        responses={200: TokensSchema(TOKEN, REFRESH)},
        problems=[_SESSION_ENDED],
    ),
    "verifyToken": Example(
        body={"token": TOKEN},
        responses={200: Nothing()},
        problems=[TokenNotValid("The token has expired.")],
    ),
    "listUsers": Example(
        responses={
            200: PageSchema(
                next=f"{ROOT}/users/api/v1/?cursor={CURSOR}",
                previous=None,
                results=[UserSchema(1, "Karl", "Lopez", SELLER, "", "Karl L."), _STAFF],
            )
        },
    ),
    "readProfile": Example(responses={200: _STAFF}, problems=[_GONE]),
    "editProfile": Example(
        body={"first_name": "Omar", "last_name": "Sexton", "bio": _EDITED.bio, "display_name": _EDITED.display_name},
        responses={200: _EDITED},
        invalid_body={"first_name": None},
        problems=[_GONE],
    ),
    "signUp": Example(
        body={"email": "kara@example.com", "password": EXAMPLE, "first_name": "Kara", "bio": "Sells tea."},
        responses={201: UserSchema(11, "Kara", "", "kara@example.com", "Sells tea.", "Kara")},
        problems=[Invalid.field("email", "An account with this e-mail address exists already.")],
    ),
    "listSessions": Example(
        responses={
            200: SessionListSchema(
                [SessionSchema(SESSION_NUMBER, True, EARLIER, NOW, FAR, "192.0.2.0/24", "Mozilla/5.0 (X11)")]
            )
        }
    ),
    "revokeSession": Example(
        is_refused=True, parameters={"id": SESSION_NUMBER}, problems=[NotFound("session", SESSION_NUMBER)]
    ),
    "revokeOtherSessions": Example(),
    "createApiKey": Example(
        body={"name": "Warehouse", "scopes": ["orders:read", "products:write"], "password": NEW_PASSWORD},
        alternatives={
            "Without the example of changePassword": {
                "name": "Warehouse",
                "scopes": ["orders:read", "products:write"],
                "password": PASSWORD,
            }
        },
        responses={201: _NEW_KEY},
        problems=[
            _GONE,
            Forbidden("Only staff may create keys with the scope staff."),
            Invalid.field("password", "This is not your password."),
        ],
    ),
    "listApiKeys": Example(
        responses={
            200: ApiKeyListSchema(
                [
                    ApiKeySchema(
                        1, "Warehouse", API_KEY[:11], [Scope.ORDERS_READ, Scope.PRODUCTS_WRITE], EARLIER, None, NOW
                    )
                ]
            )
        }
    ),
    "rotateApiKey": Example(
        parameters={"id": 1},
        body={"password": NEW_PASSWORD},
        alternatives={"Without the example of changePassword": {"password": PASSWORD}},
        responses={200: _NEW_KEY},
        problems=[NotFound("API key", 1), Invalid.field("password", "This is not your password.")],
    ),
    "revokeApiKey": Example(parameters={"id": 1}, problems=[NotFound("API key", 1)]),
    "readUser": Example(
        parameters={"id": BUYER_ID},
        responses={200: _account(AuditAction.ACCOUNT_REACTIVATED, "It was a mistake.")},
    ),
    "deactivateUser": Example(
        parameters={"id": BUYER_ID},
        body={"reason": "Asked for it by phone."},
        responses={200: _account(AuditAction.ACCOUNT_DEACTIVATED, "Asked for it by phone.", is_active=False)},
    ),
    "reactivateUser": Example(
        parameters={"id": BUYER_ID},
        body={"reason": "It was a mistake."},
        responses={200: _account(AuditAction.ACCOUNT_REACTIVATED, "It was a mistake.")},
    ),
    "revokeSessionsOfUser": Example(
        parameters={"id": BUYER_ID},
        body={"reason": "A telephone was stolen."},
        responses={200: _account(AuditAction.ACCOUNT_SESSIONS_REVOKED, "A telephone was stolen.")},
    ),
    "listSessionsOfUser": Example(
        parameters={"id": BUYER_ID},
        responses={
            200: SessionListSchema(
                [SessionSchema(SESSION_NUMBER, False, EARLIER, NOW, FAR, "192.0.2.0/24", "Mozilla/5.0 (X11)")]
            )
        },
    ),
    "revokeSessionOfUser": Example(
        is_refused=True,
        parameters={"id": BUYER_ID, "session": SESSION_NUMBER},
        body={"reason": "A telephone was stolen."},
        responses={200: _account(AuditAction.ACCOUNT_SESSION_REVOKED, "A telephone was stolen.")},
        problems=[NotFound("session", SESSION_NUMBER)],
    ),
    "appointStaff": Example(
        parameters={"id": COLLEAGUE_ID},
        body={"reason": "Joins the team.", "password": EXAMPLE},
        responses={200: _account(AuditAction.ACCOUNT_STAFF_APPOINTED, "Joins the team.", is_staff=True)},
        problems=[Invalid.field("password", "At least 8 characters are required.")],
    ),
    "dismissStaff": Example(
        parameters={"id": COLLEAGUE_ID},
        body={"reason": "Leaves the team."},
        responses={200: _account(AuditAction.ACCOUNT_STAFF_DISMISSED, "Leaves the team.")},
    ),
    "changePassword": Example(
        body={"old_password": PASSWORD, "new_password": NEW_PASSWORD},
        problems=[_GONE, Invalid.field("old_password", "This is not your password.")],
    ),
    "requestPasswordReset": Example(body={"email": BUYER}),
    "confirmPasswordReset": Example(
        body={"token": EXAMPLE_TOKEN, "new_password": NEW_PASSWORD},
        is_refused=True,
        problems=[Invalid.field("token", TOKEN_REFUSED)],
    ),
    "changeEmail": Example(
        body={"email": "omar@example.com", "password": NEW_PASSWORD},
        problems=[_GONE, Invalid.field("password", "This is not your password.")],
    ),
    "requestEmailVerification": Example(problems=[_GONE]),
    "readSecondFactor": Example(
        responses={200: SecondFactorSchema(enabled=True, required=False, recovery_codes_left=9)}
    ),
    "beginSecondFactor": Example(
        body={"password": NEW_PASSWORD},
        responses={200: EnrolmentSchema(SECRET, f"otpauth://totp/scalecommerce:omar%40example.com?secret={SECRET}")},
        problems=[_GONE, Invalid.field("password", "This is not your password.")],
    ),
    "confirmSecondFactor": Example(
        body={"code": "123456"},
        responses={200: RecoveryCodesSchema(RECOVERY_CODES)},
        is_refused=True,
        problems=[_GONE, Invalid.field("code", "The code is wrong, has expired or was used before.")],
    ),
    "renewRecoveryCodes": Example(
        body={"password": NEW_PASSWORD, "code": "123456"},
        responses={200: RecoveryCodesSchema(RECOVERY_CODES)},
        is_refused=True,
        problems=[_GONE, Invalid.field("code", "The code is wrong, has expired or was used before.")],
    ),
    "disableSecondFactor": Example(
        body={"password": NEW_PASSWORD, "code": RECOVERY_CODES[0]},
        is_refused=True,
        problems=[_GONE, Invalid.field("code", "The code is wrong, has expired or was used before.")],
    ),
    "exportProfile": Example(responses={200: _EXPORT}, problems=[_GONE]),
    "exportUser": Example(parameters={"id": STAFF_ID}, responses={200: _EXPORT}),
    "deleteProfile": Example(
        body={"password": NEW_PASSWORD},
        is_refused=True,
        problems=[_GONE, Invalid.field("password", "This is not your password.")],
    ),
    "deleteUser": Example(
        parameters={"id": STAFF_ID},
        body={"reason": "Asked for it by e-mail."},
        is_refused=True,
    ),
    "confirmEmail": Example(
        body={"token": EXAMPLE_TOKEN}, is_refused=True, problems=[Invalid.field("token", TOKEN_REFUSED)]
    ),
}
