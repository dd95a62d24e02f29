"""Processor time of processes: the cost of a request, independent of other load on the machine."""

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: int) -> float:
    """Return the processor time of a process and its descendants in seconds; 0 where there is no /proc."""
    parents, seconds = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            figures = entry.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        number = int(entry.parent.name)
        parents[number] = int(figures[1])
        seconds[number] = (int(figures[11]) + int(figures[12])) / _TICKS
    return sum(spent for number, spent in seconds.items() if _is_below(number, process, parents))


def _is_below(number: int, top: int, parents: dict[int, int]) -> bool:
    while number not in {top, 0}:
        number = parents.get(number, 0)
    return number == top
