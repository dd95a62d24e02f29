"""What a caller can say of a panel file whose form is ambiguous."""

from enum import StrEnum

from attrs import frozen

from adapters.cli.csv_files import TextEncoding


class DateOrder(StrEnum):
    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


class DecimalSign(StrEnum):
    POINT = "point"
    COMMA = "comma"


@frozen
class PanelFormat:
    """None is detected."""

    dates: DateOrder | None = None
    decimal: DecimalSign | None = None
    encoding: TextEncoding | None = None
