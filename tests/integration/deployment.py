"""A deployment as an operator runs it: `serve`, `worker` and `beat` as processes, on existing servers."""

import contextlib
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx2

from tests.integration.engine_process import PATIENCE, TOGETHER, environment, eventually
from tests.integration.process_logs import follow, forget

PASSWORD = "correct horse battery"


class Command:
    """A process of the deployment, with its output in a file."""

    def __init__(
        self, log: Path, arguments: list[str], settings: dict[str, str], program: Sequence[str | Path] = TOGETHER
    ) -> None:
        self._log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [*program, *arguments],
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        follow(self.process, log.parent, log.name)

    def says(self, pattern: str) -> "re.Match[str]":
        """Wait for output that matches the pattern, and return the match."""

        def look() -> "re.Match[str] | None":
            text = self._log.read_text()
            assert self.process.poll() is None, text
            return re.search(pattern, text)

        return eventually(look, f"{pattern} in {self._log.name}")

    def text(self) -> str:
        """The output so far."""
        return self._log.read_text()

    def end(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.stop()
        return self.ended()

    def stop(self) -> None:
        """Send SIGTERM once: a second one could interrupt Granian's handler and deadlock on its lock."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for the end, kill the rest of the process group, and return the exit status."""
        forget(self.process)
        try:
            return self.process.wait(PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Deployment:
    """A deployment whose API is at `url`; all processes share one secret and end together."""

    def __init__(
        self,
        directory: Path,
        database_url: str,
        redis_url: str,
        *,
        workers: int = 1,
        program: Sequence[str | Path] = TOGETHER,
        **more: str,
    ) -> None:
        """`program` starts the command line; the checkout's by default."""
        self._directory = directory
        self._program = program
        self._workers = workers
        self.database_url = database_url
        directory.mkdir(parents=True, exist_ok=True)
        self._settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "JWT_SECRET": secrets.token_urlsafe(48),
            # A token must be valid for a whole test suite.
            "ACCESS_TOKEN_SECONDS": "36000",
            # All accounts of a suite are created from one client address.
            "SIGN_UPS_PER_ADDRESS": "0",
            # One buyer places all orders of a test, and pays few of them.
            "OPEN_ORDERS_PER_ACCOUNT": "0",
            "UNPAID_SHARE_PERCENT": "0",
            **more,
        }
        self.commands: dict[str, Command] = {}
        self.url = ""
        self._clients: list[httpx2.Client] = []

    def __enter__(self) -> Self:
        try:
            for name in ("serve", "worker", "beat"):
                self.start(name)
            self.find()
            self.commands["worker"].says(r"ready\.")
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, name: str, **more: str) -> Command:
        """Start a program, with `more` settings."""
        arguments = [name, "--port", "0", "--workers", str(self._workers)] if name == "serve" else [name]
        self.commands[name] = Command(
            self._directory / f"{name}.log", arguments, {**self._settings, **more}, self._program
        )
        return self.commands[name]

    def find(self) -> None:
        """Wait for the API's first answer."""
        said = self.commands["serve"].says(r"listens on (?P<host>\S+) port (?P<port>\d+)")
        self.url = f"http://{said['host']}:{said['port']}"

        def answers() -> bool:
            try:
                return httpx2.get(f"{self.url}/healthz").is_success
            except httpx2.TransportError:
                return False

        eventually(answers, "the API's first answer")

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment variables of the processes."""
        return self._settings

    def person(self, name: str, **profile: str) -> httpx2.Client:
        """Return a client that is logged in as a new account."""
        client = self.visitor()
        email = f"{name}-{secrets.token_hex(4)}@example.com"
        made = client.post("/users/api/v1/sign-up/", json={"email": email, "password": PASSWORD, **profile})
        assert made.status_code == 201, made.text
        log_in(client, email)
        return client

    def visitor(self) -> httpx2.Client:
        self._clients.append(httpx2.Client(base_url=self.url, timeout=60))
        return self._clients[-1]

    def end(self) -> None:
        for client in self._clients:
            client.close()
        for command in self.commands.values():
            command.stop()
        with contextlib.ExitStack() as all_of_them:
            for command in self.commands.values():
                all_of_them.callback(command.ended)


def log_in(client: httpx2.Client, email: str, password: str = PASSWORD) -> None:
    pair = client.post("/users/api/v1/token/", json={"email": email, "password": password})
    assert pair.status_code == 200, pair.text
    client.headers["Authorization"] = f"Bearer {pair.json()['access']}"


def await_resource(client: httpx2.Client, path: str, meets: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    """Read the resource until `meets` is true, and return it."""

    def look() -> dict[str, object] | None:
        document: dict[str, object] = client.get(path).json()
        return document if meets(document) else None

    return eventually(look, f"a change of {path}")
