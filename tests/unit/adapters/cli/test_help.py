"""Every command has a complete help text."""

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.cli.app import COMMANDS
from adapters.cli.lazy_command import LazyCommand
from tests.unit.adapters.cli.conftest import Cli
from tests.unit.support.command_tree import command_tree

WANTED = {
    "up", "serve", "worker", "beat", "migrate", "settings", "seed", "createsuperuser", "import online-retail",
    "import products", "export products", "export orders", "stock verify", "stock until", "stock movements",
    "stock outlook",
    "promotions list", "promotions show", "promotions end", "reprice", "reprice rollback",
    "events tail", "torture", "webhooks list", "webhooks enable", "webhooks deliveries", "webhooks redeliver",
    "webhooks verify",
    "simulate",
    "pricing evaluate", "pricing explain", "pricing runs", "pricing policies", "pricing stop", "pricing resume",
    "pricing approve", "pricing decline", "pricing min-hold", "pricing withdraw-price",
    "pricing experiment start", "pricing experiment show", "pricing experiment list", "pricing experiment end",
    "statistics sales", "statistics verify", "statistics rebuild", "security events", "security reencrypt",
    "audit list",
    "attention", "backlogs", "orders list", "orders show", "orders requeue", "orders cancel",
    "orders archive", "orders verify", "products list",
    "products own",
    "categories list", "categories rename",
    "payments check", "payments send-refund",
    "emails send",
    "users list", "users show", "users sessions", "users revoke-session",
    "users api-keys", "users revoke-api-key",
    "users deactivate", "users reactivate", "users dismiss-staff", "users revoke-sessions",
    "users reset-second-factor", "users export", "users delete",
}  # fmt: skip


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        if not hasattr(command, "commands") or command.invoke_without_command:
            yield f"{path}{name}", command


ALL = dict(commands(command_tree()))


def test_the_command_tree_is_complete() -> None:
    assert set(ALL) == WANTED


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_summary_of_all_commands_is_that_of_the_command(command: LazyCommand) -> None:
    loaded = command.load()
    assert loaded.name == command.name
    assert command.help == " ".join(loaded.help.partition("\n\n")[0].split())


@pytest.mark.parametrize("name", sorted(ALL))
def test_help_says_what_the_command_and_each_option_does(cli: Cli, name: str) -> None:
    ended = cli(*name.split(), "--help")
    assert ended.code == 0
    assert "<bool>" not in ended.out, "flags take no value"
    assert len(ALL[name].help.split()) > 10, "an explanation, not a title"
    for parameter in ALL[name].params:
        assert parameter.help, f"{parameter.name} is not explained"


def test_without_a_command_the_help_is_shown(cli: Cli) -> None:
    ended = cli()
    assert ended.code == 2
    assert "Start with scalecommerce up --demo" in ended.out + ended.err
    assert "130 interrupted" in " ".join((ended.out + ended.err).split())


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version").out.startswith("scalecommerce ")


def test_an_unknown_command_is_wrong_usage(cli: Cli) -> None:
    ended = cli("sed")
    assert ended.code == 2
    assert "No such command 'sed'" in ended.err
