"""Files of the search index, which all processes of a host map into memory: one directory for each build."""

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Final

from attrs import field, frozen
from sqlalchemy import Engine

from adapters.db.core.change_notifications import LogPosition
from adapters.db.queries.search.index.building import SegmentBuilder
from adapters.db.queries.search.index.segment import SEGMENT_FORMAT, Segment
from adapters.db.queries.search.index.source import catalog_snapshot
from adapters.db.schema_version import release_revisions

_ABOUT: Final = "about.json"
_UNFINISHED: Final = "unfinished-"


class UnsafeDirectory(OSError):
    """Another user could write to the directory of the index."""


@frozen
class IndexFiles:
    """A complete build. `position` is that of its snapshot of the catalog, `built_at` the system time of its end."""

    path: Path
    position: LogPosition = field(repr=False)
    built_at: float

    def open(self) -> Segment:
        """Map the files into memory; raise OSError or ValueError if they are gone or damaged."""
        return Segment.open(self.path)


class IndexDirectory:
    """The builds for one installation, one revision of its tables and one format of the files.

    Files have the permissions of their owner alone, and a directory of another user is refused: whoever could write
    there could change what searches find.
    """

    def __init__(self, directory: Path, installation: str) -> None:
        """`installation` is the text of `read_installation`."""
        digest = sha256(installation.encode()).hexdigest()[:16]
        self._prefix = f"{digest}-{release_revisions().head}-{SEGMENT_FORMAT}-"
        self._directory = directory

    def prepare(self) -> None:
        """Create the directory; raise OSError if this is impossible or another user could write to it."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._directory.stat()
        if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UnsafeDirectory(
                f"Other users can write to {self._directory}: set SEARCH_INDEX_DIR to a directory of this user alone."
            )

    @property
    def lock_path(self) -> Path:
        """The file that a building process has locked."""
        return self._directory / f"{self._prefix}lock"

    def newest(self, instance: bytes) -> IndexFiles | None:
        """The newest build from this instance of the server; None if there is none."""
        found = [each for each in self._complete() if each.position.instance == instance]
        return max(found, key=lambda each: (each.position.number, each.built_at), default=None)

    def build(self, engine: Engine) -> IndexFiles:
        """Read all products and write their index; the caller holds the lock.

        Raise `MarketError` or OSError. Only a complete build gets its final name. Earlier builds are removed; processes
        that have mapped them keep them. The statements of `engine` have no time limit.
        """
        self.prepare()
        self._remove(_UNFINISHED)
        builder = SegmentBuilder()
        with catalog_snapshot(engine) as snapshot:
            builder.add(snapshot.rows)
        name = f"{self._prefix}{token_hex(8)}"
        unfinished = self._directory / f"{_UNFINISHED}{name}"
        builder.build().write(unfinished)
        position, built_at = snapshot.position, time.time()
        about = {"number": str(position.number), "instance": position.instance.decode(), "built_at": built_at}
        (unfinished / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        # Before the rename: after a power failure, a directory with its final name must have its content.
        for path in (*unfinished.iterdir(), unfinished):
            _flush(path)
        final = self._directory / name
        unfinished.rename(final)
        _flush(self._directory)
        self._remove(self._prefix, keep=final)
        return IndexFiles(final, position, built_at)

    def _complete(self) -> Iterator[IndexFiles]:
        for path in self._directory.glob(f"{self._prefix}*"):
            # Another process may be removing it.
            with suppress(OSError, ValueError, KeyError):
                about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
                position = LogPosition(int(about["number"]), about["instance"].encode())
                yield IndexFiles(path, position, float(about["built_at"]))

    def _remove(self, prefix: str, keep: Path | None = None) -> None:
        """Remove the directories with this prefix; those of other installations have another one."""
        mine = f"{prefix}{self._prefix}" if prefix == _UNFINISHED else prefix
        for path in self._directory.glob(f"{mine}*"):
            if path.is_dir() and path != keep:
                shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
