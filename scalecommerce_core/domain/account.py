"""Accounts and their log-in sessions."""

import re
from datetime import datetime
from typing import Final

from attrs import define, field, setters

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.text import BIO_LENGTH, NAME_LENGTH, text_errors

EMAIL_LENGTH: Final = 254
_LOCAL = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL: Final = re.compile(rf"{_LOCAL}@(?:{_LABEL}\.)+{_LABEL}")


def normal_email(text: str) -> str:
    """The address in lower case (addresses are unique whatever their case); `Invalid` if it is none."""
    email = text.strip().lower()
    if len(email) > EMAIL_LENGTH or not _EMAIL.fullmatch(email) or len(email.partition("@")[0]) > 64:
        raise Invalid.field("email", "Enter an e-mail address such as name@example.com.")
    return email


@define
class Account:
    """A person who buys, sells, or both; staff see and mend what others own."""

    id: AccountId = field(on_setattr=setters.frozen)
    email: str
    password_hash: str | None
    """None: no password opens this account (imported customers)."""
    created_at: datetime = field(on_setattr=setters.frozen)
    first_name: str = ""
    last_name: str = ""
    bio: str = ""
    is_staff: bool = False
    is_active: bool = True

    def edit(self, *, first_name: str | None = None, last_name: str | None = None, bio: str | None = None) -> None:
        """Change the profile; None leaves a field as it is.

        Raise `Invalid` naming the fields; nothing is changed then.
        """
        wanted = {"first_name": first_name, "last_name": last_name, "bio": bio}
        given = {name: text for name, text in wanted.items() if text is not None}
        longest = {"bio": BIO_LENGTH}
        errors = {name: text_errors(text, at_most=longest.get(name, NAME_LENGTH)) for name, text in given.items()}
        if any(errors.values()):
            raise Invalid({name: said for name, said in errors.items() if said})
        for name, text in given.items():
            setattr(self, name, text)


@define
class Session:
    """A refresh family: only `current` may be exchanged, and only while the session is not revoked."""

    id: SessionId = field(on_setattr=setters.frozen)
    account_id: AccountId = field(on_setattr=setters.frozen)
    current: str
    """The `jti` of the newest refresh token."""
    created_at: datetime = field(on_setattr=setters.frozen)
    expires_at: datetime
    revoked_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at

    def revoke(self, now: datetime) -> None:
        if self.revoked_at is None:
            self.revoked_at = now
