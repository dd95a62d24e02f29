"""Tables of lists: on narrow screens their cells are stacked, each after its heading."""

import re
from pathlib import Path

import pytest

from adapters.web.framework.templates import DIRECTORY

TABLE = re.compile(r"<thead>(?P<head>.*?)</thead>.*?<tbody>(?P<body>.*?)</tbody>", re.DOTALL)
TEMPLATES = [path for path in sorted(DIRECTORY.rglob("*.html")) if "<thead>" in path.read_text()]


def tables(path: Path) -> list[tuple[str, str]]:
    """Head and body of the tables of a template, without those of the figures of charts."""
    found = [(match["head"], match["body"]) for match in TABLE.finditer(path.read_text())]
    return [(head, body) for head, body in found if "table.headers" not in head]


def test_there_are_tables_of_lists() -> None:
    assert len([table for path in TEMPLATES for table in tables(path)]) > 40


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(DIRECTORY)))
def test_each_cell_of_a_table_has_its_heading(path: Path) -> None:
    for head, body in tables(path):
        cells = re.findall(r"<td\b([^>]*)>", body)
        bare = [cell for cell in cells if not re.search(r'data-label=|colspan=|class="choose"', cell)]
        # What a cell of a column without a visible heading contains, such as a button, names itself.
        assert len(bare) <= head.count('<span class="visually-hidden">'), bare


def test_tables_of_lists_are_stacked() -> None:
    for path in DIRECTORY.rglob("*.html"):
        for table in re.findall(r"<table[^>]*>(?:(?!<table).)*?(?=<thead>|{{ caller)", path.read_text(), re.DOTALL):
            assert 'class="stacks' in table or "caption }}</caption>" in table, path


def test_headings_of_stacked_cells_are_those_of_the_columns() -> None:
    for path in TEMPLATES:
        text = path.read_text()
        headings = set(re.findall(r'<th scope="col"[^>]*>\{\{ _\("([^"]*)"\) \}\}', text))
        assert set(re.findall(r"data-label=\"\{\{ _\('([^']*)'\) \}\}\"", text)) <= headings, path
