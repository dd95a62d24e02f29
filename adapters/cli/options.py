"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        file_okay=False,
        help="Work on the engine that `scalecommerce up` runs in this directory. Without it, DATABASE_URL names the"
        " database; without that, it is the engine in .scalecommerce.",
        show_default=False,
    ),
]

JsonOption: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print the result as JSON, an error too, and show no progress.", show_default=False),
]
