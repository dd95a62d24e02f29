"""Log files that a process appends its output to."""

import os
from pathlib import Path
from typing import IO, Final

_MAX_BYTES: Final = 16 * 1024 * 1024


def open_log(path: Path) -> IO[bytes]:
    """Open the file for appending, readable by this user only. A file above 16 MiB is renamed to `<name>.1` first."""
    if path.exists() and path.stat().st_size > _MAX_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def tail(path: Path, lines: int) -> str:
    """Return the last `lines` lines of the file."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
