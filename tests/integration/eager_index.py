"""A search index that is brought up to date before each use, to compare its answers with those of statements."""

from pathlib import Path

from sqlalchemy import Engine

from adapters.db.queries.search.index.building import SegmentBuilder
from adapters.db.queries.search.index.product_index import ProductIndex
from adapters.db.queries.search.index.segment import Segment
from adapters.db.queries.search.index.source import IndexSource, Row, catalog_snapshot


class EagerIndex:
    """Its first products are in files, which are mapped into memory; changed and new ones in segments in memory."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._source = IndexSource(engine)
        self._rows = self._read()
        builder = SegmentBuilder()
        builder.add(self._rows.values())
        builder.build().write(directory)
        self._index = ProductIndex.of(Segment.open(directory))
        self._seen = ""
        self.answers = 0

    def current(self) -> ProductIndex | None:
        self.answers += 1
        snapshot, before = self._snapshot(), self._seen
        if snapshot != before:
            self._update()
            self._seen = snapshot
        return self._index

    def _update(self) -> None:
        rows = self._read()
        changed = [row for id_, row in rows.items() if row != self._rows.get(id_)]
        removed = self._rows.keys() - rows.keys()
        if changed or removed:
            self._index = self._index.with_changes(changed, removed)
        self._index = self._index.with_tiers(*self._source.read_tiers())
        self._rows = rows

    def _snapshot(self) -> str:
        """PostgreSQL's snapshot, which changes with each transaction that writes."""
        with self._engine.connect() as connection:
            return str(connection.exec_driver_sql("SELECT CAST(pg_current_snapshot() AS text)").scalar_one())

    def choose_list_horizon(self) -> None:
        """The index has no horizon."""

    def use_list_horizon(self, horizon: int) -> None:
        """Ignored: every answer includes all changes."""

    def _read(self) -> dict[int, Row]:
        with catalog_snapshot(self._engine) as snapshot:
            return {row[0]: row for row in snapshot.rows}
