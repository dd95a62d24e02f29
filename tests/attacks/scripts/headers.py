"""Headers, paths and queries that cost the engine much more to read than the attacker to send."""

import time
from http.client import HTTPException
from itertools import cycle
from typing import ClassVar, Final

from tests.attacks import http2
from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Target

REPEATS: Final = 3_900
ENTRY: Final = 4_000
"""Bytes of a header value, which with its name fits the dynamic table of 4 KiB."""
PAUSE: Final = 0.02
SIZES: Final = (390_000, 30_000, 4_000)
"""Bytes: what a server with large buffers accepts, and what the engine's own limits allow."""
MAX_URI: Final = 64_000
"""Bytes of a target that HTTP servers accept."""


class _RepeatedHeader(Attack):
    """One HTTP/2 request of 8 kB whose headers are one entry of HPACK's table, referenced 3,900 times."""

    has_latency_bars = True
    header: ClassVar[tuple[bytes, bytes]]

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        path = f"/products/api/v1/{target.products[0]}/".encode() if target.products else b"/products/api/v1/"
        authority = f"{target.host}:{target.port}".encode()
        block = http2.request_block(
            b"GET", path, authority, [http2.header(*self.header, indexed=True), http2.FIRST_DYNAMIC * REPEATS]
        )
        request = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + http2.headers(1, block, end_stream=True)
        figures.notes["bytes per request"] = float(len(request))
        slowest = 0.0
        for left in target.time_left():
            figures.requests += 1
            begun = time.monotonic()
            figures.answers[self._exchange(target, request, left)] += 1
            slowest = max(slowest, time.monotonic() - begun)
            time.sleep(min(PAUSE, left))
        figures.notes["slowest answer, s"] = slowest
        return figures

    def _exchange(self, target: Target, request: bytes, seconds: float) -> str:
        received = bytearray()
        try:
            with target.connect(timeout=max(seconds, 1.0)) as connection:
                connection.sendall(request)
                while data := connection.recv(65536):
                    received += data
                    if received.startswith(b"HTTP/1.1"):
                        return received[9:12].decode()
                    for kind, _, stream, payload in http2.read_frames(received):
                        if kind == http2.GOAWAY:
                            return "GOAWAY"
                        if kind == http2.RST_STREAM:
                            return "RST_STREAM"
                        if kind == http2.HEADERS and stream == 1:
                            return f"h2 answer {payload[:1].hex()}"
        except TimeoutError:
            return "no answer"
        except OSError as error:
            return type(error).__name__
        return "closed"

    def check(self, report: AttackReport) -> list[str]:
        return [] if not report.figures.answers["no answer"] else ["requests of the attacker were not answered"]


class RepeatedAccept(_RepeatedHeader):
    """3,900 times the same long Accept header in one HTTP/2 request of 8 kB."""

    name = "hpack_accept"
    header = (b"accept", b"a," * (ENTRY // 2))


class RepeatedIfNoneMatch(_RepeatedHeader):
    """3,900 times the same long If-None-Match header in one HTTP/2 request of 8 kB."""

    name = "hpack_if_none_match"
    header = (b"if-none-match", b'"a",' * (ENTRY // 4))


class LongHeaders(Attack):
    """Long headers, paths and queries over HTTP/1.1, in turns."""

    name = "long_headers"
    has_latency_bars = True

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        product = f"/products/api/v1/{target.products[0]}/" if target.products else "/products/api/v1/"
        requests = [request for size in SIZES for request in _long_requests(product, size)]
        slowest = 0.0
        with target.session() as session:
            for (path, headers), left in zip(cycle(requests), target.time_left(), strict=False):
                figures.requests += 1
                begun = time.monotonic()
                try:
                    figures.answers[str(session.request("GET", path, **headers).status)] += 1
                except (OSError, HTTPException) as error:
                    figures.answers[type(error).__name__] += 1
                slowest = max(slowest, time.monotonic() - begun)
                time.sleep(min(PAUSE, left))
        figures.notes["slowest answer, s"] = slowest
        return figures


def _long_requests(product: str, size: int) -> list[tuple[str, dict[str, str]]]:
    """Paths and headers, each with one part of `size` bytes."""

    def fill(unit: str, limit: int = size) -> str:
        return unit * (min(size, limit) // len(unit))

    return [
        (product, {"Accept": fill("a,")}),
        ("/products/api/v1/", {"Accept": fill("a;q=0,")}),
        (product, {"If-None-Match": fill('"a",')}),
        (product, {"Cookie": fill("a=b;")}),
        (product, {"X_Forwarded_For": fill("1.1.1.1,")}),
        (product, {"Forwarded": fill("for=1.1.1.1,")}),
        ("/orders/api/v1/", {"Prefer": fill("wait=1,")}),
        ("/orders/api/v1/", {"Authorization": "Bearer " + fill("e30.")}),
        ("/products/api/v1/?" + fill("a=b&", MAX_URI), {}),
        ("/products/api/v1/?search=" + fill("ab+", MAX_URI), {}),
        ("/products/api/v1/" + fill("a/", MAX_URI), {}),
        (product, {f"X-{number}": fill("a")[: size // 90] for number in range(90)}),
    ]


ATTACKS = (RepeatedAccept(), RepeatedIfNoneMatch(), LongHeaders())
