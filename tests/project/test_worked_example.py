"""The commands of the worked example print what its page shows."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.executed_pages import WIDTH, PageRunner, Ran
from tests.unit.support.http_marketplace import marketplace

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/pricing-worked-example.md"


def run_page(text: str) -> list[Ran]:
    with marketplace() as shop:
        runtime = MemoryRuntime()
        runtime.market, runtime.clock = shop.market, shop.clock
        command_line = Cli(runtime)

        def printed(*arguments: str) -> str:
            ended = command_line(*arguments, width=WIDTH)
            assert ended.code == 0, ended
            return ended.out

        return list(PageRunner(shop, printed).run(text))


def with_outputs(page: str, blocks: Sequence[Ran]) -> str:
    """The page, with the present output after each block of commands that prints something."""
    bare = re.sub(r"\n```text\n.*?^```\n", "", page, flags=re.DOTALL | re.MULTILINE)
    for block in blocks:
        if block.printed:
            output = "".join(f"{line.rstrip()}\n" for line in block.printed.splitlines())
            commands = f"```sh\n{block.commands}```\n"
            bare = bare.replace(commands, f"{commands}\n```text\n{output}```\n", 1)
    return bare


def test_the_worked_example_prints_what_its_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = PAGE.read_text()
    blocks = run_page(page)
    assert sum(block.shown is not None for block in blocks) > 6
    assert len({block.commands for block in blocks if block.shown}) == sum(block.shown is not None for block in blocks)
    assert with_outputs(page, blocks) == page, f"python -m tests.project.{Path(__file__).stem} writes the new output"


if __name__ == "__main__":
    os.chdir(ROOT)
    PAGE.write_text(with_outputs(PAGE.read_text(), run_page(PAGE.read_text())))
