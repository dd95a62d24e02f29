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
OUTDATED_SECONDS: Final = 86_400.0
"""The age from which builds by other releases are removed: during an upgrade, both releases run."""


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

    Only their owner can read the files. A directory that another user could replace or write to is refused, because
    this user could change what searches find. The directory may be deleted at any time.
    """

    def __init__(self, directory: Path, installation: str) -> None:
        """`installation` is the text of `read_installation`."""
        digest = sha256(installation.encode()).hexdigest()[:16]
        self._installation = f"{digest}-"
        self._prefix = f"{self._installation}{release_revisions().head}-{SEGMENT_FORMAT}-"
        self._directory = directory

    def prepare(self) -> None:
        """Create the directory; raise OSError if this is impossible or another user could write to it.

        The other methods do this too, since the directory may have been removed and created by another user.
        """
        with suppress(FileExistsError):
            self._directory.mkdir(mode=0o700, parents=True)
        # Of a link, not of what it leads to: the owner of a link can replace it.
        found = self._directory.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise UnsafeDirectory(f"{self._directory} is no directory: set SEARCH_INDEX_DIR to one, not to a link.")
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
        self.prepare()
        found = [each for each in self._complete() if each.position.instance == instance]
        return max(found, key=lambda each: (each.position.number, each.built_at), default=None)

    @property
    def last_built_at(self) -> float:
        """The system time of the last build; minus infinity if there is none."""
        self.prepare()
        return max((each.built_at for each in self._complete()), default=float("-inf"))

    def build(self, engine: Engine) -> IndexFiles:
        """Read all products and write their index; the caller holds the lock.

        Raise `MarketError` or OSError. Only a complete build gets its final name. Earlier builds are removed; processes
        that have mapped them keep them. The statements of `engine` have no time limit.
        """
        self.prepare()
        self._remove(f"{_UNFINISHED}{self._prefix}")
        self._remove_outdated()
        builder = SegmentBuilder()
        with catalog_snapshot(engine) as snapshot:
            builder.add(snapshot.rows)
        name = f"{self._prefix}{token_hex(8)}"
        unfinished, final = self._directory / f"{_UNFINISHED}{name}", self._directory / name
        position = snapshot.position
        try:
            built_at = _write(builder.build(), position, unfinished)
            unfinished.rename(final)
        except BaseException:
            # The disk may be full.
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
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
        for path in self._directory.glob(f"{prefix}*"):
            if path.is_dir() and path != keep:
                shutil.rmtree(path, ignore_errors=True)

    def _remove_outdated(self) -> None:
        """Remove old builds by other releases for the same installation."""
        before = time.time() - OUTDATED_SECONDS
        for prefix in (self._installation, f"{_UNFINISHED}{self._installation}"):
            for path in self._directory.glob(f"{prefix}*"):
                with suppress(FileNotFoundError):
                    is_own = path.name.removeprefix(_UNFINISHED).startswith(self._prefix)
                    if not is_own and path.is_dir() and path.stat().st_mtime < before:
                        shutil.rmtree(path, ignore_errors=True)


def _write(segment: Segment, position: LogPosition, directory: Path) -> float:
    """Write the files, so that they survive a power failure; return when they were complete."""
    segment.write(directory)
    built_at = time.time()
    about = {"number": str(position.number), "instance": position.instance.decode(), "built_at": built_at}
    (directory / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    for path in (*directory.iterdir(), directory):
        _flush(path)
    return built_at


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
