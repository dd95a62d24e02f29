"""One file in which the processes of a program count, each in a row of its own.

A process holds a lock on its row as long as it runs (POSIX record locks, which end with their process, however it
ends). A process that takes a free row continues its counters. So counters never decrease when a process is replaced,
and the number of rows is the largest number of processes that ran at once. What was counted is kept after SIGKILL.
"""

import atexit
import fcntl
import json
import logging
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen

from adapters.metrics.series import Kind, Layout

logger = logging.getLogger(__name__)

MAX_ROWS: Final = 128
_HEADER_BYTES: Final = 128 * 1024
"""A header has the id of the process, the length of the JSON that follows, and the routes as JSON."""
_HEADER: Final = struct.Struct("=qq")
_NUMBER_BYTES: Final = 8


@frozen
class Row:
    """What one process has counted. `process` is its id, None if it has ended; its gauges are then without meaning."""

    number: int
    process: int | None
    routes: Sequence[str]
    numbers: "np.ndarray[tuple[int], np.dtype[np.float64]]"


def row_bytes(layout: Layout) -> int:
    size = _HEADER_BYTES + layout.length * _NUMBER_BYTES
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def create_file(layout: Layout) -> Path:
    """Create the file for this process and its children; pages without a write occupy no memory.

    On Linux it exists in memory only, and ends with its processes; elsewhere it is a temporary file.
    """
    if sys.platform == "linux":
        descriptor = os.memfd_create("scalecommerce-metrics")
        path = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    else:
        descriptor, name = tempfile.mkstemp(prefix="scalecommerce-metrics-")
        path = Path(name)
        atexit.register(path.unlink, missing_ok=True)
    os.truncate(descriptor, row_bytes(layout) * MAX_ROWS)
    return path


class OwnRow:
    """The row of this process; `numbers` has the length of the layout."""

    def __init__(self, mapped: memoryview, layout: Layout) -> None:
        self._mapped = mapped
        self.numbers: memoryview[float] = mapped[_HEADER_BYTES : _HEADER_BYTES + layout.length * _NUMBER_BYTES].cast(
            "d"
        )

    def name_process(self) -> None:
        """Write the id of this process into the header."""
        _, length = _HEADER.unpack(self._mapped[: _HEADER.size])
        self._mapped[: _HEADER.size] = _HEADER.pack(os.getpid(), length)

    def name_routes(self, routes: Sequence[str]) -> None:
        """Write the routes, in the order of their places, into the header."""
        text = json.dumps(list(routes)).encode()
        if len(text) > _HEADER_BYTES - _HEADER.size:
            raise ValueError(f"{len(routes)} routes do not fit into the header of a row.")
        self._mapped[_HEADER.size : _HEADER.size + len(text)] = text
        self._mapped[: _HEADER.size] = _HEADER.pack(os.getpid(), len(text))


def claim_row(path: Path, layout: Layout) -> OwnRow | None:
    """Take a free row until this process ends; None if all rows are taken.

    Each process may call this once, after its fork: record locks are not inherited, and end when a process closes any
    descriptor of the file. Therefore the descriptor stays open.
    """
    descriptor = os.open(path, os.O_RDWR)
    size = row_bytes(layout)
    for number in range(MAX_ROWS):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            continue
        mapped = memoryview(mmap.mmap(descriptor, size, offset=number * size))
        row = OwnRow(mapped, layout)
        _clear_gauges(row.numbers, layout)
        # The routes of the previous process stay: both processes are of one release.
        row.name_process()
        return row
    logger.warning("the metrics of this process are not exported: %d processes count already", MAX_ROWS)
    return None


def _clear_gauges(numbers: "memoryview[float]", layout: Layout) -> None:
    for metric in layout.metrics:
        if metric.kind is Kind.GAUGE:
            for place in range(metric.series):
                numbers[layout.offsets[metric.name] + place] = 0.0


class SharedFile:
    """The file as an exporter reads it; one instance per process."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._size = row_bytes(layout)
        self._descriptor = os.open(path, os.O_RDWR)

    def rows(self) -> list[Row]:
        """The rows that were ever taken, by number."""
        found = []
        for number in range(MAX_ROWS):
            start = number * self._size
            process, length = _HEADER.unpack(os.pread(self._descriptor, _HEADER.size, start))
            if process == 0:
                break
            routes = json.loads(os.pread(self._descriptor, length, start + _HEADER.size) or b"[]")
            content = os.pread(self._descriptor, self._layout.length * _NUMBER_BYTES, start + _HEADER_BYTES)
            is_running = process == os.getpid() or self._is_locked(number)
            found.append(Row(number, process if is_running else None, routes, np.frombuffer(content)))
        return found

    def _is_locked(self, number: int) -> bool:
        """Whether another process holds the lock of a row. A lock of this process would be released."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return True
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, number)
        return False
