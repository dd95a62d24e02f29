"""How long requests wait for commands: the deadline of a command, and calls in threads that are abandoned at it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from attrs import frozen

from adapters.http.framework.request_client import current_client
from scalecommerce_core.domain.errors import DeadlineExceeded, Effect
from scalecommerce_core.ports import CommandDeadline, use_deadline

T = TypeVar("T")

DEFAULT_COMMAND_SECONDS: Final = 10.0
"""Clients and proxies usually wait for 30 to 60 s. Statements of a healthy database take milliseconds, and a command
waits for locks for at most 5 s."""
RESERVED_SHARE: Final = 0.1
"""A command with less than this share of its time limit left is not begun: it would delay the other commands of its
batch, which is undone at the earliest deadline of them."""


@frozen
class TimeLimit:
    """The time within which a command must be complete, in seconds.

    With `per_request` all commands of a request share the deadline of the first one.
    """

    seconds: float
    per_request: bool = True

    def deadline(self) -> float:
        """The deadline of a command that a request has now, as a time of the event loop."""
        now = asyncio.get_running_loop().time()
        if not self.per_request:
            return now + self.seconds
        client = current_client()
        if client.deadline is None:
            client.deadline = now + self.seconds
        return client.deadline

    @contextmanager
    def follow_effect(self) -> Iterator[Callable[[], None]]:
        """Around a command: yield a function to call if it may have had an effect.

        A later command of the same request that is not complete in time must not say that the request changed nothing.
        """
        if not self.per_request:
            yield _ignore_effect
            return
        client = current_client()

        def note() -> None:
            client.may_have_effect = True

        try:
            yield note
        except DeadlineExceeded as error:
            if error.effect is Effect.NONE and client.may_have_effect:
                raise DeadlineExceeded(Effect.UNKNOWN) from error
            raise

    @property
    def reserve(self) -> float:
        """A command with less time than this, in seconds, is not begun."""
        return self.seconds * RESERVED_SHARE


async def run_in_time(limit: TimeLimit, run: Callable[[Callable[[], T]], Awaitable[T]], use_case: Callable[[], T]) -> T:
    """Call `use_case` in a thread by `run`; raise `DeadlineExceeded` at the deadline.

    A call that was begun then continues without committing anything; one that was not begun never is.
    """
    deadline = CommandDeadline(limit.deadline(), asyncio.get_running_loop().time)
    with limit.follow_effect() as note_effect:
        try:
            return await _run_by(deadline, run, use_case)
        finally:
            if deadline.effect is not Effect.NONE:
                note_effect()


async def _run_by(
    deadline: CommandDeadline, run: Callable[[Callable[[], T]], Awaitable[T]], use_case: Callable[[], T]
) -> T:
    loop = asyncio.get_running_loop()
    has_begun = False

    def call() -> T:
        nonlocal has_begun
        deadline.check()
        has_begun = True
        with use_deadline(deadline):
            return use_case()

    task = asyncio.ensure_future(run(call))
    try:
        await asyncio.wait([task], timeout=max(0.0, deadline.at - loop.time()))
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        return task.result()
    effect = deadline.expire()
    if has_begun:
        # The thread is occupied until the call ends.
        task.add_done_callback(ignore_result)
        raise DeadlineExceeded(effect)
    task.cancel()
    raise DeadlineExceeded.before_begin()


def _ignore_effect() -> None:
    """The effects of the command are not those of a request."""


def ignore_result(task: "asyncio.Future[T]") -> None:
    """Read the exception of a future that has ended: asyncio logs exceptions that are never read."""
    if not task.cancelled():
        task.exception()
