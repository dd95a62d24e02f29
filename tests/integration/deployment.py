"""A deployment as an operator runs it: `serve`, `worker` and `beat` as processes, on servers that are given."""

import contextlib
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import httpx2

from tests.integration.engine_process import PATIENCE, TOGETHER, environment, eventually
from tests.integration.process_logs import follow, forget

PASSWORD = "correct horse battery"


class Command:
    """One of them, with its output in a file."""

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
        """Waits for a line that matches."""

        def look() -> "re.Match[str] | None":
            text = self._log.read_text()
            assert self.process.poll() is None, text
            return re.search(pattern, text)

        return eventually(look, f"{pattern} in {self._log.name}")

    def end(self) -> int:
        """Its exit status after SIGTERM."""
        self.stop()
        return self.ended()

    def stop(self) -> None:
        """SIGTERM, once: a second one can catch Granian inside of its handler, whose lock it then waits for."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Its exit status; what is left of its process group is killed."""
        forget(self.process)
        try:
            return self.process.wait(PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Deployment:
    """`url` is where its API answers; all of its processes share one secret and end together."""

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
        """`program` is what starts the command line; the checkout's own unless it is given."""
        self._directory = directory
        self._program = program
        self._workers = workers
        self.database_url = database_url
        directory.mkdir(parents=True, exist_ok=True)
        self._settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "JWT_SECRET": secrets.token_urlsafe(48),
            # One token lasts for a whole suite.
            "ACCESS_TOKEN_SECONDS": "36000",
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

    def start(self, name: str) -> Command:
        arguments = [name, "--port", "0", "--workers", str(self._workers)] if name == "serve" else [name]
        self.commands[name] = Command(self._directory / f"{name}.log", arguments, self._settings, self._program)
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

    def person(self, name: str, **profile: str) -> httpx2.Client:
        """A client that is logged in as a new account."""
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


def becomes(client: httpx2.Client, path: str, meets: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    """The resource, as soon as it is as wanted."""

    def look() -> dict[str, object] | None:
        document: dict[str, object] = client.get(path).json()
        return document if meets(document) else None

    return eventually(look, f"a change of {path}")
