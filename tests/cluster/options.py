"""Options of the command line, which the process outside of the namespaces checks and the one inside uses."""

import argparse
import secrets
from collections.abc import Sequence

from attrs import frozen

from tests.cluster.faults import FAULTS


@frozen
class Options:
    faults: int
    seed: int
    kinds: list[str]

    def arguments(self) -> list[str]:
        """The arguments that give the same options."""
        kinds = [argument for kind in self.kinds for argument in ("--only", kind)]
        return ["--faults", str(self.faults), "--seed", str(self.seed), *kinds]


def parse(arguments: Sequence[str]) -> Options:
    kinds = "\n".join(f"  {fault.name:<11} {fault.description}" for fault in FAULTS)
    parser = argparse.ArgumentParser(
        prog="tests.cluster",
        description="Make the primary of the cluster that deploy/compose/ha.yml describes fail under load.",
        epilog=f"Faults, each once before any is repeated:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--faults", type=_positive, default=50, metavar="N", help="number of faults (default 50)")
    parser.add_argument("--seed", type=int, help="determines the order of the faults (default: a new one, printed)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[fault.name for fault in FAULTS],
        metavar="FAULT",
        help="one kind of fault; may be repeated",
    )
    chosen = parser.parse_args(arguments)
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    return Options(chosen.faults, seed, chosen.only or [fault.name for fault in FAULTS])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return number
