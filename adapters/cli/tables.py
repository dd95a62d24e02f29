"""Tables without truncation: rows that do not fit the width are printed as records, one field per line."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from attrs import frozen
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from adapters.cli.formats import format_time
from adapters.cli.screen import stdout_console
from scalecommerce_core.domain.text import printable

Cell: TypeAlias = str | int | datetime | Text | None

MIN_PROSE_WIDTH: Final = 20
"""Least width of a prose column in characters, and (`MAX_WORD_WIDTH`) the longest word that widens it."""
MAX_WORD_WIDTH: Final = 24


@frozen
class Column:
    """`number` columns are right-aligned; `prose` columns may be wrapped between words, others are never wrapped."""

    heading: str
    number: bool = False
    prose: bool = False


def columns(*headings: str, numbers: Iterable[str] = (), prose: Iterable[str] = ()) -> list[Column]:
    """Build columns from headings; `numbers` and `prose` list the headings of such columns."""
    right, wrapped = set(numbers), set(prose)
    return [Column(heading, heading in right, heading in wrapped) for heading in headings]


def print_table(
    head: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    nothing: str = "",
    styles: Sequence[str] = (),
    total: Sequence[Cell] | None = None,
) -> None:
    """Print rows to standard output as wide as the terminal: in a frame, without a frame, or as records.

    Cells are plain text: markup is not interpreted, and control characters are escaped. `styles` has a style per row,
    `total` is a last row below a rule. Without rows, the sentence `nothing` is printed.
    """
    console = stdout_console()
    if not rows and nothing:
        console.print(nothing)
        return
    console.print(_rendered(console, head, rows, title, styles, total))


def print_facts(facts: Iterable[tuple[str, Cell]], *, title: str = "") -> None:
    """Print named values, one per line; long values are wrapped beside their names."""
    if title:
        stdout_console().print(Text(printable(title), style="bold"))
    stdout_console().print(_record([(name, _text(value)) for name, value in facts]))


def _rendered(  # noqa: PLR0917 - private, with one caller
    console: Console,
    head: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    title: str,
    styles: Sequence[str],
    total: Sequence[Cell] | None,
) -> RenderableType:
    body = [[_text(cell) for cell in row] for row in rows]
    foot = [[_text(cell) for cell in total]] if total is not None else []
    for framed in (True, False):
        between = 3 * len(head) + 1 if framed else 2 * (len(head) - 1)
        widths = _widths(head, body + foot, console.width - between)
        if widths is not None:
            return _table(head, body, foot, widths, title, styles, framed=framed)
    parts: list[RenderableType] = [Text(printable(title), style="italic")] if title else []
    for number, row in enumerate(body + foot):
        if number:
            parts.append(Text(""))
        fields = [(column.heading, cell) for column, cell in zip(head, row, strict=True) if cell.plain]
        parts.append(_record(fields, styles[number] if number < len(styles) else ""))
    return Group(*parts)


def _table(  # noqa: PLR0917 - private, with one caller
    head: Sequence[Column],
    body: Sequence[Sequence[Text]],
    foot: Sequence[Sequence[Text]],
    widths: Sequence[int],
    title: str,
    styles: Sequence[str],
    *,
    framed: bool,
) -> Table:
    table = Table(
        title=Text(printable(title), style="italic") if title else None,
        title_justify="left",
        box=box.ROUNDED if framed else None,
        padding=(0, 1) if framed else (0, 2, 0, 0),
        pad_edge=framed,
    )
    for column, width in zip(head, widths, strict=True):
        table.add_column(
            Text(column.heading), justify="right" if column.number else "left", width=width, overflow="fold"
        )
    for number, row in enumerate(body):
        table.add_row(*row, style=styles[number] if number < len(styles) else None)
    for row in foot:
        table.add_section()
        table.add_row(*row)
    return table


def _record(fields: Sequence[tuple[str, Text]], style: str = "") -> Table:
    record = Table.grid(padding=(0, 2, 0, 0))
    record.add_column(style="bold", no_wrap=True)
    record.add_column(overflow="fold")
    for name, value in fields:
        record.add_row(Text(name), value, style=style)
    return record


def _widths(head: Sequence[Column], rows: Sequence[Sequence[Text]], available: int) -> list[int] | None:
    """Widths of the columns in characters; None if they do not fit into `available`."""
    least, natural = [], []
    for number, column in enumerate(head):
        cells = [Text(column.heading), *(row[number] for row in rows)]
        full = max(_line_width(cell) for cell in cells)
        words = _word_width(cells[0])
        if column.prose:
            words = min(max(_word_width(cell) for cell in cells), MAX_WORD_WIDTH)
            least.append(min(max(words, MIN_PROSE_WIDTH), full))
        else:
            least.append(max([words, *map(_line_width, cells[1:])]))
        natural.append(full)
    spare = available - sum(least)
    if spare < 0:
        return None
    widths = least
    # Distribute the spare width: first to the narrowest prose column that needs it, then to other columns.
    while spare > 0:
        short = [number for number, full in enumerate(natural) if widths[number] < full]
        if not short:
            break
        chosen = min(short, key=lambda number: (not head[number].prose, widths[number]))
        widths[chosen] += 1
        spare -= 1
    return widths


def _line_width(cell: Text) -> int:
    return max((line.cell_len for line in cell.split("\n", allow_blank=True)), default=0)


def _word_width(cell: Text) -> int:
    return max((Text(word).cell_len for word in cell.plain.split()), default=0)


def _text(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return cell
    if isinstance(cell, datetime):
        return Text(format_time(cell))
    return Text("" if cell is None else printable(str(cell)))
