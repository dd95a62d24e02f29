"""The engine as an operator runs it: `serve`, `worker` and `beat`, each in a separate process."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from attrs import frozen

from bench.orders_load.checkout import THIS, Checkout, environment
from entrypoints.processes.readiness_probe import api_answers

T = TypeVar("T")

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
_LISTENS: Final = re.compile(r"listens on (?P<host>\S+) port (?P<port>\d+)")


class EngineFailed(Exception):
    """A process ended, did not become ready or refuses all orders.

    The message contains the end of its log, or the answer.
    """


@frozen
class MeasuredEngine:
    host: str
    port: int
    processes: Mapping[str, int]
    """The process ids of `serve`, `worker` and `beat`."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def running_engine(
    directory: Path, settings: Mapping[str, str], checkout: Checkout = THIS, api_processes: int = 1
) -> Iterator[MeasuredEngine]:
    """Run the engine of a checkout, from ready to drained.

    The benchmarks do not pay orders. Reservations last a day, so that no order expires while it is counted, and the
    quota of open orders is counted as usual but never reached.
    """
    given = {
        "RESERVATION_SECONDS": "86400",
        "OPEN_ORDERS_PER_ACCOUNT": "1000000",
        # `market.access_tokens` are valid for a day; the engine limits the age of any token to this setting.
        "ACCESS_TOKEN_SECONDS": "86400",
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    with ExitStack() as stack:
        # The worker logs that it is ready, and `serve` logs its port, at level INFO.
        serve = stack.enter_context(
            _command(
                checkout,
                ["serve", "--port", "0", "--workers", str(api_processes)],
                directory,
                {**given, "LOG_LEVEL": "INFO"},
            )
        )
        worker = stack.enter_context(_command(checkout, ["worker"], directory, {**given, "LOG_LEVEL": "INFO"}))
        beat = stack.enter_context(_command(checkout, ["beat"], directory, given))
        where = serve.wait_for(_LISTENS.search)
        host, port = where["host"], int(where["port"])
        serve.wait_for(lambda _: api_answers(host, port))
        worker.wait_for(lambda log: " ready." in log)
        yield MeasuredEngine(
            host, port, {"serve": serve.process.pid, "worker": worker.process.pid, "beat": beat.process.pid}
        )


class _Command:
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    def wait_for(self, find: Callable[[str], T | None]) -> T:
        """Pass the log to `find` until the result is true, and return it; raise `EngineFailed` after a minute."""
        deadline = time.monotonic() + START_SECONDS
        while not (found := find(self._log.read_text(errors="replace"))):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise EngineFailed(f"{self._log.name}:\n{self._log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)
        return found


@contextmanager
def _command(checkout: Checkout, words: list[str], directory: Path, settings: Mapping[str, str]) -> Iterator[_Command]:
    log = directory / f"{words[0]}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            checkout.command(*words),
            env={**environment(), **settings},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # Ctrl-C reaches the benchmark alone, which then ends the processes in order.
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
