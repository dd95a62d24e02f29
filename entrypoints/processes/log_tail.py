"""Reads new error records from the log files of child processes."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

SHOWN_LEVELS: Final = frozenset({"error", "critical"})


class LogErrorTail:
    """Follows log files from their present ends; lines that are not JSON, such as tracebacks, are skipped."""

    def __init__(self, logs: Sequence[Path]) -> None:
        self._offsets = {log: log.stat().st_size if log.exists() else 0 for log in logs}

    def read_new(self) -> Iterator[str]:
        """Yield one message per error since the last call."""
        for log in self._offsets:
            for line in self._read_new_lines(log):
                if description := _describe_error(line):
                    yield f"{log.stem}: {description}"

    def _read_new_lines(self, log: Path) -> list[bytes]:
        try:
            size = log.stat().st_size
        except FileNotFoundError:
            return []
        if size == self._offsets[log]:
            return []
        if size < self._offsets[log]:  # the file was rotated
            self._offsets[log] = 0
        with log.open("rb") as file:
            file.seek(self._offsets[log])
            # An incomplete last line is read at the next call.
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
    event = str(record.get("event", ""))
    # The last line of a traceback is the error itself.
    cause = str(record.get("exception", "")).strip().rpartition("\n")[2]
    return f"{event} ({cause})" if cause else event
