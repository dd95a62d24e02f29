"""The documentation agrees with the code where a program can tell."""

import ast
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest
from typer.core import TyperGroup

from adapters.cli.commands import REPLACED_COMMANDS
from entrypoints import settings
from scalecommerce_core.domain.webhook import RETRY_DELAYS, VERIFICATION, message_body, secret_text, signed_headers
from scalecommerce_core.pricing import interface
from scalecommerce_core.pricing.built_in import BUILT_IN
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.queries import Facet
from scalecommerce_core.services.market import Market
from tests.project.retired_names import RETIRED_NAMES
from tests.unit.support.command_tree import command_tree

ROOT = Path(__file__).parents[2]


def test_the_table_of_settings_is_the_one_that_the_code_prints() -> None:
    documented = re.findall(r"^\| `([A-Z0-9_]+)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert documented == [name for name, _, _ in settings.describe_settings()]


def test_the_page_of_differences_names_what_replaces_each_command_of_the_first_release() -> None:
    page = (ROOT / "docs/differences-from-v1.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|$", page.partition("## Commands")[2], re.MULTILINE))
    written = {name: told.replace("`", "") for name, told in rows.items()}
    assert written.items() >= REPLACED_COMMANDS.items()
    command = command_tree()
    assert isinstance(command, TyperGroup)
    # Names that are still the same.
    assert rows.keys() - REPLACED_COMMANDS.keys() <= set(command.commands)


def test_the_readme_lists_all_commands() -> None:
    table = _readme().partition("| command |")[2].partition("\n\n")[0]
    named = {name for cell in re.findall(r"^\| (.*?) \| ", table, re.MULTILINE) for name in re.findall(r"`(\w+)", cell)}
    command = command_tree()
    assert isinstance(command, TyperGroup)
    # `settings` is described in another section.
    assert named | {"settings"} == set(command.commands)


PAGES = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("document", PAGES)
def test_commands_in_documents_have_the_names_and_options_that_exist(document: str) -> None:
    page = (ROOT / document).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in re.sub(r"\\\n", " ", block).splitlines()]
    spans = [span.replace("\\|", "|") for span in re.findall(r"`([^`\n]+)`", prose)]
    for text in (*lines, *spans):
        command = re.match(r"(?:\.venv/bin/)?scalecommerce((?: .*)?)$", text.strip())
        if command is not None:
            _check_command(shlex.split(command.group(1).translate({ord("["): " ", ord("]"): " "}), comments=True), text)


def _check_command(words: list[str], text: str) -> None:
    """Walk down to the command that the words name; every option must be one of its own."""
    command: Any = command_tree()
    options = {"--help", *(option for parameter in command.params for option in parameter.opts)}
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0].partition("|")[0] in options, text
        elif word.islower() and getattr(command, "commands", {}):
            if word not in command.commands and command.invoke_without_command:
                continue
            assert word in command.commands, text
            command = command.commands[word]
            options |= {option for p in command.params for option in (*p.opts, *p.secondary_opts)}


@pytest.mark.parametrize("document", PAGES)
def test_no_command_is_split_over_the_rows_of_a_table(document: str) -> None:
    """Each cell in a column of commands holds a whole command, so that it can be copied."""
    for table in re.findall(r"(?:^\|.*\n)+", (ROOT / document).read_text(), re.MULTILINE):
        head, _, *rows = table.splitlines()
        if head.split("|")[1].strip() == "command":
            for row in rows:
                assert not re.match(r"\|\s*`?-", row), row


def test_the_pricing_example_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/pricing.md").read_text()
    policy, use = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    try:
        exec(compile(policy, "docs/pricing.md", "exec"), names)  # noqa: S102 - it is ours
        exec(compile(use, "docs/pricing.md", "exec"), names)  # noqa: S102 - it is ours
        assert capsys.readouterr().out.splitlines() == re.findall(r"^# (.*)$", use, re.MULTILINE)
    finally:
        interface._REGISTER.pop("markup", None)


def test_the_pricing_page_tables_all_policies_and_their_parameters() -> None:
    page = (ROOT / "docs/pricing.md").read_text()
    for cls in (*BUILT_IN, Guardrails):
        section = page.partition(f"### `{getattr(cls, 'name', 'guardrails')}`")[2].partition("\n### ")[0]
        for attribute in attrs.fields(cls):
            default = attribute.default
            shown = json.dumps(list(default) if isinstance(default, tuple) else default)
            assert f"| `{attribute.name}` | {shown} | {attribute.metadata['rule']['says']} |" in section, (
                cls,
                attribute,
            )


def test_the_readme_example_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", _readme(), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - it is ours
    assert capsys.readouterr().out.strip() == example.strip().rpartition("# ")[2]
    assert len(example.strip().splitlines()) < 20


def test_the_example_of_searching_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/library.md").read_text().partition("## Searching")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    (beginning,) = re.findall(r"```python\n(.*?)```", _readme(), re.DOTALL)
    exec(compile(beginning, "README.md", "exec"), names)  # noqa: S102 - it is ours
    capsys.readouterr()
    exec(compile(example, "library.md", "exec"), names)  # noqa: S102 - it is ours
    (promised,) = re.findall(r"^print.*  # (.*)$", example, re.MULTILINE)
    assert capsys.readouterr().out.strip() == promised
    assert [value.count for value in names["counts"].values[Facet.CATEGORY]] == [1]


def test_the_example_of_a_simulation_runs_and_can_fail() -> None:
    page = (ROOT / "docs/library.md").read_text().partition("## A simulation of your own")[2]
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "library.md", "exec"), {})  # noqa: S102 - it is ours
    with pytest.raises(AssertionError):
        exec(compile(example.replace("min(3, ", "min(2, "), "library.md", "exec"), {})  # noqa: S102


def test_the_library_page_lists_all_services_of_a_market() -> None:
    page = (ROOT / "docs/library.md").read_text().partition("## The services")[2].partition("\n## ")[0]
    services = [
        (field.name, field.type.__name__)
        for field in attrs.fields(Market)
        if field.type is not None and field.type.__module__.startswith("scalecommerce_core.services.")
    ]
    assert re.findall(r"^\| `market\.(\w+)` \| `(\w+)` \| ", page, re.MULTILINE) == services
    assert "`Seeding`" in page


def test_the_example_for_receivers_verifies_messages_and_nothing_else() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/webhooks.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "docs/webhooks.md", "exec"), names)  # noqa: S102 - it is ours
    verified, old, new = names["verified"], secret_text(b"o" * 32), secret_text(b"n" * 32)
    now = datetime.now(UTC)
    headers = signed_headers([new, old], "msg_1", now, b"{}")
    assert verified(old, headers, b"{}")
    assert verified(new, headers, b"{}")
    assert not verified(new, headers, b"{ }")
    assert not verified(new, {**headers, "webhook-id": "msg_2"}, b"{}")
    assert not verified(secret_text(b"x" * 32), headers, b"{}")
    assert not verified(new, signed_headers([new], "msg_1", now - timedelta(minutes=6), b"{}"), b"{}")
    answer = names["answer"]
    verification = message_body(VERIFICATION, now, {"endpoint_id": 1, "challenge": "abc"}).encode()
    headers = signed_headers([new], "msg_3", now, verification)
    assert answer(new, headers, verification) == (200, "abc")
    assert answer(old, headers, verification) == (401, "")
    event = message_body("order.paid", now, {"order": 7}).encode()
    assert answer(new, signed_headers([new], "msg_4", now, event), event) == (200, "")


def test_the_retries_that_receivers_read_of_are_those_that_happen() -> None:
    (row,) = re.findall(r"^\| after \| (.*) \|$", (ROOT / "docs/webhooks.md").read_text(), re.MULTILINE)
    units = {"s": "seconds", "min": "minutes", "h": "hours"}
    shown = [
        timedelta(0) if cell == "at once" else timedelta(**{units[cell.split()[1]]: int(cell.split()[0])})
        for cell in row.split(" | ")
    ]
    assert shown == list(RETRY_DELAYS)


def _readme() -> str:
    return (ROOT / "README.md").read_text()


def test_the_glossary_names_paths_that_exist() -> None:
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| (.+) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]
    assert len(paths) > 60
    assert [path for path in paths if not (ROOT / path).exists()] == []


RETIRED_MODULES = re.compile(
    r"""
    \b(
        adapters\.db\.(backlog|batches|behind|changes|columns|facts|queries\.books|reads|sql|tables)
        | adapters\.http\.(amounts|backend|batching|bodies|fields|incoming|json_text|landing|looks|negotiation
        | operations|pages|paying|preferences|shortcut|texts|cache\.(bounded|flights|knowledge|shared))
        | adapters\.redis\.stalls
        | adapters\.tasks\.(jobs|scheduler|transport|turns|wakeups)
        | entrypoints\.(announcement|child|children|failures|garbage|listening|log_errors|orphans|readiness
        | stopping|traffic|demo\.traffic\.wares|torture\.(books|heard|site|watching))
        | scalecommerce_core\.domain\.(prominence|telling|views)
        | scalecommerce_core\.pricing\.(chance|endings|memory|observing|reach)
        | scalecommerce_core\.services\.(garbage|outcomes|relay|searching|seeding\.(goods|people|purchases|seeded))
        | scalecommerce_core\.testing\.memory_\w+
    )\b
    """,
    re.VERBOSE,
)
"""Former names of modules, which must not be used again; docs/glossary.md has the words that replaced them."""


def test_retired_names_of_modules_do_not_come_back() -> None:
    def module(path: Path) -> str:
        return ".".join(path.relative_to(ROOT).with_suffix("").parts)

    files = [path for top in ("scalecommerce_core", "adapters", "entrypoints") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 300
    assert [name for name in map(module, files) if RETIRED_MODULES.search(name)] == []
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    written = {path.name: RETIRED_MODULES.findall(path.read_text()) for path in [*files, *documents]}
    assert {name: found for name, found in written.items() if found} == {}


@cache
def defined_names(path: Path) -> frozenset[str]:
    """Names of classes, functions, parameters, fields and module variables that a file defines."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.arg(arg=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=targets):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
    return frozenset(names)


@pytest.mark.parametrize("package", RETIRED_NAMES)
def test_retired_names_do_not_come_back(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    returned = {str(path.relative_to(ROOT)): defined_names(path) & RETIRED_NAMES[package] for path in files}
    assert {path: names for path, names in returned.items() if names} == {}
