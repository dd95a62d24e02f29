"""Finds promtool, which checks the alert rules.

Without it the tests fail if `CI` is set, and are left out elsewhere.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.left_out import DIRECTORY, forget_left_out, note_left_out

LEFT_OUT: Final = DIRECTORY / "promtool"
HOW: Final = (
    "To get it, install Prometheus (Debian: apt-get install prometheus; elsewhere: https://prometheus.io/download/),"
    " so that promtool is on PATH, then run: make project integration"
)


def find_promtool(environment: Mapping[str, str], left_out: Path = LEFT_OUT) -> str:
    """Return the path of promtool on the `PATH` of this environment; without it, fail or skip the test."""
    forget_left_out(left_out)
    if found := shutil.which("promtool", path=environment.get("PATH")):
        return found
    if environment.get("CI"):
        pytest.fail(f"promtool is missing on this machine, and CI is set. {HOW}", pytrace=False)
    message = f"NOT TESTED: promtool is missing on this machine, so the tests of the alert rules were left out. {HOW}"
    note_left_out(left_out, message)
    pytest.skip(message)
