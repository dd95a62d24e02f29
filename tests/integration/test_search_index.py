"""The search index of a process: how it follows changes, is replaced, and survives interruptions."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2
import psycopg
import pytest
from attrs import evolve
from sqlalchemy import Engine, text

from adapters.db.core.change_notifications import PostgresCatalogFeed
from adapters.db.core.connection_parameters import open_connection
from adapters.db.core.engine import database_engine
from adapters.db.installation import read_installation
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.queries.search.index.files import IndexDirectory, UnsafeDirectory
from adapters.db.queries.search.index.freshness import FreshIndex
from adapters.db.queries.search.index.maintenance import IndexMaintainer
from adapters.db.queries.search.index.source import IndexSource
from adapters.db.store import PostgresStore
from adapters.embedded.file_lock import is_locked
from entrypoints import settings
from entrypoints.wiring import start_index_build
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.queries import Facet, PageRequest, ProductFilter, SortOrder
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually
from tests.integration.followed_index import followed_index
from tests.integration.pgbouncer import needs_pgbouncer, running_pgbouncer

WORDS: Final = ("lamp", "kettle", "teapot", "samovar", "garden", "copper")
LAMPS: Final = ProductFilter(search="lamp", sort_order=SortOrder.RELEVANCE)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


def _find(engine: Engine, index: FreshIndex | None, wanted: ProductFilter = LAMPS) -> list[ProductId]:
    queries = PostgresQueries(engine, index=index)
    return [view.id for view in queries.search(wanted, PageRequest(100)).rows]


def _directory(engine: Engine, path: Path) -> IndexDirectory:
    return IndexDirectory(path, read_installation(engine))


def test_changes_by_this_process_are_found_at_once(engine: Engine, tmp_path: Path) -> None:
    chance = random.Random(3)
    with followed_index(engine, tmp_path) as followed:
        stage = Stage(followed.store)
        seller = stage.account()
        products = [stage.product(seller, name=_name(chance)) for _ in range(40)]
        followed.await_ready()
        indexed, plain = PostgresQueries(engine, index=followed.fresh), PostgresQueries(engine)
        for _ in range(60):
            _change(stage, chance, products)
            wanted = _wanted(chance)
            assert _shown(indexed, wanted) == _shown(plain, wanted), wanted
        assert followed.fresh.answers > 0


def _change(stage: Stage, chance: random.Random, products: list[ProductId]) -> None:
    product, kind = chance.choice(products), chance.randrange(5)
    if kind == 0:
        products.append(stage.product(name=_name(chance), price=chance.randint(100, 9000)))
    elif kind == 1:
        stage.reprice(product, chance.randint(100, 9000), NOW + SECOND)
    elif kind == 2:
        stage.edit(product, name=_name(chance), category_id=CategoryId(chance.randint(1, 3)))
    elif kind == 3:
        stage.edit(product, is_active=chance.random() < 0.5)
    else:
        stage.edit(product, description=_name(chance), brand=chance.choice(("Acme", "Sonex", "")))


def _name(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=3))


def _wanted(chance: random.Random) -> ProductFilter:
    return ProductFilter(
        search=" ".join(chance.sample(WORDS, chance.choice((1, 1, 2)))),
        price_max=chance.choice((None, 5000)),
        categories=chance.choice(((), (CategoryId(1), CategoryId(2)))),
        sort_order=SortOrder.RELEVANCE,
    )


def _shown(queries: PostgresQueries, wanted: ProductFilter) -> object:
    page = queries.search(wanted, PageRequest(10))
    return page.rows, page.total, page.did_you_mean, queries.facets(wanted, list(Facet))


def test_changes_by_other_processes_are_found(engine: Engine, tmp_path: Path) -> None:
    other = Stage(PostgresStore(engine))
    product = other.product(name="Lamp")
    with followed_index(engine, tmp_path) as followed:
        followed.await_ready()
        assert _find(engine, followed.fresh) == [product]
        added = other.product(name="Lamp")
        other.edit(product, name="Kettle")
        eventually(lambda: _find(engine, followed.fresh) == [added], "the changes")


def test_stock_is_read_when_the_page_is_made(engine: Engine, tmp_path: Path) -> None:
    stage = Stage(PostgresStore(engine))
    first, second = stage.product(name="Lamp", stock=1), stage.product(name="Lamp", stock=1)
    with followed_index(engine, tmp_path) as followed:
        followed.await_ready()
        assert _find(engine, followed.fresh) == [second, first]
        with engine.begin() as connection:
            # Without a notification: the index has no stock.
            connection.execute(text("UPDATE stock SET reserved = on_hand WHERE product_id = :id"), {"id": second})
        eventually(lambda: followed.fresh.current() is not None, "the index")
        assert _find(engine, followed.fresh) == [first, second]


def test_statements_answer_while_no_index_is_built(engine: Engine, tmp_path: Path) -> None:
    stage = Stage(PostgresStore(engine))
    product = stage.product(name="Lamp")
    with _unbuilt(engine, tmp_path) as fresh:
        assert _find(engine, fresh) == [product]
        assert (fresh.answers, fresh.refusals > 0) == (0, True)


@contextmanager
def _unbuilt(engine: Engine, directory: Path) -> Iterator[FreshIndex]:
    """An index that opens files but builds none."""
    feed = PostgresCatalogFeed(engine)
    fresh = FreshIndex(lambda: feed.reported_below)
    fresh.keep_alive = feed.keep_alive
    source = IndexSource(engine)
    maintainer = IndexMaintainer(fresh, source, feed, lambda: _directory(engine, directory), lambda _: None)
    feed.follow(fresh)
    maintainer.start()
    try:
        yield fresh
    finally:
        maintainer.close()
        feed.close()


def test_another_process_opens_the_same_files(engine: Engine, tmp_path: Path) -> None:
    """The changes since the build come from the log."""
    stage = Stage(PostgresStore(engine))
    kept, renamed = stage.product(name="Lamp"), stage.product(name="Lamp")
    _directory(engine, tmp_path).build(engine)
    stage.edit(renamed, name="Kettle")
    added = stage.product(name="Lamp")
    with _unbuilt(engine, tmp_path) as fresh:
        eventually(lambda: fresh.current() is not None, "the index")
        assert _find(engine, fresh) == [added, kept]
        assert fresh.answers > 0


def test_files_are_not_opened_if_the_log_lacks_changes_since_their_build(engine: Engine, tmp_path: Path) -> None:
    stage = Stage(PostgresStore(engine))
    stage.product(name="Lamp")
    _directory(engine, tmp_path).build(engine)
    added = stage.product(name="Lamp lamp")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE change_log_state SET purged_below = CAST(CAST(pg_current_xact_id() AS text) AS bigint) - 1"
        )
        connection.exec_driver_sql("DELETE FROM change_log")
    with followed_index(engine, tmp_path) as followed:
        followed.await_ready()
        assert added in _find(engine, followed.fresh)


def test_files_of_another_installation_are_neither_opened_nor_removed(engine: Engine, tmp_path: Path) -> None:
    theirs = IndexDirectory(tmp_path, "another").build(engine)
    assert _directory(engine, tmp_path).newest(theirs.position.instance) is None
    _directory(engine, tmp_path).build(engine)
    assert theirs.path.exists()


def test_a_change_of_everything_replaces_the_index(engine: Engine, tmp_path: Path) -> None:
    stage = Stage(PostgresStore(engine))
    product = stage.product(name="Lamp")
    with followed_index(engine, tmp_path) as followed:
        followed.await_ready()
        before = followed.fresh.horizon
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE products SET name = 'Kettle'")
            connection.exec_driver_sql(
                """
                INSERT INTO change_log
                    (xid, products, sellers, revoked_sessions, key_owners, lists, everything, events)
                VALUES
                    (CAST(CAST(pg_current_xact_id() AS text) AS bigint), '{}', '{}', '{}', '{}', false, true, false)
                """
            )
        eventually(lambda: _find(engine, followed.fresh) == [], "the change")
        eventually(lambda: followed.fresh.current() is not None and followed.fresh.horizon > before, "a new index")
        kettles = ProductFilter(search="kettle", sort_order=SortOrder.RELEVANCE)
        assert _find(engine, followed.fresh, kettles) == [product]


def test_changes_during_an_interruption_of_the_feed_are_found(
    engine: Engine, tmp_path: Path, administrator: psycopg.Connection
) -> None:
    stage = Stage(PostgresStore(engine))
    product = stage.product(name="Lamp")
    with followed_index(engine, tmp_path) as followed:
        followed.await_ready()
        starts = followed.fresh.feed_starts
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND query LIKE %s",
            (engine.url.database, "%purged_below%"),
        )
        stage.edit(product, name="Kettle")
        eventually(lambda: followed.fresh.feed_starts > starts, "the restart")
        eventually(lambda: followed.fresh.current() is not None, "the index")
        assert _find(engine, followed.fresh) == []
        assert followed.fresh.answers > 0


def test_a_newer_build_replaces_the_index(engine: Engine, tmp_path: Path) -> None:
    stage = Stage(PostgresStore(engine))
    product = stage.product(name="Lamp")
    first = _directory(engine, tmp_path).build(engine)
    other = stage.product(name="Lamp")
    second = _directory(engine, tmp_path).build(engine)
    assert not first.path.exists()
    assert _directory(engine, tmp_path).newest(second.position.instance) == second
    with _unbuilt(engine, tmp_path) as fresh:
        eventually(lambda: fresh.current() is not None, "the index")
        assert _find(engine, fresh) == [other, product]


def test_a_killed_build_leaves_no_half_index(engine: Engine, database: str, tmp_path: Path) -> None:
    stage = Stage(PostgresStore(engine))
    stage.product(name="Lamp")
    directory = _directory(engine, tmp_path)
    directory.prepare()
    program = (
        "import sys; from pathlib import Path; from adapters.db.core.engine import database_engine;"
        "from adapters.db.installation import read_installation;"
        "from adapters.db.queries.search.index.files import IndexDirectory;"
        "engine = database_engine(sys.argv[1], statement_timeout=None);"
        "print('begins', flush=True);"
        "IndexDirectory(Path(sys.argv[2]), read_installation(engine)).build(engine)"
    )
    with open_connection(database) as blocker:
        # The build waits for the table.
        blocker.execute("LOCK TABLE products")
        build = subprocess.Popen([sys.executable, "-P", "-c", program, database, str(tmp_path)], stdout=subprocess.PIPE)
        assert build.stdout is not None
        build.stdout.readline()
        os.kill(build.pid, signal.SIGKILL)
        build.wait()
        build.stdout.close()
    # What a build leaves that was killed while it wrote.
    half = tmp_path / f"unfinished-{directory.lock_path.name.removesuffix('lock')}1"
    half.mkdir()
    (half / "about.json").write_text('{"number": "99", "instance": "", "built_at": 0}')
    assert directory.newest(b"") is None
    files = directory.build(engine)
    assert directory.newest(files.position.instance) == files
    assert not half.exists()


def test_a_directory_that_others_can_write_to_is_refused(engine: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(UnsafeDirectory, match="SEARCH_INDEX_DIR"):
        _directory(engine, tmp_path).build(engine)


def test_damaged_files_are_replaced(engine: Engine, tmp_path: Path) -> None:
    stage = Stage(PostgresStore(engine))
    product = stage.product(name="Lamp")
    files = _directory(engine, tmp_path).build(engine)
    for path in files.path.glob("*.npy"):
        path.write_bytes(b"")
    with followed_index(engine, tmp_path) as followed:
        followed.await_ready()
        assert _find(engine, followed.fresh) == [product]


def test_an_api_process_has_the_index_built_and_uses_it(
    make_database: Callable[[], str], redis_url: str, tmp_path: Path
) -> None:
    url = make_database()
    engine = database_engine(url)
    product = Stage(PostgresStore(engine)).product(name="Lamp")
    engine.dispose()
    directory = tmp_path / "index"
    with Deployment(
        tmp_path / "engine", url, redis_url, SEARCH_INDEX="memory", SEARCH_INDEX_DIR=str(directory), CACHE_MEGABYTES="0"
    ) as running:
        running.commands["serve"].says("the search index is ready: 1 products")
        answer = httpx2.get(f"{running.url}/products/api/v1/", params={"search": "lamp"})
        assert [each["id"] for each in answer.json()["results"]] == [product]
    assert [path for path in directory.iterdir() if path.is_dir()]


@needs_pgbouncer
def test_the_index_is_built_through_a_pooler_of_transactions(
    engine: Engine, database: str, postgres_url: str, tmp_path: Path
) -> None:
    stage = Stage(PostgresStore(engine))
    product = stage.product(name="Lamp")
    name = database.partition("@")[2].partition("?")[0].rpartition("/")[2]
    with running_pgbouncer(postgres_url, "transaction") as address:
        pooled = database_engine(
            address.set(database=name, query={"pool_mode": "transaction"}).render_as_string(hide_password=False)
        )
        try:
            files = _directory(pooled, tmp_path).build(pooled)
            assert files.open().columns.ids.tolist() == [product]
            with followed_index(pooled, tmp_path) as followed:
                eventually(lambda: followed.fresh.index is not None, "the index")
                found = followed.fresh.index
                assert found is not None
                assert found.documents == 1
        finally:
            pooled.dispose()


def test_a_link_instead_of_the_directory_is_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir(mode=0o700)
    _directory(engine, tmp_path / "files").build(engine)
    (tmp_path / "link").symlink_to(tmp_path / "files")
    linked = _directory(engine, tmp_path / "link")
    for act in (linked.prepare, lambda: linked.newest(b""), lambda: linked.build(engine), lambda: linked.last_built_at):
        with pytest.raises(UnsafeDirectory, match="not to a link"):
            act()


def test_each_use_of_the_directory_checks_it_anew(engine: Engine, tmp_path: Path) -> None:
    directory = _directory(engine, tmp_path / "files")
    files = directory.build(engine)
    assert directory.newest(files.position.instance) == files
    assert files.path.stat().st_mode & 0o777 == 0o700
    # A program that cleans up removes it, and another user creates it.
    shutil.rmtree(tmp_path / "files")
    assert directory.newest(files.position.instance) is None
    (tmp_path / "files").chmod(0o777)
    with pytest.raises(UnsafeDirectory, match="Other users can write"):
        directory.newest(files.position.instance)


def test_builds_by_other_releases_are_removed_after_a_day(engine: Engine, tmp_path: Path) -> None:
    directory = _directory(engine, tmp_path)
    installation = directory.lock_path.name.partition("-")[0]
    names = (f"{installation}-0001-1-ab", f"unfinished-{installation}-0001-1-ab", "0123456789abcdef-0001-1-ab")
    for name in (*names, f"{installation}-0002-1-cd"):
        (tmp_path / name).mkdir()
    two_days_ago = time.time() - 2 * 86_400
    for name in names:
        os.utime(tmp_path / name, (two_days_ago, two_days_ago))
    files = directory.build(engine)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    # Those of another installation are not touched, and a release that still runs during an upgrade keeps its files.
    assert left == {files.path.name, names[2], f"{installation}-0002-1-cd"}


def test_a_build_that_does_not_fit_on_the_disk_leaves_nothing(engine: Engine, database: str, tmp_path: Path) -> None:
    Stage(PostgresStore(engine)).product(name="Lamp")
    program = (
        "import resource, sys; from pathlib import Path; from adapters.db.core.engine import database_engine;"
        "from adapters.db.installation import read_installation;"
        "from adapters.db.queries.search.index.files import IndexDirectory;"
        "engine = database_engine(sys.argv[1], statement_timeout=None);"
        "directory = IndexDirectory(Path(sys.argv[2]), read_installation(engine));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "directory.build(engine)"
    )
    command = [sys.executable, "-P", "-c", program, database, str(tmp_path)]
    build = subprocess.run(command, check=False, capture_output=True, text=True)
    assert build.returncode == 1
    assert "OSError" in build.stderr
    assert not [*tmp_path.iterdir()]


def test_of_many_processes_that_want_an_index_one_starts_a_build(
    engine: Engine, database: str, redis_url: str, tmp_path: Path
) -> None:
    chosen = settings.load({"DATABASE_URL": database, "REDIS_URL": redis_url, "JWT_SECRET": "x" * 32})
    directory = _directory(engine, tmp_path)
    chosen = evolve(chosen, search_index_dir=str(tmp_path))
    with open_connection(database) as blocker:
        # The build waits for the table.
        blocker.execute("LOCK TABLE products")
        build = start_index_build(chosen, directory)
        assert build is not None
        assert [start_index_build(chosen, directory) for _ in range(3)] == [None] * 3
    assert build.wait(120) == 0
    assert not is_locked(directory.lock_path)
    (about,) = tmp_path.glob("*/about.json")
    # A process that looked for files just before this build was complete.
    about.write_text(json.dumps({**json.loads(about.read_text()), "built_at": time.time() + 3_600}))
    assert start_index_build(chosen, directory) is None
