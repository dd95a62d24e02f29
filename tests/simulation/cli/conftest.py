"""The command line over an engine in memory, as in the unit tests."""

from tests.unit.adapters.cli.conftest import cli, command_tree_built_once, runtime

__all__ = ["cli", "command_tree_built_once", "runtime"]
