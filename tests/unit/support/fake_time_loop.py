"""An event loop whose time the test sets, for deadlines."""

import asyncio
from collections.abc import Awaitable, Callable


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """Its timers are due by `now`, in seconds. Timers that are not due keep an idle loop waiting in real time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def time(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due."""
        self.now += seconds
        for _ in range(5):
            await asyncio.sleep(0)


def run_in_fake_time(scenario: Callable[[FakeTimeLoop], Awaitable[None]]) -> None:
    """Run a scenario on a loop whose time it sets."""
    loop = FakeTimeLoop()

    async def main() -> None:
        await scenario(loop)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
