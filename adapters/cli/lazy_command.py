"""Commands whose modules are imported when they are used. To import all of them takes half a second."""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand

MARKUP_MODE: Final = "markdown"
"""Markup of the help texts."""


class LazyCommand(TyperCommand):
    """Name, panel and summary of a command or group, for help and completion, and where to import it from.

    `source` is `module:attribute`; the attribute is the function of a command or the Typer application of a group.
    """

    def __init__(self, name: str, source: str, panel: str, summary: str) -> None:
        super().__init__(name, help=summary, rich_help_panel=panel)
        self._source = source

    def load(self) -> Any:
        """Import the command or group."""
        module, _, attribute = self._source.partition(":")
        definition = getattr(import_module(module), attribute)
        only = typer.Typer(rich_markup_mode=MARKUP_MODE)
        if isinstance(definition, typer.Typer):
            only.add_typer(definition, name=self.name, rich_help_panel=self.rich_help_panel)
        else:
            only.command(self.name, rich_help_panel=self.rich_help_panel)(definition)
        (command,) = typer.main.get_group(only).commands.values()
        return command
