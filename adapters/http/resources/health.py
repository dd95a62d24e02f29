"""`/healthz` and `/readyz`: health checks."""

from typing import Final, Literal

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response

TAG: Final = "Operations"
NO_STORE: Final = {"Cache-Control": "no-store"}


class Health(msgspec.Struct):
    status: Literal["ok"]


class Ready(msgspec.Struct):
    """`degraded` means that Redis is unreachable or rejects the password, while orders are accepted all the same, or
    that new orders are refused because too many are undecided (`accepts_orders` is false).

    `oldest_undecided_seconds` is the age of the oldest order without a decision, or null.
    """

    status: Literal["ok", "degraded"]
    postgresql: Literal["ok"]
    redis: Literal["ok", "away", "wrong_password"]
    oldest_undecided_seconds: float | None
    accepts_orders: bool


class HealthResource:
    """Liveness and readiness."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies

    @OperationSpec(
        method="GET",
        path="/healthz",
        name="isAlive",
        summary="Check that the process responds",
        responses={200: ResponseSpec(Health, "The process responds.")},
        tag=TAG,
    )
    async def is_alive(self, _call: Call[None, None]) -> Response:
        return json_response(Health("ok"), headers=NO_STORE)

    @OperationSpec(
        method="GET",
        path="/readyz",
        name="isReady",
        summary="Check that PostgreSQL is reachable and has the schema of this release, and that commands end; 503"
        " otherwise",
        description="The detail of a 503 names the remedy: run `scalecommerce migrate`, upgrade the code,"
        " or correct the address or password in DATABASE_URL. It is also a 503 while orders or other commands of this"
        " process have been running for longer than their deadline.",
        responses={200: ResponseSpec(Ready, "The process can serve requests; Redis may be unreachable.")},
        tag=TAG,
    )
    async def is_ready(self, _call: Call[None, None]) -> Response:
        readiness = await self._dependencies.readiness.run()
        ready = Ready(
            status="ok" if readiness.redis == "ok" and readiness.accepts_orders else "degraded",
            postgresql="ok",
            redis=readiness.redis,
            oldest_undecided_seconds=readiness.oldest_undecided_seconds,
            accepts_orders=readiness.accepts_orders,
        )
        return json_response(ready, headers=NO_STORE)
