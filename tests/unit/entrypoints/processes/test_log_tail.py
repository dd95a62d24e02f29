"""Errors of the children, as `up` shows them."""

from pathlib import Path

import pytest

from entrypoints.processes.log_tail import LogErrorTail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "api.log"
    path.write_text('{"event": "of an earlier run", "level": "error"}\n')
    return path


def test_errors_are_read_as_sentences_and_other_lines_are_skipped(log: Path) -> None:
    errors = LogErrorTail([log, log.with_name("worker.log")])
    with log.open("a") as file:
        file.write('{"event": "all is well", "level": "info"}\nno JSON\n[1]\n')
        file.write('{"event": "it broke", "level": "error", "exception": "Traceback\\n  line 1\\nValueError: no"}\n')
    log.with_name("worker.log").write_text('{"event": "so did I", "level": "critical"}\n')
    assert list(errors.read_new()) == ["api: it broke (ValueError: no)", "worker: so did I"]
    assert list(errors.read_new()) == []


def test_a_line_is_read_when_it_is_complete(log: Path) -> None:
    errors = LogErrorTail([log])
    with log.open("a") as file:
        file.write('{"event": "half", ')
        file.flush()
        assert list(errors.read_new()) == []
        file.write('"level": "error"}\n')
        file.flush()
        assert list(errors.read_new()) == ["api: half"]


def test_a_truncated_log_is_read_from_its_start(log: Path) -> None:
    errors = LogErrorTail([log])
    log.write_text('{"event": "new", "level": "error"}\n')
    assert list(errors.read_new()) == ["api: new"]
