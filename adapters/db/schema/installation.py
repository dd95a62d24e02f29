"""The id of the installation, by which processes find out that a Redis database belongs to another one."""

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Table, Uuid

from adapters.db.schema.metadata import metadata

installation: Final = Table(
    "installation",
    metadata,
    # One row.
    Column("singleton", Boolean, CheckConstraint("singleton", name="one_row"), primary_key=True),
    Column("id", Uuid, nullable=False),
)
