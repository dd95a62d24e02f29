"""How long work tells that it goes on."""

from typing import Protocol


class Progress(Protocol):
    """`done` of `total` units of `step` are finished; `total` is None while nobody knows."""

    def __call__(self, step: str, done: int, total: int | None, /) -> None: ...


def no_progress(step: str, done: int, total: int | None) -> None:
    """Progress for callers who do not ask."""
