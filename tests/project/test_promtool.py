"""The search for promtool, with and without one."""

from pathlib import Path

import pytest

from tests.project.promtool import find_promtool


def test_promtool_on_the_path_is_used_and_nothing_is_left_out(tmp_path: Path) -> None:
    program, left_out = tmp_path / "promtool", tmp_path / "left-out"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    left_out.write_text("of an earlier run")

    assert find_promtool({"PATH": str(tmp_path)}, left_out) == str(program)
    assert not left_out.exists()


def test_a_missing_promtool_leaves_a_line_that_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    left_out = tmp_path / "cache/left-out"

    with pytest.raises(pytest.skip.Exception, match="NOT TESTED"):
        find_promtool({"PATH": str(tmp_path)}, left_out)

    (line,) = left_out.read_text().splitlines()
    assert "NOT TESTED: promtool is missing" in line
    assert "apt-get install prometheus" in line
    assert "make project" in line


def test_a_missing_promtool_fails_if_ci_is_set(tmp_path: Path) -> None:
    left_out = tmp_path / "left-out"

    with pytest.raises(pytest.fail.Exception, match="promtool is missing on this machine, and CI is set"):
        find_promtool({"PATH": str(tmp_path), "CI": "true"}, left_out)

    assert not left_out.exists()
