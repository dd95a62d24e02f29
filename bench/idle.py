"""CPU time and memory of an idle `scalecommerce up`: python -m bench.idle --up CHECKOUT --up OTHER

Starts the engine of each checkout one after another, without simulated visitors, in a new directory. After `--settle`
seconds, it measures for `--seconds` the CPU time of all processes (engine, PostgreSQL, Redis), and at the end their
proportional set size (PSS: memory that processes share is counted once). `--demo` fills the database first; `--traffic`
runs the visitors. Linux only.
"""

import argparse
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from attrs import frozen

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
PROC: Final = Path("/proc")
READY_SECONDS: Final = 150.0
ROLES: Final = frozenset({"api", "worker", "beat", "traffic"})


@frozen
class Process:
    """A process of the engine: its role, CPU time in seconds with that of its ended children, and PSS in bytes."""

    role: str
    cpu_seconds: float
    pss: int


@frozen
class Idle:
    """Percent of one core, and PSS in bytes, by role of process."""

    cpu_percent: Mapping[str, float]
    pss: Mapping[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--up", action="append", type=Path, metavar="CHECKOUT", help="default: this checkout")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--settle", type=float, default=20.0, help="seconds between start and measurement")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--traffic", action="store_true", help="with --demo: with simulated visitors")
    options = parser.parse_args()
    checkouts = options.up or [Path(__file__).parents[1]]
    flags = [*(["--demo"] if options.demo else []), *([] if options.traffic else ["--no-traffic"])]
    measured: dict[Path, list[Idle]] = {checkout: [] for checkout in checkouts}
    for number in range(options.rounds):
        # In alternating order, so that neither is always measured first.
        for checkout in checkouts if number % 2 == 0 else checkouts[::-1]:
            with _engine(checkout, flags) as pid:
                time.sleep(options.settle)
                measured[checkout].append(measure(pid, options.seconds))
    for checkout, rounds in measured.items():
        print(f"\n{checkout}, up {' '.join(flags)}: median of {len(rounds)}")
        _print(rounds)


def measure(pid: int, seconds: float) -> Idle:
    """Measure the process tree of `pid` for the given time."""
    before, begun = processes_of(pid), time.monotonic()
    time.sleep(seconds)
    after, elapsed = processes_of(pid), time.monotonic() - begun
    cpu, pss = dict[str, float](), dict[str, int]()
    for number, process in after.items():
        used = process.cpu_seconds - (before[number].cpu_seconds if number in before else 0.0)
        cpu[process.role] = cpu.get(process.role, 0.0) + 100 * used / elapsed
        pss[process.role] = pss.get(process.role, 0) + process.pss
    return Idle(cpu, pss)


def processes_of(pid: int) -> dict[int, Process]:
    """The process and its descendants by their numbers."""
    stats = {int(entry.name): fields for entry in PROC.glob("[0-9]*") if (fields := _stat(entry)) is not None}
    tree = {pid}
    while more := {number for number, fields in stats.items() if int(fields[1]) in tree and number not in tree}:
        tree |= more
    found = {}
    for number in sorted(tree & stats.keys()):
        entry = PROC / str(number)
        try:
            role = _role(entry, number == pid)
            pss = int(re.findall(r"^Pss:\s+(\d+) kB", (entry / "smaps_rollup").read_text(), re.MULTILINE)[0]) * 1024
        except (OSError, IndexError):
            continue  # it has ended
        found[number] = Process(role, sum(map(int, stats[number][11:15])) / TICKS_PER_SECOND, pss)
    return found


def _stat(entry: Path) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name of the program; None: the process has ended."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _role(entry: Path, is_root: bool) -> str:
    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    if is_root:
        return "up"
    if "entrypoints.local.fork_server_main" in words:
        name = (entry / "comm").read_text().strip()
        return name if name in ROLES else "fork server"
    if "entrypoints.local.child_main" in words:  # an earlier checkout
        return words[words.index("entrypoints.local.child_main") + 2]
    return "PostgreSQL" if "postgres" in words[0] else "Redis"


@contextmanager
def _engine(checkout: Path, flags: list[str]) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="idle-", ignore_cleanup_errors=True) as directory:
        log = Path(directory) / "up.log"
        command = [str(checkout.resolve() / ".venv/bin/scalecommerce"), "up", "--port", "0", *flags]
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=directory, stdout=out, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + READY_SECONDS
            while b"Ready after" not in log.read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(log.read_text())
                time.sleep(0.2)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _print(rounds: list[Idle]) -> None:
    print(f"  {'':12} {'% of a core':>12} {'PSS, MB':>9}")
    for role in dict.fromkeys(role for each in rounds for role in each.cpu_percent):
        cpu = median(each.cpu_percent.get(role, 0.0) for each in rounds)
        print(f"  {role:12} {cpu:12.2f} {median(each.pss.get(role, 0) for each in rounds) / 1e6:9.0f}")
    cpus, sizes = ([sum(each.cpu_percent.values()) for each in rounds], [sum(each.pss.values()) for each in rounds])
    print(f"  {'together':12} {median(cpus):12.2f} {median(sizes) / 1e6:9.0f}", end="")
    print(f"   ({min(cpus):.2f} to {max(cpus):.2f} %, {min(sizes) / 1e6:.0f} to {max(sizes) / 1e6:.0f} MB)")


if __name__ == "__main__":
    main()
