"""Accounts and log-in sessions."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Sequence,
    String,
    Table,
    Text,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from adapters.db.schema.metadata import Moment, metadata, one_of
from scalecommerce_core.domain.account import EMAIL_LENGTH
from scalecommerce_core.domain.account_token import TokenPurpose
from scalecommerce_core.domain.outgoing_email import EmailKind
from scalecommerce_core.domain.session import MAX_USER_AGENT
from scalecommerce_core.domain.text import BIO_LENGTH, CAUSE_LENGTH, NAME_LENGTH

# The core draws ids before it inserts rows. Sequences have no cache, so that numbers follow the order of arrival.
account_ids: Final = Sequence("account_ids", metadata=metadata)


accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("email", String(EMAIL_LENGTH), nullable=False, unique=True),
    Column("password_hash", Text),
    Column("first_name", String(NAME_LENGTH), nullable=False),
    Column("last_name", String(NAME_LENGTH), nullable=False),
    Column("bio", String(BIO_LENGTH), nullable=False),
    Column("is_staff", Boolean, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("email_verified_at", Moment),
    # The name that the owner chose for products; empty: it is derived from the profile.
    Column("display_name", String(NAME_LENGTH), nullable=False, server_default=text("''")),
    CheckConstraint("email = lower(email)", name="email_lower"),
)
# Deleted accounts are not active either, but have no product on sale.
DEACTIVATED: Final = text(
    "NOT accounts.is_active AND (accounts.password_hash IS NOT NULL OR right(accounts.email, 16) <> '@deleted.invalid')"
)
Index("accounts_deactivated_idx", accounts.c.id, postgresql_where=text(DEACTIVATED.text.replace("accounts.", "")))
# Texts by which staff search accounts. Three letters of a fragment make a trigram.
SEARCHED: Final = func.folded(
    accounts.c.email
    + literal_column("' '")
    + accounts.c.first_name
    + literal_column("' '")
    + accounts.c.last_name
    + literal_column("' '")
    + accounts.c.display_name
)
Index(
    "accounts_search_idx",
    SEARCHED.label("searched"),
    postgresql_using="gin",
    postgresql_ops={"searched": "gin_trgm_ops"},
)
Index("accounts_staff_idx", accounts.c.id, postgresql_where=text("is_staff"))

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("account_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("current", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("previous", String(255)),
    Column("rotated_at", Moment),
    Column("network", String(50), nullable=False, server_default=text("''")),
    Column("user_agent", String(MAX_USER_AGENT), nullable=False, server_default=text("''")),
)
Index("sessions_expires_idx", sessions.c.expires_at)
# API processes read the recent revocations when they start.
Index("sessions_revoked_idx", sessions.c.revoked_at, postgresql_where=text("revoked_at IS NOT NULL"))

# Tokens sent by e-mail; their texts are not stored.
account_tokens: Final = Table(
    "account_tokens",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("account_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    Column("email", String(EMAIL_LENGTH), nullable=False),
    Column("account_state", Text, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    one_of("purpose", TokenPurpose),
)

second_factors: Final = Table(
    "second_factors",
    metadata,
    Column("account_id", BigInteger, ForeignKey(accounts.c.id), primary_key=True, autoincrement=False),
    Column("encrypted_secret", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("confirmed_at", Moment),
    Column("last_step", BigInteger, nullable=False),
    # Digests of unused codes.
    Column("recovery_codes", JSONB, nullable=False),
)

api_key_ids: Final = Sequence("api_key_ids", metadata=metadata)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", BigInteger, ForeignKey(accounts.c.id), nullable=False, index=True),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("prefix", Text, nullable=False),
    # SHA-256 in hexadecimal.
    Column("digest", Text, nullable=False, unique=True),
    # Separated by spaces.
    Column("scopes", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("previous_digest", Text, unique=True),
    Column("previous_until", Moment),
    Column("used_at", Moment),
)

outgoing_email_ids: Final = Sequence("outgoing_email_ids", metadata=metadata)

outgoing_emails: Final = Table(
    "outgoing_emails",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("recipient", String(EMAIL_LENGTH), nullable=False),
    # Null for the reset of a password: the address may have no account.
    Column("account_id", BigInteger, ForeignKey(accounts.c.id), index=True),
    Column("created_at", Moment, nullable=False),
    Column("try_at", Moment, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("trouble", String(CAUSE_LENGTH)),
    one_of("kind", EmailKind),
)
