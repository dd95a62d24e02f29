"""Showing the errors that children write to their logs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

SHOWN_LEVELS: Final = frozenset({"error", "critical"})


class LogErrorTail:
    """Follows log files from where they end now; lines that are no JSON (a traceback at start) stay in the file."""

    def __init__(self, logs: Sequence[Path]) -> None:
        self._offsets = {log: log.stat().st_size if log.exists() else 0 for log in logs}

    def read_new(self) -> Iterator[str]:
        """One sentence per error since the last call."""
        for log in self._offsets:
            for line in self._read_new_lines(log):
                if sentence := _describe_error(line):
                    yield f"{log.stem}: {sentence}"

    def _read_new_lines(self, log: Path) -> list[bytes]:
        if not log.exists():
            return []
        if log.stat().st_size < self._offsets[log]:  # it was put aside, and begun anew
            self._offsets[log] = 0
        with log.open("rb") as file:
            file.seek(self._offsets[log])
            # A line that is still being written is read the next time.
            text, newline, _ = file.read().rpartition(b"\n")
        self._offsets[log] += len(text) + len(newline)
        return text.splitlines()


def _describe_error(line: bytes) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("level") not in SHOWN_LEVELS:
        return None
    said = str(record.get("event", ""))
    # The last line of a traceback says what happened; the rest is in the file.
    cause = str(record.get("exception", "")).strip().rpartition("\n")[2]
    return f"{said} ({cause})" if cause else said
