"""What the test of the cluster needs, and the order of its faults."""

import os
import shutil
import sys
from itertools import islice
from pathlib import Path

import pytest

from tests.cluster import sandbox
from tests.cluster.faults import FAULTS, choose_faults
from tests.cluster.options import parse

NAMES = [fault.name for fault in FAULTS]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that has everything; the directory is the environment of Patroni."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/patroni").touch()
    monkeypatch.setattr(sandbox, "PATRONI_ENVIRONMENT", tmp_path)
    monkeypatch.setattr(sandbox, "_try_namespaces", str)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return tmp_path


@pytest.mark.usefixtures("complete")
def test_a_complete_machine_lacks_nothing() -> None:
    assert sandbox.find_missing() == []


def test_missing_programs_are_named_with_their_packages(complete: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name in {"ip", "bridge", "etcd"} else name)
    (complete / "bin/patroni").unlink()
    programs, patroni = sandbox.find_missing()
    assert programs == ("These programs are missing: ip, bridge, etcd. On Debian: apt-get install etcd-server iproute2")
    assert "make cluster-test" in patroni


@pytest.mark.usefixtures("complete")
def test_another_user_and_refused_namespaces_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_try_namespaces", lambda: "unshare failed: Operation not permitted")
    (refused,) = sandbox.find_missing()
    assert "Operation not permitted" in refused
    assert "--privileged" in refused
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (root,) = sandbox.find_missing()
    assert "sudo make cluster-test" in root
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sandbox.find_missing() == ["The test needs Linux, whose network namespaces it uses."]


def test_each_fault_occurs_once_in_each_turn_in_an_order_of_the_seed() -> None:
    def names(seed: int) -> list[str]:
        return [fault.name for fault in islice(choose_faults(seed, NAMES), 3 * len(NAMES))]

    for begin in range(0, 3 * len(NAMES), len(NAMES)):
        assert sorted(names(1)[begin : begin + len(NAMES)]) == sorted(NAMES)
    assert names(1) == names(1)
    assert len({tuple(names(seed)) for seed in range(5)}) == 5
    assert {fault.name for fault in islice(choose_faults(1, ["kill"]), 5)} == {"kill"}


def test_the_process_inside_the_namespaces_gets_the_same_options() -> None:
    chosen = parse(["--faults", "9", "--only", "kill", "--only", "zombie"])
    assert (chosen.faults, chosen.kinds) == (9, ["kill", "zombie"])
    assert parse(chosen.arguments()) == chosen
    assert parse([]).kinds == NAMES


@pytest.mark.parametrize(("arguments", "message"), [(["--faults", "0"], "1 or more"), (["--only", "fire"], "fire")])
def test_wrong_options_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err
