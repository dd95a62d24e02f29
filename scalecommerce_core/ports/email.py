"""E-mail: the sender, and the messages that wait to be sent."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import field, frozen

from scalecommerce_core.domain.identifiers import AccountId, EmailId
from scalecommerce_core.domain.outgoing_email import OutgoingEmail


@frozen
class Email:
    """A plain-text e-mail. `reference` is unique per attempt and becomes a part of the Message-ID."""

    recipient: str
    subject: str
    text: str = field(repr=False)
    reference: str


@frozen
class EmailFailure:
    """The e-mail was not accepted: never will be (`permanent`), or may be later. `reason` contains no text of it."""

    reason: str
    permanent: bool = False


class EmailSender(Protocol):
    """Hands e-mails over to a mail server."""

    def send(self, emails: Sequence[Email]) -> Sequence[EmailFailure | None]:
        """Send e-mails and return the result of each, None for success.

        Never raises for an e-mail or server that cannot be used. An e-mail whose result is a failure may have been
        sent, if the connection was lost before the server's answer.
        """
        ...


class OutgoingEmailRepository(Protocol):
    """E-mails that wait to be sent, by id."""

    def next_ids(self, count: int) -> Sequence[EmailId]:
        """Draw `count` new ids."""
        ...

    def add(self, emails: Collection[OutgoingEmail]) -> None:
        """Insert e-mails."""
        ...

    def claim_due(self, limit: int, now: datetime) -> Sequence[OutgoingEmail]:
        """Lock and read up to `limit` e-mails whose `try_at` has come, oldest first; skip those that are locked."""
        ...

    def lock(self, ids: Collection[EmailId]) -> Mapping[EmailId, OutgoingEmail]:
        """Lock and read e-mails."""
        ...

    def save(self, emails: Collection[OutgoingEmail]) -> None:
        """Update e-mails that this transaction has locked."""
        ...

    def delete(self, ids: Collection[EmailId]) -> None:
        """Delete e-mails that this transaction has locked."""
        ...

    def of_account(self, account_id: AccountId) -> Sequence[OutgoingEmail]:
        """Read the e-mails of an account without a lock, by id."""
        ...
