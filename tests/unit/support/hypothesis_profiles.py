"""Hypothesis tries few and always the same examples by default; HYPOTHESIS_PROFILE=deep tries many new ones."""

import os

from hypothesis import HealthCheck, settings


def load_profile() -> None:
    # No deadlines: they would measure the machine, and a slow machine is not a fault of the code.
    settings.register_profile(
        "default", derandomize=True, max_examples=15, stateful_step_count=30, deadline=None, database=None
    )
    settings.register_profile(
        "deep",
        max_examples=2_000,
        stateful_step_count=100,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
