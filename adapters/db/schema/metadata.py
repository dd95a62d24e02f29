"""Metadata and column types shared by all tables."""

from enum import StrEnum
from typing import Final

from sqlalchemy import CHAR, TIMESTAMP, CheckConstraint, Column, MetaData, Numeric

from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE
from scalecommerce_core.domain.payment import AMOUNT_DIGITS

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

Moment: Final = TIMESTAMP(timezone=True)
Total: Final = Numeric(AMOUNT_DIGITS, 0)
"""An amount of a whole order in minor units: the amount of one line fits into 8 bytes, the sum of 100 does not."""


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def price_range(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} BETWEEN {MIN_PRICE} AND {MAX_PRICE}", name=f"{column}_range")


def currency_column() -> Column[str]:
    return Column("currency", CHAR(3), CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"), nullable=False)
