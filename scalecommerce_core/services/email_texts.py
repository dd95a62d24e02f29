"""Subjects and texts of e-mails."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from scalecommerce_core.domain.account_token import TokenPurpose
from scalecommerce_core.domain.outgoing_email import EmailKind

TOKEN_PURPOSES: Final[Mapping[EmailKind, TokenPurpose]] = {
    EmailKind.VERIFY_EMAIL: TokenPurpose.VERIFY_EMAIL,
    EmailKind.CHANGE_EMAIL: TokenPurpose.CHANGE_EMAIL,
    EmailKind.RESET_PASSWORD: TokenPurpose.RESET_PASSWORD,
}
"""The kinds of e-mails with a token, and its purpose."""

PAGES: Final[Mapping[TokenPurpose, str]] = {
    TokenPurpose.VERIFY_EMAIL: "/verify-email",
    TokenPurpose.CHANGE_EMAIL: "/verify-email",
    TokenPurpose.RESET_PASSWORD: "/reset-password",
}
"""Paths of the shop's pages that links lead to. The token is in the fragment, which browsers do not send to servers."""

_SUBJECTS: Final[Mapping[EmailKind, str]] = {
    EmailKind.VERIFY_EMAIL: "Confirm your e-mail address",
    EmailKind.CHANGE_EMAIL: "Confirm your new e-mail address",
    EmailKind.RESET_PASSWORD: "Reset your password",
    EmailKind.EMAIL_CHANGE_REQUESTED: "Your e-mail address is about to change",
    EmailKind.EMAIL_CHANGED: "Your e-mail address was changed",
    EmailKind.PASSWORD_CHANGED: "Your password was changed",
    EmailKind.PASSWORD_RESET: "Your password was reset",
    EmailKind.SECOND_FACTOR_ENABLED: "Two-step log-in was switched on",
    EmailKind.SECOND_FACTOR_DISABLED: "Two-step log-in was switched off",
    EmailKind.RECOVERY_CODE_USED: "A recovery code was used to log in",
    EmailKind.ACCOUNT_DELETED: "Your account was deleted",
}
_NOT_YOU: Final = "If this was not you, reset your password at once and tell the operator of the shop."
_TEXTS: Final[Mapping[EmailKind, str]] = {
    EmailKind.VERIFY_EMAIL: (
        "Please confirm that this e-mail address is yours.\n\n{link}\n\n"
        "If you have not opened an account, ignore this message."
    ),
    EmailKind.CHANGE_EMAIL: (
        "Please confirm that this is the new e-mail address of your account.\n\n{link}\n\n"
        "If you have not asked for this, ignore this message."
    ),
    EmailKind.RESET_PASSWORD: (
        "Somebody, probably you, asked for a new password for the account of this e-mail address.\n\n{link}\n\n"
        "Setting it ends all sessions and revokes all API keys. If you have not asked for this, ignore this message:"
        " nothing has changed."
    ),
    EmailKind.EMAIL_CHANGE_REQUESTED: (
        "Your account asked for another e-mail address. It changes when the new address is confirmed.\n\n"
        "If this was not you, change your password at once: this makes the request invalid."
    ),
    EmailKind.EMAIL_CHANGED: (
        "Your account has another e-mail address now; messages are no longer sent to this one.\n\n"
        "If this was not you, tell the operator of the shop."
    ),
    EmailKind.PASSWORD_CHANGED: (
        f"The password of your account was changed, and its other sessions were ended.\n\n{_NOT_YOU}"
    ),
    EmailKind.PASSWORD_RESET: (
        "The password of your account was reset by e-mail. All sessions were ended and all API keys revoked: programs"
        f" that use keys need new ones.\n\n{_NOT_YOU}"
    ),
    EmailKind.SECOND_FACTOR_ENABLED: f"From now on, your account asks for a code when you log in.\n\n{_NOT_YOU}",
    EmailKind.SECOND_FACTOR_DISABLED: f"Your account no longer asks for a code when you log in.\n\n{_NOT_YOU}",
    EmailKind.RECOVERY_CODE_USED: (
        "Somebody logged in to your account with a recovery code, which is used up now. Make new codes if few are"
        f" left.\n\n{_NOT_YOU}"
    ),
    EmailKind.ACCOUNT_DELETED: (
        "Your account was deleted, and your name, e-mail address, password and sessions with it. The orders that you"
        " placed or received stay in the books of the shop, with their products, amounts and times, because they are"
        " part of the accounts of the other party; they name no person, only the number of the deleted account."
    ),
}


def email_text(kind: EmailKind, *, token: str = "", public_url: str = "", lifetime: timedelta | None = None) -> str:
    """The text of an e-mail. A link leads to a page at `public_url`; without one, the token stands alone."""
    link = ""
    if lifetime is not None:
        page = PAGES[TOKEN_PURPOSES[kind]]
        where = f"{public_url.rstrip('/')}{page}#token={token}" if public_url else f"Your token: {token}"
        link = f"{where}\n\nIt works once, within {_duration(lifetime)}."
    return _TEXTS[kind].replace("{link}", link) + "\n"


def email_subject(kind: EmailKind) -> str:
    """The subject of an e-mail."""
    return _SUBJECTS[kind]


def _duration(lifetime: timedelta) -> str:
    minutes = max(1, round(lifetime.total_seconds() / 60))
    for unit, name in ((24 * 60, "day"), (60, "hour"), (1, "minute")):
        if minutes % unit == 0 and minutes >= unit:
            return f"{minutes // unit} {name}{'s' if minutes != unit else ''}"
    raise AssertionError
