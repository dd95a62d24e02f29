"""`/healthz` and `/readyz`, for load balancers and people."""

from typing import Any, Final, Literal

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.operation import Call, Operation, ResponseSpec, json_response

TAG: Final = "Operations"
NO_STORE: Final = {"Cache-Control": "no-store"}


class Health(msgspec.Struct):
    status: Literal["ok"]


class Ready(msgspec.Struct):
    """`degraded`: Redis is away or refuses its password; orders are taken in all the same.

    The age is that of the oldest undecided order.
    """

    status: Literal["ok", "degraded"]
    postgresql: Literal["ok"]
    redis: Literal["ok", "away", "wrong_password"]
    oldest_undecided_seconds: float | None


def operations(dependencies: Dependencies) -> list[Operation[Any, Any]]:
    async def healthz(_call: Call[None, None]) -> Response:
        return json_response(Health("ok"), headers=NO_STORE)

    async def readyz(_call: Call[None, None]) -> Response:
        seen = await dependencies.run_in_thread(dependencies.check_readiness)
        ready = Ready(
            status="ok" if seen.redis == "ok" else "degraded",
            postgresql="ok",
            redis=seen.redis,
            oldest_undecided_seconds=seen.oldest_undecided_seconds,
        )
        return json_response(ready, headers=NO_STORE)

    return [
        Operation(
            method="GET",
            path="/healthz",
            name="isAlive",
            summary="The process answers",
            handler=healthz,
            responses={200: ResponseSpec(Health, "It does.")},
            tag=TAG,
        ),
        Operation(
            method="GET",
            path="/readyz",
            name="isReady",
            summary="PostgreSQL answers and has the tables of this release; else 503",
            description=(
                "The detail of a 503 says what to do: run `scalecommerce migrate`, upgrade the code of this process,"
                " or correct the address or password in DATABASE_URL."
            ),
            handler=readyz,
            responses={200: ResponseSpec(Ready, "It does; Redis may be away.")},
            tag=TAG,
        ),
    ]
