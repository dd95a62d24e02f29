"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

MAX_INTEGER: Final = 2**31 - 1
"""Of PostgreSQL's integer, which numbers categories."""
MAX_BIGINT: Final = 2**63 - 1
"""Of its bigint, which numbers everything else."""

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
