"""Processor time of processes, which is the cost of a request, and the time in which they wait for a core."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: int) -> float:
    """Return the processor time of a process and its descendants in seconds; 0 where there is no /proc."""
    return sum((int(figures[11]) + int(figures[12])) / _TICKS for figures in _figures(process).values())


def seconds_without_core(process: int) -> float:
    """Return for how long threads of a process and its descendants were ready to run, but each core ran another thread.

    Threads that have ended are left out; 0 where there is no /proc.
    """
    nanoseconds = 0
    for number in _figures(process):
        for entry in Path(f"/proc/{number}/task").glob("*/schedstat"):
            with suppress(OSError):  # the thread has ended
                nanoseconds += int(entry.read_text().split()[1])
    return nanoseconds / 1e9


def _figures(process: int) -> dict[int, list[str]]:
    """The figures of `/proc/PID/stat` behind the name, of a process and its descendants by process id."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has ended
            found[int(entry.parent.name)] = entry.read_text().rpartition(")")[2].split()
    parents = {number: int(figures[1]) for number, figures in found.items()}
    return {number: figures for number, figures in found.items() if _is_below(number, process, parents)}


def _is_below(number: int, top: int, parents: dict[int, int]) -> bool:
    while number not in {top, 0}:
        number = parents.get(number, 0)
    return number == top
