"""Hypothesis looks at few, always the same examples by default; HYPOTHESIS_PROFILE=deep looks for new ones."""

import os

from hypothesis import HealthCheck, settings

# Deadlines measure the machine, and a slow machine is no bug.
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
