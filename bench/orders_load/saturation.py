"""HTTP load from wrk at the saturating rate."""

import http.client
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from attrs import frozen

from bench.orders_load.engine import MeasuredEngine

SCRIPT: Final = Path(__file__).with_name("order.lua")


class WrkMissing(Exception):
    """wrk is not installed; the message says how to install it."""


@frozen
class Answers:
    """Figures of wrk: `refused` answers are not 2xx, `broken` requests had no answer; latencies in ms."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    broken: int


def find_wrk() -> str:
    program = shutil.which("wrk")
    if program is None:
        raise WrkMissing(
            "wrk, which generates the load, is not installed: apt install wrk (Debian, Ubuntu), brew install wrk,"
            " or build it from https://github.com/wg/wrk."
        )
    return program


def saturate(
    engine: MeasuredEngine, *, tokens: Path, products: int, mode: str, connections: int, seconds: float
) -> Answers:
    """Run a closed loop: each connection sends its next order when the previous one is answered."""
    output = subprocess.run(
        [
            find_wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{round(seconds)}s",
            "--timeout", "10s", "--script", str(SCRIPT), engine.url, "--",
            str(tokens), str(products), mode, f"{engine.host}:{engine.port}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout  # fmt: skip
    return Answers(**json.loads(output.strip().rpartition("\n")[2]))


def order_once(engine: MeasuredEngine, token: str) -> str:
    """Return status and body of the answer to one order of the products 1 and 2."""
    connection = http.client.HTTPConnection(engine.host, engine.port, timeout=10)
    body = json.dumps({"order_item": [{"product": 1, "quantity": 1}, {"product": 2, "quantity": 1}]})
    connection.request(
        "POST", "/orders/api/v1/", body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return f"{answer.status} {text}"
