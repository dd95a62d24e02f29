"""CPU time, memory and connections of the API processes, from /proc."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.attacks.attack import Usage

INTERVAL: Final = 0.2
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def descendants(process: int) -> list[int]:
    """The process and all its descendants."""
    found = [process]
    for parent in found:
        for listed in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(number) for number in listed.read_text().split()]
            except OSError:  # the process has ended
                continue
    return found


class UsageMonitor:
    """Samples the processes in a thread, so that peaks are seen; `phase` returns the use since the last call."""

    def __init__(self, process: int) -> None:
        """`process` is the parent of the API's processes, and one of them."""
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._peak = self._peak_sockets = 0
        self._cpu, self._time = self._cpu_seconds(), time.monotonic()
        self._thread.start()

    def phase(self) -> Usage:
        cpu, now, rss = self._cpu_seconds(), time.monotonic(), self._rss()
        sockets = self._count_sockets()
        usage = Usage(
            now - self._time, cpu - self._cpu, rss, max(self._peak, rss), sockets, max(self._peak_sockets, sockets)
        )
        self._cpu, self._time, self._peak, self._peak_sockets = cpu, now, 0, 0
        return usage

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._peak = max(self._peak, self._rss())
            self._peak_sockets = max(self._peak_sockets, self._count_sockets())

    def _processes(self) -> Iterable[Path]:
        return [Path(f"/proc/{process}") for process in descendants(self._process)]

    def _cpu_seconds(self) -> float:
        ticks = 0
        for process in self._processes():
            try:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            # utime, stime, and those of children that have ended, such as workers that were restarted
            ticks += sum(int(field) for field in fields[11:15])
        return ticks / _TICKS

    def _rss(self) -> int:
        pages = 0
        for process in self._processes():
            try:
                pages += int((process / "statm").read_text().split()[1])
            except OSError:
                continue
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _count_sockets(self) -> int:
        count = 0
        for process in self._processes():
            try:
                for descriptor in (process / "fd").iterdir():
                    count += str(descriptor.readlink()).startswith("socket:")
            except OSError:
                continue
        return count
