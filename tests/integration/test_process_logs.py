"""A test that times out shows the logs of its processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration import engine_process
from tests.integration.process_logs import follow, forget, log_tails


def test_a_timeout_shows_the_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "PATIENCE", 0.0)
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    (tmp_path / "worker.log").write_text("the reason why")
    follow(process, tmp_path, "*.log")
    try:
        with pytest.raises(AssertionError) as failure:
            engine_process.eventually(lambda: None, "a cake")
    finally:
        forget(process)
    assert str(failure.value).startswith("timed out waiting for a cake")
    assert "worker.log (has ended with 3)\nthe reason why" in str(failure.value)
    assert "the reason why" not in log_tails()
