"""E-mails that wait to be sent."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, delete, select

from adapters.db.core.bulk_statements import Insert, Update, equals_any, id_array
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.schema import Moment, outgoing_email_ids, outgoing_emails
from scalecommerce_core.domain.identifiers import AccountId, EmailId
from scalecommerce_core.domain.outgoing_email import EmailKind, OutgoingEmail

_COLUMNS: Final = ("id", "kind", "recipient", "account_id", "created_at", "try_at", "attempts", "trouble")
_NUMBERS: Final = next_numbers_statement(outgoing_email_ids)
_INSERT: Final = Insert(outgoing_emails, *_COLUMNS)
_UPDATE: Final = Update(outgoing_emails, ["id"], "try_at", "attempts", "trouble")
_SELECTED: Final = select(*(outgoing_emails.c[name] for name in _COLUMNS))
_LOCK: Final = (
    _SELECTED.where(equals_any(outgoing_emails.c.id)).order_by(outgoing_emails.c.id).with_for_update(key_share=True)
)
_CLAIM: Final = (
    _SELECTED.where(outgoing_emails.c.try_at <= bindparam("now", type_=Moment))
    .order_by(outgoing_emails.c.try_at, outgoing_emails.c.id)
    .limit(bindparam("limit", type_=BigInteger))
    .with_for_update(key_share=True, skip_locked=True)
)
_OF_ACCOUNT: Final = _SELECTED.where(outgoing_emails.c.account_id == bindparam("account", type_=BigInteger)).order_by(
    outgoing_emails.c.id
)
_DELETE: Final = delete(outgoing_emails).where(equals_any(outgoing_emails.c.id))


class PostgresEmailRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def next_ids(self, count: int) -> Sequence[EmailId]:
        return [EmailId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def add(self, emails: Collection[OutgoingEmail]) -> None:
        self._sql.insert(_INSERT, [tuple(getattr(email, name) for name in _COLUMNS) for email in emails])

    def claim_due(self, limit: int, now: datetime) -> Sequence[OutgoingEmail]:
        return [_email(row) for row in self._sql.fetch_all(_CLAIM, {"now": now, "limit": limit})]

    def lock(self, ids: Collection[EmailId]) -> Mapping[EmailId, OutgoingEmail]:
        return {row[0]: _email(row) for row in self._sql.fetch_all(_LOCK, {"ids": id_array(ids)})}

    def save(self, emails: Collection[OutgoingEmail]) -> None:
        self._sql.update(_UPDATE, [(email.id, email.try_at, email.attempts, email.trouble) for email in emails])

    def delete(self, ids: Collection[EmailId]) -> None:
        self._sql.execute(_DELETE, {"ids": id_array(ids)})

    def of_account(self, account_id: AccountId) -> Sequence[OutgoingEmail]:
        return [_email(row) for row in self._sql.fetch_all(_OF_ACCOUNT, {"account": account_id})]


def _email(row: Sequence[Any]) -> OutgoingEmail:
    return OutgoingEmail(row[0], EmailKind(row[1]), *row[2:])
