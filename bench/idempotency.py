"""Send each idempotency key many times at once to two API processes; check that each key gets one order and all
responses to it are identical.
"""

import argparse
import asyncio
import contextlib
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

from attrs import field, frozen

from adapters.db.migrate import upgrade
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from tests.integration.deployment import Deployment
from tests.integration.real_market import real_market

ORDERS: Final = "/orders/api/v1/"
RESPONSE_TIMEOUT: Final = 60.0


@frozen
class ReceivedResponse:
    status: int
    location: str
    body: bytes


@frozen
class DuplicateRequestsResult:
    """`orders` maps each key to the order ids in its responses; `torn` describes the rounds with wrong responses."""

    rounds: int
    seconds: float
    statuses: Counter[int]
    orders: dict[str, set[int]]
    torn: list[str] = field(repr=False)

    @property
    def is_clean(self) -> bool:
        return not self.torn and all(len(ids) == 1 for ids in self.orders.values())

    def __str__(self) -> str:
        statuses = ", ".join(f"{count:,} x {status}" for status, count in sorted(self.statuses.items()))
        good = self.rounds - len(self.torn)
        return f"{self.rounds:,} keys, {good:,} with correct responses; {statuses}; {self.seconds:.1f} s"


class Connection:
    """One persistent HTTP/1.1 connection. Requests over several connections are sent simultaneously."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, url: str) -> Self:
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> ReceivedResponse:
        sent = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {text}\r\n" for name, text in sent.items())
        self._writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        async with asyncio.timeout(RESPONSE_TIMEOUT):
            answered = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"^content-length: (\d+)", answered, re.MULTILINE | re.IGNORECASE)
            content = await self._reader.readexactly(int(length[1]) if length else 0)
        location = re.search(r"^location: (\S+)", answered, re.MULTILINE | re.IGNORECASE)
        return ReceivedResponse(int(answered.split(maxsplit=2)[1]), location[1] if location else "", content)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def send_simultaneously(
    url: str, token: str, bodies: Sequence[bytes], *, rounds: int, twins: int, name: str, **headers: str
) -> DuplicateRequestsResult:
    """Send each of `rounds` keys `twins` times simultaneously; the requests of a key alternate between the bodies.

    Expected per key: all requests with one of the bodies get the same response, and those with another body get 422.
    """
    connections = [await Connection.to(url) for _ in range(twins)]
    statuses: Counter[int] = Counter()
    orders: dict[str, set[int]] = {}
    torn: list[str] = []
    begun = time.perf_counter()
    for number in range(rounds):
        key = f"{name}-{number}"
        sent = {"Authorization": f"Bearer {token}", "Idempotency-Key": key, **headers}
        answers = await asyncio.gather(
            *(
                connection.post(ORDERS, bodies[index % len(bodies)], sent)
                for index, connection in enumerate(connections)
            )
        )
        statuses.update(answer.status for answer in answers)
        by_body = [set(answers[index :: len(bodies)]) for index in range(len(bodies))]
        won = [each for each in by_body if {answer.status for answer in each} <= {201, 202}]
        lost = [each for each in by_body if {answer.status for answer in each} == {422}]
        if len(won) != 1 or len(won[0]) != 1 or len(won) + len(lost) != len(bodies):
            torn.append(f"{key}: {Counter((answer.status, answer.body) for answer in answers).most_common(3)}")
        orders[key] = {json.loads(answer.body)["id"] for answer in chain(*won)}
    seconds = time.perf_counter() - begun
    for connection in connections:
        await connection.close()
    return DuplicateRequestsResult(rounds, seconds, statuses, orders, torn)


def prepare(deployment: Deployment) -> tuple[str, list[bytes]]:
    """Return an access token, and two request bodies with different quantities."""
    person = deployment.person("twins")
    listed = person.post(
        "/products/api/v1/", json={"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 2**31 - 1}
    )
    product = listed.raise_for_status().json()["id"]
    token = str(person.headers["Authorization"]).removeprefix("Bearer ")
    return token, [
        json.dumps({"order_item": [{"product": product, "quantity": quantity}]}).encode() for quantity in (1, 2)
    ]


def run(deployment: Deployment, *, rounds: int, twins: int) -> dict[str, DuplicateRequestsResult]:
    """Send identical requests, identical requests that wait for the decision, and two different requests per key."""
    token, bodies = prepare(deployment)

    async def send_all() -> dict[str, DuplicateRequestsResult]:
        fewer = max(1, rounds // 10)
        shared: dict[str, Any] = {"url": deployment.url, "token": token, "twins": twins}
        return {
            "one request": await send_simultaneously(**shared, bodies=bodies[:1], rounds=rounds, name="one"),
            "waiting for the decision": await send_simultaneously(
                **shared, bodies=bodies[:1], rounds=fewer, name="verdict", Prefer="wait=30"
            ),
            "two requests, one key": await send_simultaneously(**shared, bodies=bodies, rounds=fewer, name="two"),
        }

    return asyncio.run(send_all())


def orders_placed(deployment: Deployment) -> int:
    with real_market(deployment.database_url) as market:
        return sum(1 for _ in market.queries.iter_orders())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds",
        type=int,
        default=1_000,
        help="keys of the first part (default 1000); the other parts use a tenth of them",
    )
    parser.add_argument("--twins", type=int, default=50, help="simultaneous requests per key (default 50)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as name:
        directory = Path(name)
        with EmbeddedPostgres(directory) as postgres, EmbeddedRedis(directory) as redis:
            upgrade(postgres.url)
            with Deployment(directory / "deployment", postgres.url, redis.url, workers=2) as deployment:
                outcomes = run(deployment, rounds=chosen.rounds, twins=chosen.twins)
                placed, keys = orders_placed(deployment), sum(outcome.rounds for outcome in outcomes.values())
    for what, outcome in outcomes.items():
        print(f"{what:25} {outcome}")
        for sentence in outcome.torn[:3]:
            print(f"  {sentence}")
    print(f"{keys:,} keys, {placed:,} orders in the database")
    return 0 if placed == keys and all(outcome.is_clean for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
