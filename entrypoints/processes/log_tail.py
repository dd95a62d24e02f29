"""Showing the errors that children write to their logs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

SHOWN: Final = frozenset({"error", "critical"})


class LogErrors:
    """Follows log files from where they end now; lines that are no JSON (a traceback at start) stay in the file."""

    def __init__(self, logs: Sequence[Path]) -> None:
        self._ends = {log: log.stat().st_size if log.exists() else 0 for log in logs}

    def new(self) -> Iterator[str]:
        """One sentence per error since the last call."""
        for log in self._ends:
            for line in self._lines(log):
                if sentence := _sentence(line):
                    yield f"{log.stem}: {sentence}"

    def _lines(self, log: Path) -> list[bytes]:
        if not log.exists():
            return []
        if log.stat().st_size < self._ends[log]:  # it was put aside, and begun anew
            self._ends[log] = 0
        with log.open("rb") as file:
            file.seek(self._ends[log])
            # A line that is still being written is read the next time.
            text, newline, _ = file.read().rpartition(b"\n")
        self._ends[log] += len(text) + len(newline)
        return text.splitlines()


def _sentence(line: bytes) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("level") not in SHOWN:
        return None
    said = str(record.get("event", ""))
    # The last line of a traceback says what happened; the rest is in the file.
    cause = str(record.get("exception", "")).strip().rpartition("\n")[2]
    return f"{said} ({cause})" if cause else said
