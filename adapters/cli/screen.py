"""Output of commands: results on standard output, everything else on standard error."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from adapters.cli.failures import Interrupted
from adapters.cli.strict_json import json_text
from scalecommerce_core.domain.text import printable
from scalecommerce_core.services.progress import Progress as ProgressCallback


def stdout_console() -> Console:
    """A console on standard output; created for each use, because `sys.stdout` may be redirected.

    Text is printed without interpretation of markup and emoji codes, because it may contain names that users chose.
    Use `style=` or `rich.text.Text` for styles.
    """
    return Console(highlight=False, markup=False, emoji=False)


def stderr_console() -> Console:
    """A console on standard error; otherwise like `stdout_console`."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_line(sentence: str, *, style: str | None = None) -> None:
    """Print a sentence on standard output, wrapped between words on a terminal and unwrapped elsewhere.

    Control characters are shown as escapes, because the sentence may contain text that users chose.
    """
    console = stdout_console()
    console.print(printable(sentence), style=style, soft_wrap=not console.is_terminal)


def print_json(value: Any) -> None:
    """Print strict JSON on standard output; see `json_text`."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


@contextmanager
def on_interrupt(kept: str) -> Iterator[None]:
    """Raise `Interrupted` on Ctrl-C; the sentence `kept` describes the state that remains."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(kept) from error


@contextmanager
def progress_bars(kept: str, *, quiet: bool = False) -> Iterator[ProgressCallback]:
    """Yield a progress callback that draws bars; on Ctrl-C, raise `Interrupted` with the sentence `kept`.

    No bars are drawn if `quiet`, or if standard error is not a terminal.
    """
    console = stderr_console()
    with (
        on_interrupt(kept),
        Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        ) as bars,
    ):
        yield _Steps(bars)


class _Steps:
    """One bar per step, in the order of their first report."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: str, done: int, total: int | None) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
        self._bars.update(self._tasks[step], completed=done, total=total)


def format_counts(counts: Mapping[str, int]) -> str:
    """`{"users": 10, "products": 0}` -> `"10 users"`; without counts above 0: `"nothing"`."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing"


def interactive() -> bool:
    """Whether standard input is a terminal, so that prompts can be answered."""
    return sys.stdin.isatty()
