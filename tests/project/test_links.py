"""Links between the Markdown files of the repository lead to files and headings that exist."""

import re
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
ADRS = sorted((ROOT / "docs/adr").glob("0*.md"))
MARKDOWN = MarkdownIt("commonmark").enable("table")


@cache
def _tokens(page: Path) -> tuple[Token, ...]:
    return tuple(MARKDOWN.parse(page.read_text()))


def _text(inline: Token) -> str:
    return "".join(child.content for child in inline.children or () if child.type in {"text", "code_inline"})


def _slug(heading: str) -> str:
    """The anchor that GitHub derives from a heading."""
    kept = (letter for letter in heading.lower() if letter in " -_" or unicodedata.category(letter)[0] in "LNM")
    return "".join(kept).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    tokens = _tokens(page)
    slugs: set[str] = set()
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            slug = _slug(_text(inline))
            # GitHub numbers the repetitions of a heading.
            slugs.add(
                slug if slug not in slugs else next(f"{slug}-{n}" for n in range(1, 99) if f"{slug}-{n}" not in slugs)
            )
    return frozenset(slugs)


def links(page: Path) -> list[str]:
    targets = [
        str(child.attrGet("href") or child.attrGet("src"))
        for token in _tokens(page)
        for child in token.children or ()
        if child.type in {"link_open", "image"}
    ]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        # The site has no page for a directory.
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target), link


NAMED_PATH = re.compile(r"(?:adapters|bench|docs|entrypoints|scalecommerce_core|tests)/[\w./-]*")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_paths_named_in_code_spans_exist(page: Path) -> None:
    spans = [child.content for token in _tokens(page) for child in token.children or () if child.type == "code_inline"]
    paths = [span for span in spans if NAMED_PATH.fullmatch(span)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_link_check_finds_links_and_anchors() -> None:
    assert _slug("A `price`, its 2nd form: 10 %") == "a-price-its-2nd-form-10-"
    assert "the-hexagon" in anchors(ROOT / "docs/architecture.md")
    assert sum(len(links(page)) for page in PAGES) > 100


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == ROOT / "docs"], ids=lambda page: page.name)
def test_the_index_links_every_page_of_the_documentation(page: Path) -> None:
    assert page.name == "index.md" or page.name in links(ROOT / "docs/index.md")


def test_the_index_of_decision_records_lists_each_with_its_number() -> None:
    rows = re.findall(
        r"^\| \[(\d+)\]\((\d{4})-([\w.-]+)\) \| .+\.? \|$", (ROOT / "docs/adr/README.md").read_text(), re.MULTILINE
    )
    assert [f"{number}-{name}" for _, number, name in rows] == [page.name for page in ADRS]
    assert all(int(shown) == int(number) for shown, number, _ in rows)


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.name)
def test_a_decision_record_begins_with_its_number(page: Path) -> None:
    assert page.read_text().startswith(f"# {int(page.name[:4])}. ")
