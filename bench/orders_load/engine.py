"""The engine as an operator runs it: `serve`, `worker` and `beat`, each a process of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from attrs import frozen

from entrypoints.processes.readiness_probe import api_answers

T = TypeVar("T")

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
# Before it becomes the command, each process asks to end with the benchmark, be that killed by `kill -9`.
_TIED: Final = """
import runpy, signal, sys
from entrypoints.processes.parent_death import end_with
end_with(int(sys.argv.pop(1)), signal.SIGKILL)
runpy.run_module("entrypoints.cli", run_name="__main__", alter_sys=True)
"""
_LISTENS: Final = re.compile(r"listens on (?P<host>\S+) port (?P<port>\d+)")


class EngineFailed(Exception):
    """A process ended, or did not get ready; the message holds its log."""


@frozen
class Engine:
    host: str
    port: int
    processes: Mapping[str, int]
    """The process ids of `serve`, `worker` and `beat`."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def running_engine(directory: Path, settings: Mapping[str, str]) -> Iterator[Engine]:
    """From ready to drained. Orders are not paid here, and must not expire while they are counted."""
    given = {"RESERVATION_SECONDS": "86400", "LOG_LEVEL": "WARNING", **settings}
    with ExitStack() as stack:
        # The worker says that it is ready, and `serve` its port, at INFO only.
        serve = stack.enter_context(_command("serve", ["--port", "0"], directory, {**given, "LOG_LEVEL": "INFO"}))
        worker = stack.enter_context(_command("worker", [], directory, {**given, "LOG_LEVEL": "INFO"}))
        beat = stack.enter_context(_command("beat", [], directory, given))
        where = serve.waits_for(_LISTENS.search)
        host, port = where["host"], int(where["port"])
        serve.waits_for(lambda _: api_answers(host, port))
        worker.waits_for(lambda log: " ready." in log)
        yield Engine(host, port, {"serve": serve.process.pid, "worker": worker.process.pid, "beat": beat.process.pid})


class _Command:
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    def waits_for(self, look: Callable[[str], T | None]) -> T:
        """What `look` makes of the log, as soon as that is something."""
        deadline = time.monotonic() + START_SECONDS
        while not (found := look(self._log.read_text(errors="replace"))):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise EngineFailed(f"{self._log.name}:\n{self._log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)
        return found


@contextmanager
def _command(name: str, options: list[str], directory: Path, settings: Mapping[str, str]) -> Iterator[_Command]:
    log = directory / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _TIED, str(os.getpid()), name, *options],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # Ctrl-C is for the benchmark alone, which then ends them in order.
            start_new_session=True,
        )
    try:
        yield _Command(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
