"""Tables at all widths: nothing is cut off, and no text is markup."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from adapters.cli import tables
from adapters.cli.tables import Cell, Column, columns, print_facts, print_table

HEAD = [Column("id", number=True), Column("name"), Column("why", prose=True)]
ROWS: list[list[Cell]] = [
    [1, "kettle", "The price of last week was above the best price by a tenth, and the stock covers forty days."],
    [22, "[/red] :tea: \x1b[31m", "short"],
]
Shown = Callable[[int, Callable[[], None]], str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    def show(width: int, work: Callable[[], None]) -> str:
        file = io.StringIO()
        console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
        monkeypatch.setattr(tables, "stdout_console", lambda: console)
        work()
        assert all(len(line.rstrip()) <= width for line in file.getvalue().splitlines())
        return file.getvalue()

    return show


@pytest.mark.parametrize("width", [200, 80, 50, 44, 30, 12])
def test_every_value_is_printed_at_every_width(shown: Shown, width: int) -> None:
    text = shown(width, lambda: print_table(HEAD, ROWS))
    assert "…" not in text
    if width >= 30:
        for value in ("22", "kettle", "[/red] :tea: \\x1b[31m", "short"):
            assert value in text
    words = {word.strip("│") for word in text.split()}
    assert width < 30 or {"above", "forty", "days."} <= words


def test_the_form_of_a_table_depends_on_the_width(shown: Shown) -> None:
    kinds = [shown(width, lambda: print_table(HEAD, ROWS)) for width in (80, 52, 40)]
    assert ["╭" in kind for kind in kinds] == [True, False, False]
    assert kinds[1].splitlines()[0].split() == ["id", "name", "why"]
    assert [line.split()[0] for line in kinds[2].splitlines() if line[:1].strip()] == [
        "id", "name", "why", "id", "name", "why",
    ]  # fmt: skip


def test_identifying_values_stay_in_one_line(shown: Shown) -> None:
    head = columns("topic", "address", "note", prose=["note"])
    address = "https://receiver.example.com/hooks/orders"
    text = shown(80, lambda: print_table(head, [["order.paid", address, "failing since yesterday " * 5]]))
    assert address in text


def test_long_values_are_folded_and_not_truncated(shown: Shown) -> None:
    address = "https://receiver.example.com/" + "x" * 100
    text = shown(60, lambda: print_table(columns("id", "address"), [[1, address]]))
    assert "".join(text.partition("address")[2].split()) == address


def test_a_table_without_rows_is_a_sentence(shown: Shown) -> None:
    assert shown(80, lambda: print_table(HEAD, [], nothing="There are none [/].")) == "There are none [/].\n"


def test_a_total_and_a_title_are_shown_in_all_forms(shown: Shown) -> None:
    for width in (80, 20):
        text = shown(width, lambda: print_table(HEAD, ROWS, title="Two [/red]", total=["", "all", "both"]))
        assert text.startswith("Two [/red]")
        assert "both" in text


def test_facts_are_wrapped_beside_their_names(shown: Shown) -> None:
    text = shown(40, lambda: print_facts([("rows", 3), ("names", "[/red] " * 10)], title="Facts"))
    assert text.split() == ["Facts", "rows", "3", "names", *["[/red]"] * 10]
