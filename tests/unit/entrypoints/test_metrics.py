"""The exporter of a program, without a server."""

import os
import socket
from collections.abc import Iterator

import pytest

from adapters.metrics.series import Program
from entrypoints import settings
from entrypoints.local.up import _metrics_port
from entrypoints.metrics import FILE_VARIABLE, open_process_metrics, start_exporter
from entrypoints.processes.errors import CannotRun
from entrypoints.settings import Settings


def chosen(**more: str) -> Settings:
    needed = {"DATABASE_URL": "postgresql://db/shop", "REDIS_URL": "redis://redis:6379/0", "JWT_SECRET": "s" * 32}
    return settings.load({**needed, **more})


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, "/of/a/parent")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port: int = holder.getsockname()[1]
        yield port


def test_nothing_is_exported_by_default() -> None:
    start_exporter(chosen(), Program.API)
    assert FILE_VARIABLE not in os.environ
    assert open_process_metrics() is None


def test_a_taken_port_is_reported(taken: int) -> None:
    with pytest.raises(CannotRun, match=rf"METRICS_PORT: cannot listen on 127\.0\.0\.1 port {taken}"):
        start_exporter(chosen(METRICS_PORT=str(taken)), Program.API)
    assert FILE_VARIABLE not in os.environ


@pytest.mark.parametrize(("child", "port"), [("api", "9464"), ("worker", "9465"), ("beat", "9466")])
def test_the_programs_of_up_have_ports_of_their_own(child: str, port: str) -> None:
    assert _metrics_port(settings.to_environment(chosen(METRICS_PORT="9464")), child) == {"METRICS_PORT": port}
    assert _metrics_port(settings.to_environment(chosen()), child) == {}
