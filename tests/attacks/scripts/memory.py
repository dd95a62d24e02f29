"""Requests that are never finished, and make the engine keep memory for them."""

import time
from typing import ClassVar, Final

from tests.attacks import http2
from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.scripts.connections import HeldConnections
from tests.attacks.target import Target

GROWTH: Final = 200 * 1024 * 1024
"""Bytes by which the memory of the API may grow during an attack: its limits for bodies and connections, and copies."""
KEPT: Final = 80 * 1024 * 1024
"""Bytes of growth that may remain some seconds after the attack."""


class MemoryAttack(Attack):
    """An attack whose memory must be bounded and given back."""

    def check(self, report: AttackReport) -> list[str]:
        before = report.before.usage.rss
        sentences = []
        if (growth := report.during.usage.peak_rss - before) > GROWTH:
            sentences.append(f"memory grew by {growth / 2**20:.0f} MB")
        if (kept := report.after.usage.rss - before) > KEPT:
            sentences.append(f"{kept / 2**20:.0f} MB of memory were kept after the attack")
        return sentences


class StreamsWithoutBodies(MemoryAttack):
    """60 HTTP/2 streams of POSTs without bodies, each with one HPACK entry referenced 3,900 times."""

    name = "hpack_streams"
    has_latency_bars = True
    streams: ClassVar[int] = 60

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        authority = f"{target.host}:{target.port}".encode()
        bomb = [http2.header(b"x-filler", b"a" * 4_000, indexed=True), http2.FIRST_DYNAMIC * 3_900]
        block = http2.request_block(b"POST", b"/users/api/v1/token/", authority, bomb)
        sent = 0
        with target.connect(timeout=target.seconds + 1) as connection:
            try:
                start = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0)
                connection.sendall(start)
                for number in range(self.streams):
                    frames = http2.headers(2 * number + 1, block, end_stream=False)
                    connection.sendall(frames)
                    sent += len(frames)
                    figures.requests += 1
                figures.answers["accepted"] += 1
                for left in target.time_left():
                    time.sleep(min(0.2, left))
            except OSError as error:
                figures.answers[type(error).__name__] += 1
        figures.notes["bytes sent"] = float(sent)
        return figures


class LargeHalfBodies(HeldConnections, MemoryAttack):
    """300 connections that send 900 kB of a body of 1 MB and then nothing."""

    name = "half_bodies"
    has_latency_bars = True
    count = 300
    rate = 200.0
    request = (
        b"POST /users/api/v1/token/ HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000\r\n\r\n" + b" " * 900_000
    )


ATTACKS = (StreamsWithoutBodies(), LargeHalfBodies())
