"""Options for a panel file whose form is ambiguous."""

from enum import StrEnum

from attrs import frozen

from adapters.cli.csv_files import TextEncoding


class DateOrder(StrEnum):
    """Order of day and month in dates such as 03/04/2026."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


class DecimalSign(StrEnum):
    POINT = "point"
    COMMA = "comma"


@frozen
class PanelFormat:
    """The form of a panel file; what is None is detected."""

    dates: DateOrder | None = None
    decimal: DecimalSign | None = None
    encoding: TextEncoding | None = None
