"""Progress reports of long use cases."""

from typing import Protocol


class Progress(Protocol):
    """Called with the name of a step and how many of its units are done; `total` is None while it is unknown."""

    def __call__(self, step: str, done: int, total: int | None, /) -> None: ...


def no_progress(step: str, done: int, total: int | None) -> None:
    """Ignore progress reports."""
