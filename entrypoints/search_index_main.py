"""Builds the search index of a host in a separate process, because a build takes minutes of processor time.

`python -P -m entrypoints.search_index_main OWNER` reads its settings as a JSON object from standard input. An API
process starts it, and it ends with that process.
"""

import json
import logging
import os
import signal
import sys
from typing import Final

from adapters.embedded.launch import die_with_parent

logger = logging.getLogger(__name__)

NICENESS: Final = 10
"""Requests take precedence over the build."""


def main(owner: int) -> int:
    # The owner ends this process in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(owner, signal.SIGKILL)
    os.nice(NICENESS)
    from entrypoints import logs, settings  # noqa: PLC0415 - after the binding to the owner

    # Settings are not in the environment of the process, which can be read from outside.
    os.environ.update(json.load(sys.stdin))
    chosen = settings.load()
    logs.configure(chosen, "search index")
    from entrypoints.wiring import build_search_index  # noqa: PLC0415 - its log must be configured
    from scalecommerce_core.domain.errors import MarketError  # noqa: PLC0415 - as above

    try:
        build_search_index(chosen)
    except (MarketError, OSError) as error:
        logger.error("the search index was not built: %s", error)  # noqa: TRY400 - the message says what to do
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
