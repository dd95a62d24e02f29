"""Processes that are started again when they end, as `restart: unless-stopped` of Compose does."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

PAUSE: Final = 0.2


class Service:
    """A command whose output goes to a file. `ends` counts how often it ended by itself."""

    def __init__(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = False
        self._lock = threading.Lock()
        self.ends = 0

    def start(self) -> None:
        with self._lock:
            self._is_wanted = True
            self._launch()

    def hold(self) -> None:
        """Do not start the command again, until `start`."""
        with self._lock:
            self._is_wanted = False

    def kill(self) -> None:
        self.hold()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart_if_ended(self) -> None:
        with self._lock:
            if self._is_wanted and self._process is not None and self._process.poll() is not None:
                self.ends += 1
                self._launch()

    def _launch(self) -> None:
        if self._process is not None:
            self._process.wait()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the test alone, which stops its services in order.
                start_new_session=True,
            )


class Supervisor:
    """Starts services again that end before the block does, which kills them all."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for service in reversed(self._services):
            service.kill()

    def _watch(self) -> None:
        while not self._stop.is_set():
            time.sleep(PAUSE)
            for service in self._services:
                service.restart_if_ended()
