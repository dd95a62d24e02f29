"""The documentation agrees with the code where a program can tell."""

import re
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from adapters.cli.app import app
from entrypoints import settings

ROOT = Path(__file__).parents[2]


def test_the_table_of_settings_is_the_one_that_the_code_prints() -> None:
    documented = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert documented == [name for name, _, _ in settings.table()]


@pytest.mark.parametrize("document", ["README.md", "docs/operations.md", "docs/http-api.md", "docs/library.md"])
def test_links_between_documents_lead_somewhere(document: str) -> None:
    page = ROOT / document
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_lists_all_commands() -> None:
    table = _readme().partition("| command |")[2].partition("\n\n")[0]
    named = {name for cell in re.findall(r"^\| (.*?) \| ", table, re.MULTILINE) for name in re.findall(r"`(\w+)", cell)}
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    # `settings` is described with the others that it belongs to.
    assert named | {"settings"} == set(command.commands)


def test_the_readme_example_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", _readme(), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - it is ours
    assert capsys.readouterr().out.strip() == example.strip().rpartition("# ")[2]
    assert len(example.strip().splitlines()) < 20


def test_the_example_of_a_simulation_runs_and_can_fail() -> None:
    page = (ROOT / "docs/library.md").read_text().partition("## A simulation of your own")[2]
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "library.md", "exec"), {})  # noqa: S102 - it is ours
    with pytest.raises(AssertionError):
        exec(compile(example.replace("min(3, ", "min(2, "), "library.md", "exec"), {})  # noqa: S102


def _readme() -> str:
    return (ROOT / "README.md").read_text()
