"""README.ru.md is a translation of README.md: the same structure, code, commands and links."""

import re
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
ENGLISH, RUSSIAN = (
    MarkdownIt("commonmark").enable("table").parse((ROOT / name).read_text()) for name in ("README.md", "README.ru.md")
)
OTHER_LANGUAGE = {"README.md", "README.ru.md"}


def test_both_readmes_have_the_same_headings_lists_tables_and_paragraphs() -> None:
    assert [token.type + token.tag for token in RUSSIAN] == [token.type + token.tag for token in ENGLISH]


def code(tokens: list[Token]) -> list[str]:
    """Blocks of code without their comments."""
    return [re.sub(r"(^|  )# .*$", "", token.content, flags=re.MULTILINE) for token in tokens if token.type == "fence"]


def test_both_readmes_have_the_same_code() -> None:
    assert code(RUSSIAN) == code(ENGLISH)
    assert len(code(ENGLISH)) >= 5


def commands(tokens: list[Token]) -> list[list[str]]:
    """The names in backticks of each paragraph, item and cell, in alphabetical order."""
    return [sorted(child.content for child in token.children or () if child.type == "code_inline") for token in tokens]


def test_both_readmes_name_the_same_commands_and_settings_in_each_paragraph_and_cell() -> None:
    assert commands(RUSSIAN) == commands(ENGLISH)


def links(tokens: list[Token]) -> list[list[str]]:
    return [
        sorted(str(child.attrGet("href")) for child in token.children or () if child.type == "link_open")
        for token in tokens
    ]


def test_both_readmes_have_the_same_links_and_link_each_other() -> None:
    english, russian = ([set(targets) - OTHER_LANGUAGE for targets in links(each)] for each in (ENGLISH, RUSSIAN))
    assert russian == english
    assert ["README.ru.md"] in links(ENGLISH)
    assert ["README.md"] in links(RUSSIAN)


def test_the_russian_readme_is_in_russian() -> None:
    prose = "".join(token.content for token in RUSSIAN if token.type == "inline")
    assert len(re.findall(r"[а-яё]", prose)) > 3_000
