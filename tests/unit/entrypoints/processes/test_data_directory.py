"""The information file of a running engine: when commands use it, and when they ignore it."""

import os
import stat
from pathlib import Path

import pytest

from entrypoints.processes.data_directory import DataDirectory, EngineInfo
from entrypoints.processes.errors import CannotRun

NOTE = EngineInfo("http://127.0.0.1:8000", embedded=True, settings={"DATABASE_URL": "postgresql://u:p@h/n"})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_running_engine_is_found(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "a" / "b")
    with data.lock_exclusively():
        assert data.running_engine() is None  # it is still starting
        data.write_engine_info(NOTE)
        assert DataDirectory(tmp_path / "a" / "b").running_engine() == NOTE
        assert mode(data.path / "engine.json") == 0o600
    assert data.running_engine() is None
    assert not (data.path / "engine.json").exists()


def test_the_information_of_a_killed_engine_is_ignored(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    with data.lock_exclusively():
        pass
    data.write_engine_info(NOTE)
    assert data.running_engine() is None
    with data.lock_exclusively():
        assert data.running_engine() is None


def test_a_missing_directory_has_no_running_engine(tmp_path: Path) -> None:
    assert DataDirectory(tmp_path / "never").running_engine() is None
    assert not (tmp_path / "never").exists()


def test_a_directory_has_one_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoints.processes.data_directory._LOCK_TIMEOUT", 0.0)
    with (
        DataDirectory(tmp_path).lock_exclusively(),
        pytest.raises(CannotRun) as starting,
        DataDirectory(tmp_path).lock_exclusively(),
    ):
        pass
    with DataDirectory(tmp_path).lock_exclusively():
        DataDirectory(tmp_path).write_engine_info(NOTE)
        with pytest.raises(CannotRun) as running, DataDirectory(tmp_path).lock_exclusively():
            pass
    advice = "Stop that one first, or choose another directory with --data."
    who = f"Another engine (process {os.getpid()}) runs in {tmp_path}"
    assert str(starting.value) == f"{who}. {advice}"
    assert str(running.value) == f"{who} and answers at {NOTE.url}. {advice}"


def test_the_token_secret_is_generated_once(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    secret = data.token_secret()
    assert len(secret) >= 32
    assert data.token_secret() == secret
    assert mode(tmp_path / "jwt-secret") == 0o600
