"""`scalecommerce up` as a user runs it: a separate process, observed from outside."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.integration.process_logs import follow, forget, log_tails

T = TypeVar("T")

PATIENCE = 120.0  # seconds; long, for busy machines
TOGETHER = [sys.executable, "-P", "-m", "entrypoints.cli"]


def environment(**more: str) -> dict[str, str]:
    """Our environment without the variables that name other servers."""
    kept = {name: text for name, text in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", "JWT_SECRET"}}
    return {**kept, "WORKER_CONCURRENCY": "1", "COLUMNS": "200", **more}


def run(*arguments: str, cwd: Path, stdin: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end."""
    return subprocess.run(
        [*TOGETHER, *arguments],
        cwd=cwd,
        env=environment(**more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def eventually(find: Callable[[], T | None], what: str) -> T:
    """Call `find` until its result is true, and return it; the failure after a timeout shows the logs."""
    deadline = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < deadline, f"timed out waiting for {what}{log_tails()}"
        time.sleep(0.05)
    return found


class EngineProcess:
    """A running `up`. Its output goes to files, because a full pipe would block it."""

    def __init__(self, directory: Path, *options: str, program: Sequence[str | Path] = TOGETHER, **more: str) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.data = directory / ".scalecommerce"
        self._out, self._err = directory / "out.txt", directory / "err.txt"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*program, "up", "--port", "0", *options],
                cwd=directory,
                env=environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        follow(self.process, self.data / "logs", "*.log")

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def url(self) -> str:
        """The URL of the API, once the engine is ready."""

        def look() -> str | None:
            assert self.process.poll() is None, self.err
            found = re.search(r"Ready after \S+ s: (http://\S+)/ ", self.out)
            return found and found[1]

        return eventually(look, f"the ready line; {self.out} {self.err}")

    def request(
        self, path: str, *, token: str = "", body: object = None, method: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(  # noqa: S310 - the URL is our own
            self.url + path, None if body is None else json.dumps(body).encode(), sent, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def log_ins(self) -> dict[str, str]:
        """Return the printed e-mail addresses of the demo by role."""
        eventually(lambda: "quantity" in self.out, "the demo's lines")
        found = re.findall(r"^  (?:a )?(buyer|seller|staff) +(\S+@\S+) +admin$", self.out, re.MULTILINE)
        return dict(found)

    def token(self, email: str) -> str:
        """Return an access token of a seeded account."""
        status, pair = self.request("/users/api/v1/token/", body={"email": email, "password": "admin"})
        assert status == 200, pair
        return str(pair["access"])

    def child(self, name: str) -> int:
        """Return the id of a child process, which is also the id of its process group."""
        lock = self.data / "logs" / f"{name}.lock"
        # The file is empty while a process takes over the lock of an earlier one.
        return int(eventually(lock.read_text, f"the process id in {lock.name}"))

    def processes(self) -> dict[int, str]:
        """Return the command lines of all descendants by process id, found by data directory or owner."""
        marks = (str(self.data).encode(), f"entrypoints.local.fork_server_main\0{self.process.pid}\0".encode())
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    command = (entry / "cmdline").read_bytes()
                    where = os.fsencode((entry / "cwd").readlink())
                except OSError:  # the process has ended
                    continue
                if command and (any(mark in command for mark in marks) or where.startswith(marks[0])):
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """Stop the engine at the end of a test."""
        forget(self.process)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()
