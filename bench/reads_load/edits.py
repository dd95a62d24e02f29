"""Edits of products while reads are measured: they invalidate cached lists, facets and searches that they concern."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from attrs import define

from bench.orders_load.engine import MeasuredEngine

EDITS_PER_SECOND: Final = 4
_SECONDS: Final = 15.0


@define
class Edits:
    """How many edits were answered by 200, and how many were not."""

    done: int = 0
    failed: int = 0


@contextmanager
def editing(engine: MeasuredEngine, token: str, products: Sequence[int]) -> Iterator[Edits]:
    """Change the price of one product after the other, `EDITS_PER_SECOND` times a second, until the block ends.

    `token` is an access token of the seller of these products.
    """
    edits, over = Edits(), threading.Event()

    def edit() -> None:
        connection = http.client.HTTPConnection(engine.host, engine.port, timeout=_SECONDS)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        planned, number = time.monotonic(), 0
        while not over.wait(max(0.0, planned - time.monotonic())):
            product = products[number % len(products)]
            body = json.dumps({"price": f"{5 + number % 90}.{number % 100:02}"})
            try:
                connection.request("PATCH", f"/products/api/v1/{product}/", body, headers)
                response = connection.getresponse()
                response.read()
                is_done = response.status == HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                connection.close()
                is_done = False
            edits.done += is_done
            edits.failed += not is_done
            planned, number = planned + 1 / EDITS_PER_SECOND, number + 1
        connection.close()

    thread = threading.Thread(target=edit, name="edits")
    thread.start()
    try:
        yield edits
    finally:
        over.set()
        thread.join()
