"""The command tree of the CLI, built once per process: building it takes about twice as long as running a command."""

from functools import cache
from typing import Any

import typer

from adapters.cli.app import COMMANDS, app


@cache
def command_tree() -> Any:
    """The group `scalecommerce` with all its commands. Click's commands keep no state between two runs."""
    tree: Any = typer.main.get_command(app)
    for command in COMMANDS:
        tree.load(command.name)
    return tree
