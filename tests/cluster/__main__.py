"""Faults of the primary in a cluster with Patroni and etcd, under load: `make cluster-test`."""

import sys

from rich.console import Console

from tests.cluster import options, sandbox


def main() -> int:
    chosen = options.parse(sys.argv[1:])
    if missing := sandbox.find_missing():
        console = Console(stderr=True, highlight=False)
        for sentence in missing:
            console.print(sentence, markup=False, soft_wrap=True)
        return 2
    return sandbox.enter(chosen.arguments())


if __name__ == "__main__":
    sys.exit(main())
