"""Private namespaces of the kernel, in which the whole test runs.

The test has its own processes, networks and mounts, and the kernel removes all of them when the first process of the
namespace ends, however it ends. Nothing that belongs to the machine is changed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

ROOT: Final = Path(__file__).parents[2]
PATRONI_ENVIRONMENT: Final = ROOT / ".cache/patroni"
"""The environment of Patroni, which `make cluster-test` installs from uv.lock."""
PROGRAMS: Final = {
    "ip": "iproute2",
    "bridge": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "etcd": "etcd-server",
}
"""Programs of the machine, and the Debian package of each."""
# The shell is the first process of the namespace: it waits for the test, and for processes that lost their parent.
# Ctrl-C does not end it, because the first process gets only signals for which it has a handler.
_FIRST_PROCESS: Final = '"$@"; exit $?'


def find_missing() -> list[str]:
    """What the machine lacks, one sentence each with the remedy; empty if the test can run."""
    missing = []
    if not sys.platform.startswith("linux"):
        return ["The test needs Linux, whose network namespaces it uses."]
    if os.geteuid() != 0:
        missing.append("The test must run as root, because it creates network namespaces: sudo make cluster-test")
    packages = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if packages:
        absent = ", ".join(program for program in PROGRAMS if shutil.which(program) is None)
        missing.append(f"These programs are missing: {absent}. On Debian: apt-get install {' '.join(packages)}")
    if not (PATRONI_ENVIRONMENT / "bin/patroni").exists():
        missing.append("Patroni is not installed: start the test with `make cluster-test`, which installs it.")
    if not missing and (problem := _try_namespaces()):
        missing.append(f"The kernel refuses namespaces: {problem}. In a container, the test needs --privileged.")
    return missing


def _try_namespaces() -> str:
    done = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or f"unshare ended with {done.returncode}"


def enter(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by one that runs `tests.cluster.inside` in namespaces of its own."""
    command = [sys.executable, "-m", "tests.cluster.inside", *arguments]
    os.chdir(ROOT)
    os.execvp("unshare", [*_unshare(), "sh", "-c", _FIRST_PROCESS, "sh", *command])  # noqa: S606 - it needs no shell


def is_inside() -> bool:
    """Whether this process runs in the namespaces, where the shell is the first process."""
    return os.getppid() == 1 and Path("/proc/1/cmdline").read_bytes().split(b"\0")[2:3] == [_FIRST_PROCESS.encode()]


def _unshare() -> list[str]:
    return ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
