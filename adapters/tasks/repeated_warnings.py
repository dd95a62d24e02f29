"""Warnings about servers that are away: loops that run every second log the same problem once a minute."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

INTERVAL_SECONDS: Final = 60.0


class RepeatedWarnings:
    """Logs each text at most once in `INTERVAL_SECONDS`. For several threads."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[str, float] = {}

    def warn(self, text: str) -> None:
        now = self._clock()
        with self._lock:
            self._logged = {known: at for known, at in self._logged.items() if now - at < INTERVAL_SECONDS}
            if text in self._logged:
                return
            self._logged[text] = now
        self._logger.warning(text)
