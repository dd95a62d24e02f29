"""The figures of a chart as a table, for screen readers and for readers who want numbers."""

from attrs import frozen


@frozen
class ChartTable:
    """Text of a table: `rows` have as many cells as `headers`. Templates escape all of it."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


MOST_ROWS = 200
"""Rows of a table; longer series are thinned out, and their extremes stay."""
NO_FIGURE = "–"
"""Cell of a gap."""
