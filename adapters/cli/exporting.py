"""`export`: the catalogue and the orders as files."""

import typer

app = typer.Typer(no_args_is_help=True, help="Write data out.")
