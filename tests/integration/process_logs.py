"""What the processes of a test have written last, for the message of its failure."""

import subprocess
from pathlib import Path
from typing import Final

SHOWN: Final = 6_000
"""Characters of each log."""

_logs: Final[dict[subprocess.Popen[bytes], tuple[Path, str]]] = {}


def follow(process: "subprocess.Popen[bytes]", directory: Path, logs: str) -> None:
    """From now on it belongs to the test that runs; `logs` is a pattern below the directory."""
    _logs[process] = directory, logs


def forget(process: "subprocess.Popen[bytes]") -> None:
    _logs.pop(process, None)


def last_words() -> str:
    """The end of each log, and whether the process that writes it still runs."""
    return "".join(
        f"\n--- {log} ({'runs' if process.poll() is None else f'has ended with {process.returncode}'})\n"
        f"{log.read_text(errors='replace')[-SHOWN:]}"
        for process, (directory, logs) in _logs.items()
        for log in sorted(directory.glob(logs))
    )
