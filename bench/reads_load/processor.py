"""Processor time of processes, which is the cost of a request, and the time in which they wait for a core."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: int) -> float:
    """Return the processor time of a process and its descendants in seconds; 0 where there is no /proc."""
    return sum((int(fields[11]) + int(fields[12])) / _TICKS for fields in _stat_fields(process).values())


def run_queue_wait_seconds(process: int) -> float:
    """Return the seconds for which threads of a process and its descendants waited in the run queue for a core.

    Read from `/proc/PID/task/*/schedstat`. Threads that have exited are left out; 0 where there is no /proc.
    """
    nanoseconds = 0
    for number in _stat_fields(process):
        for entry in Path(f"/proc/{number}/task").glob("*/schedstat"):
            with suppress(OSError):  # the thread has ended
                nanoseconds += int(entry.read_text().split()[1])
    return nanoseconds / 1e9


def _stat_fields(process: int) -> dict[int, list[str]]:
    """Return the fields of `/proc/PID/stat` after the command name, by PID, of a process and its descendants."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has ended
            found[int(entry.parent.name)] = entry.read_text().rpartition(")")[2].split()
    parents = {number: int(fields[1]) for number, fields in found.items()}
    return {number: fields for number, fields in found.items() if _is_below(number, process, parents)}


def _is_below(number: int, top: int, parents: dict[int, int]) -> bool:
    while number not in {top, 0}:
        number = parents.get(number, 0)
    return number == top
