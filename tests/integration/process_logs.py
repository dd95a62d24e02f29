"""The ends of the logs of a test's processes, for the message of a failure."""

import subprocess
from pathlib import Path
from typing import Final

SHOWN: Final = 6_000
"""Characters of each log."""

_logs: Final[dict[subprocess.Popen[bytes], tuple[Path, str]]] = {}


def follow(process: "subprocess.Popen[bytes]", directory: Path, logs: str) -> None:
    """Include the logs of this process in failure messages; `logs` is a glob pattern in the directory."""
    _logs[process] = directory, logs


def forget(process: "subprocess.Popen[bytes]") -> None:
    _logs.pop(process, None)


def log_tails() -> str:
    """Return the end of each log, with the state of the process that writes it."""
    return "".join(
        f"\n--- {log} ({'runs' if process.poll() is None else f'has ended with {process.returncode}'})\n"
        f"{log.read_text(errors='replace')[-SHOWN:]}"
        for process, (directory, logs) in _logs.items()
        for log in sorted(directory.glob(logs))
    )
