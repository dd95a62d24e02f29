"""The steps of docs/runbook.md that restore a cluster to a point in time, with its settings and statements."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from attrs import define
from sqlalchemy import Engine, make_url, text

from adapters.db.core.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.embedded.postgres import DATABASE, EmbeddedPostgres
from adapters.system import SystemClock
from scalecommerce_core.domain.identifiers import AccountId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import Ordering, PlaceOrder
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.statistics import Statistics
from scalecommerce_core.testing.contracts.stage import Stage
from tests.integration.engine_process import eventually
from tests.integration.replicated_postgres import TcpProxy, programs_directory

RUNBOOK: Final = Path(__file__).parents[2] / "docs/runbook.md"
QUICK: Final = {"fsync": "off", "shared_buffers": "64MB", "wal_init_zero": "off"}


def block(name: str) -> str:
    """The code of the runbook that follows the comment `<!-- NAME -->`."""
    found = re.search(rf"<!-- {name} -->\n\n *```\w+\n(.*?)```", RUNBOOK.read_text(), re.DOTALL)
    assert found is not None, name
    return dedent(found[1])


def settings_of(name: str, **values: str) -> dict[str, str]:
    """Settings of PostgreSQL in a block. The archive is beside the data directory, in which the server runs."""
    written = block(name).replace("/mnt/wal", "../archive")
    for placeholder, value in values.items():
        assert placeholder in written
        written = written.replace(placeholder, value)
    return dict(re.findall(r"^(\w+) = '(.*)'$", written, re.MULTILINE))


@define
class Shop:
    """An engine whose DATABASE_URL names two hosts, of which only the first exists at the beginning."""

    engine: Engine
    buyer: AccountId
    product: ProductId

    @property
    def store(self) -> PostgresStore:
        return PostgresStore(self.engine)

    def order(self, count: int) -> list[OrderId]:
        """Place and decide orders, and give numbers to their events."""
        ordering = Ordering(self.store, SystemClock())
        placed = []
        for _ in range(count):
            (order,) = ordering.place([PlaceOrder(CommandId(uuid4()), self.buyer, [OrderLineRequest(self.product, 1)])])
            assert isinstance(order, Order)
            placed.append(order.id)
        assert ordering.decide().total == count
        assert OutboxRelay(self.store, SystemClock()).assign_sequence()
        return placed

    def orders(self) -> list[OrderId]:
        return [OrderId(id_) for (id_,) in self._rows("SELECT id FROM orders ORDER BY id")]

    def last_event(self) -> int:
        ((last,),) = self._rows("SELECT max(seq) FROM events")
        return int(last)

    def timeline(self) -> int:
        ((file,),) = self._rows("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        return int(file[:8], 16)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_orders_until_the_target_are_restored_and_the_engine_continues(tmp_path: Path, stack: ExitStack) -> None:
    home = new_home(tmp_path / "lost")
    server = EmbeddedPostgres(home.parent, QUICK | settings_of("settings of the archive"))
    stack.enter_context(server)
    proxies = [TcpProxy(server.port), TcpProxy(0)]
    for proxy in proxies:
        stack.callback(proxy.close)
    shop = open_shop(server, proxies, stack)

    first = shop.order(2)
    copy = base_backup(server, tmp_path)
    second = shop.order(3)
    with administrator(server) as connection:
        (target,) = connection.execute("SELECT clock_timestamp()").fetchone() or ("",)
    third = shop.order(1)
    lost_event = shop.last_event()
    with shop.engine.begin() as connection_of_engine:
        connection_of_engine.execute(text("TRUNCATE orders CASCADE"))
    assert shop.orders() == []
    archive_everything(server)
    server.stop()
    owner = (home / "data").stat()
    shutil.rmtree(home / "data")

    restored_home = new_home(tmp_path / "restored")
    shutil.copytree(home / "archive", restored_home / "archive", dirs_exist_ok=True)
    for name in ("password", "engine-password"):
        shutil.copy2(home / name, restored_home / name)
    copy.rename(restored_home / "data")
    (restored_home / "data" / "recovery.signal").touch()
    for directory in (restored_home / "data", restored_home / "archive"):
        change_owner(directory, owner)
    given = settings_of("settings of the recovery", **{"2026-11-30 14:05:00+00": str(target)})
    restored = stack.enter_context(EmbeddedPostgres(restored_home.parent, QUICK | given))
    with administrator(restored) as connection:
        eventually(
            lambda: connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,) or None, "the promotion"
        )
    proxies[1].target = restored.port

    # The same process goes on: the timeline of the restored cluster is higher than that of the lost one.
    assert eventually(lambda: _orders_or_none(shop), "the restored cluster") == [*first, *second]
    assert shop.timeline() == 2
    run_as_engine(restored, block("statements after the recovery"))
    later = shop.order(2)
    assert min(later) > max(third), "an id is given twice"
    assert shop.last_event() > lost_event, "a number of an event is given twice"
    Statistics(shop.store, SystemClock()).catch_up()
    queries = PostgresQueries(shop.engine)
    assert queries.stock_discrepancies() == []
    assert queries.statistics_discrepancies() == []


def _orders_or_none(shop: Shop) -> list[OrderId] | None:
    try:
        return shop.orders() or None
    except Exception:  # noqa: BLE001 - any error of a connection means that the monitor has not found it yet
        return None


def new_home(directory: Path) -> Path:
    """The directory of an embedded server, with an archive that the server's user can write."""
    home = directory / "postgresql"
    home.mkdir(parents=True)
    home.chmod(0o711)
    (home / "archive").mkdir()
    (home / "archive").chmod(0o777)
    return home


def open_shop(server: EmbeddedPostgres, proxies: list[TcpProxy], stack: ExitStack) -> Shop:
    upgrade(server.url)
    credentials = make_url(server.url)
    hosts = "&".join(f"host=127.0.0.1:{proxy.port}" for proxy in proxies)
    url = f"postgresql+psycopg://{credentials.username}:{credentials.password}@/{DATABASE}?{hosts}"
    engine = database_engine(url)
    stack.callback(engine.dispose)
    stage = Stage(PostgresStore(engine))
    return Shop(engine, stage.account(), stage.product(stage.account(), stock=100))


def administrator(server: EmbeddedPostgres) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(server.administrator_url_of(DATABASE).replace("+psycopg", ""), autocommit=True)


def run_as_engine(server: EmbeddedPostgres, statements: str) -> None:
    with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
        connection.execute(statements)


def base_backup(server: EmbeddedPostgres, directory: Path) -> Path:
    """A copy of the running server, with the options of the runbook."""
    url = make_url(server.administrator_url_of(DATABASE))
    (written,) = re.findall(r"^pg_basebackup (.*)$", block("base backup"), re.MULTILINE)
    options = written.replace("/mnt/backup/base", str(directory / "base")).split()
    address = f"host=127.0.0.1 port={server.port} user={url.username} password={url.password}"
    program = programs_directory() / "pg_basebackup"
    subprocess.run([program, "--dbname", address, "--no-sync", *options], check=True, timeout=60)
    return directory / "base"


def change_owner(directory: Path, owner: os.stat_result) -> None:
    """A server that root starts runs as another user, who must be able to read its files."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def archive_everything(server: EmbeddedPostgres) -> None:
    with administrator(server) as connection:
        (last,) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        query = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"
        eventually(lambda: connection.execute(query, (last,)).fetchone() == (True,) or None, "the archive")
