"""Ends forked processes together with their parent, even when the parent is killed by SIGKILL."""

import os
import signal

from adapters.embedded.launch import die_with_parent


def bind_forks_to_parent(number: int) -> None:
    """From now on, each process that this process forks receives signal `number` when this process ends (Linux
    only).
    """
    owner = os.getpid()

    def bind() -> None:
        if os.getppid() == owner:
            # An inherited SIGTERM handler would act on the fork's copy of the parent's objects, without effect.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            die_with_parent(owner, number)

    os.register_at_fork(after_in_child=bind)
