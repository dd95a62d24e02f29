"""Accounts."""

import re
import unicodedata
from datetime import datetime
from typing import Final

from attrs import define, field, setters

from scalecommerce_core.domain.errors import AccountDeleted, Invalid
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.text import BIO_LENGTH, NAME_LENGTH, normal_line, normal_text, text_errors

EMAIL_LENGTH: Final = 254
"""Longest e-mail address, in characters (RFC 5321)."""
_LOCAL = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL: Final = re.compile(rf"{_LOCAL}@(?:{_LABEL}\.)+{_LABEL}")


def normal_email(text: str) -> str:
    """The address in lower case, because addresses are unique without case; raise `Invalid` for an invalid address.

    Only ASCII is accepted, as in RFC 5321 without SMTPUTF8: some other letters look like ASCII letters, and some become
    ASCII in lower case (KELVIN SIGN becomes k), so that two addresses could be confused. Internationalised host names
    must be written in Punycode (xn--…).
    """
    if not text.isascii():
        # Check before lower(), which turns such letters into ASCII.
        raise Invalid.field("email", "Only ASCII characters are allowed in an e-mail address.")
    email = text.strip().lower()
    if len(email) > EMAIL_LENGTH or not _EMAIL.fullmatch(email) or len(email.partition("@")[0]) > 64:
        raise Invalid.field("email", "Enter an e-mail address such as name@example.com.")
    return email


def matches_email(text: str, email: str) -> bool:
    """Whether `text` is the normalised address `email`, ignoring case."""
    try:
        return normal_email(text) == email
    except Invalid:
        return False


def public_name(account_id: AccountId, display_name: str, first_name: str, last_name: str) -> str:
    """The name under which products show an account: the one that its owner chose, or one derived from the profile.

    It never contains an e-mail address: `Kara S.`, or `Seller 7` without a first name.
    """
    if display_name:
        return display_name
    if not first_name or _looks_like_email(first_name):
        return f"Seller {account_id}"
    return f"{first_name} {last_name[0].upper()}." if last_name else first_name


def _looks_like_email(name: str) -> bool:
    return "@" in unicodedata.normalize("NFKC", name)


@define
class Account:
    """A person who buys, sells, or both. Staff can view and edit the data of all accounts."""

    id: AccountId = field(on_setattr=setters.frozen)
    email: str
    password_hash: str | None = field(repr=False)
    """None: the account has no password, so it cannot log in (imported customers)."""
    created_at: datetime = field(on_setattr=setters.frozen)
    first_name: str = ""
    last_name: str = ""
    bio: str = ""
    is_staff: bool = False
    is_active: bool = True
    email_verified_at: datetime | None = None
    """When the owner proved control of `email`; None: not yet."""
    display_name: str = ""
    """The name that the owner chose for products; empty: it is derived. Several accounts may have the same."""

    @property
    def public_name(self) -> str:
        """The name under which products show the account."""
        return public_name(self.id, self.display_name, self.first_name, self.last_name)

    @property
    def is_deleted(self) -> bool:
        """Whether `erase` was called."""
        return not self.is_active and self.password_hash is None and is_deleted_email(self.id, self.email)

    def check_not_deleted(self) -> None:
        """Raise `AccountDeleted` if the account was deleted."""
        if self.is_deleted:
            raise AccountDeleted(self.id)

    def erase(self, random_text: str) -> None:
        """Remove all personal data, the password and all rights for good.

        The address becomes free. `random_text` keeps strangers from taking the address that replaces it first.
        """
        begin, end = _deleted_email(self.id)
        self.email = f"{begin}{random_text}{end}"
        self.password_hash = None
        self.first_name = self.last_name = self.bio = self.display_name = ""
        self.is_staff = self.is_active = False
        self.email_verified_at = None

    def edit(
        self,
        *,
        first_name: str | None = None,
        last_name: str | None = None,
        bio: str | None = None,
        display_name: str | None = None,
    ) -> None:
        """Change the given fields of the profile; raise `Invalid` naming the fields, and change nothing then."""
        fields = {"first_name": first_name, "last_name": last_name, "bio": bio, "display_name": display_name}
        given = {
            name: normal_text(text) if name == "bio" else normal_line(text)
            for name, text in fields.items()
            if text is not None
        }
        longest = {"bio": BIO_LENGTH}
        errors = {name: text_errors(text, at_most=longest.get(name, NAME_LENGTH)) for name, text in given.items()}
        if _looks_like_email(given.get("display_name", "")):
            errors["display_name"].append("Products show this name to everybody, so it must not contain @.")
        if any(errors.values()):
            raise Invalid({name: said for name, said in errors.items() if said})
        for name, text in given.items():
            setattr(self, name, text)


def is_deleted_email(account_id: AccountId, email: str) -> bool:
    """Whether the address has the form of those that replace the addresses of deleted accounts."""
    begin, end = _deleted_email(account_id)
    return email.startswith(begin) and email.endswith(end)


def _deleted_email(account_id: AccountId) -> tuple[str, str]:
    """The beginning and end of the address that replaces the one of a deleted account (RFC 2606: `.invalid`)."""
    return f"deleted-{account_id}-", "@deleted.invalid"
