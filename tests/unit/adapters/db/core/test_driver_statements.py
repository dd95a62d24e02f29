"""Statements that the driver executes without SQLAlchemy."""

from sqlalchemy import BigInteger, bindparam, select, text

from adapters.db.core.driver_statements import DriverStatement
from adapters.db.schema import orders


def test_a_statement_has_the_parameters_of_the_driver() -> None:
    statement = DriverStatement.compile(
        select(orders.c.id).where(orders.c.status == "PAID", orders.c.id > bindparam("after", type_=BigInteger))
    )
    assert b"%(after)s" in statement.sql
    assert statement.bind({"after": 3}) == {"status_1": "PAID", "after": 3}


def test_percent_signs_are_no_parameters() -> None:
    statement = DriverStatement.compile(text("SELECT 7 % :divisor"))
    assert statement.sql == b"SELECT 7 %% %(divisor)s"
    assert statement.bind({"divisor": 2}) == {"divisor": 2}
