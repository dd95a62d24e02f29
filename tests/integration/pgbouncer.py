"""A PgBouncer in front of the PostgreSQL of these tests: Debian's package `pgbouncer`."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url

from tests.integration.engine_process import eventually
from tests.integration.ports import free_port

PATIENCE = 20.0

needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None and "CI" not in os.environ,
    reason="pgbouncer (Debian's package of this name) is missing",
)


@contextmanager
def running_pgbouncer(server: str, pool_mode: str) -> Iterator[URL]:
    """Start PgBouncer before the server of a URL; yield the URL of the same database through it, without parameters."""
    url, port = make_url(server), free_port()
    server_port = url.query.get("port") or url.port
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        directory = Path(name)
        (directory / "users.txt").write_text(f'"{url.username}" "{url.password}"\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": directory / "users.txt",
            "pool_mode": pool_mode,
            "default_pool_size": 10,
            "max_client_conn": 100,
            # Sessions of one client get connections of another one, as under load.
            "server_round_robin": 1,
        }
        lines = [f"{key} = {value}" for key, value in settings.items()]
        databases = f"* = host=127.0.0.1 port={server_port}"
        (directory / "pgbouncer.ini").write_text("\n".join(["[databases]", databases, "[pgbouncer]", *lines, ""]))
        # PgBouncer refuses to run as root, and reads its files as the other user.
        directory.chmod(0o755)
        user = ["--user", "nobody"] if os.geteuid() == 0 else []
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "pgbouncer"
        log = (directory / "log.txt").open("w")
        process = subprocess.Popen([program, *user, str(directory / "pgbouncer.ini")], stdout=log, stderr=log)
        through = url.set(drivername="postgresql", host="127.0.0.1", port=port, query={})
        try:
            plain = through.render_as_string(hide_password=False)
            eventually(
                lambda: process.poll() is not None or accepts_connections(plain), "a PgBouncer that accepts connections"
            )
            assert process.poll() is None, (directory / "log.txt").read_text()
            yield through
        finally:
            process.terminate()
            process.wait(PATIENCE)
            log.close()


def accepts_connections(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
