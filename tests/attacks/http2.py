"""The few frames of HTTP/2 (RFC 9113) that an attack sends, with headers in HPACK (RFC 7541) without Huffman codes."""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9
END_STREAM: Final = 1
END_HEADERS: Final = 4
FRAME_SIZE: Final = 16_384
FIRST_DYNAMIC: Final = bytes([0x80 | 62])
"""Reference to the newest entry of the dynamic table, as one byte."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(stream: int, block: bytes, *, end_stream: bool) -> bytes:
    """A HEADERS frame, with CONTINUATION frames if the block is long."""
    parts = [block[start : start + FRAME_SIZE] for start in range(0, len(block), FRAME_SIZE)] or [b""]
    return b"".join(
        frame(
            CONTINUATION if number else HEADERS,
            (END_HEADERS if number == len(parts) - 1 else 0) | (END_STREAM if end_stream and not number else 0),
            stream,
            part,
        )
        for number, part in enumerate(parts)
    )


def header(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A literal header; with `indexed` it becomes the newest entry of the dynamic table."""
    return (b"\x40" if indexed else b"\x00") + _string(name) + _string(value)


def request_block(method: bytes, path: bytes, authority: bytes, more: Iterable[bytes] = ()) -> bytes:
    pseudo = ((b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", authority))
    return b"".join(header(name, value) for name, value in pseudo) + b"".join(more)


def read_frames(data: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    """Remove the complete frames from `data`, and yield (kind, flags, stream, payload) of each."""
    while len(data) >= 9:
        length = int.from_bytes(data[:3], "big")
        if len(data) < 9 + length:
            return
        kind, flags, stream = struct.unpack(">BBI", data[3:9])
        payload = bytes(data[9 : 9 + length])
        del data[: 9 + length]
        yield kind, flags, stream, payload


def _string(text: bytes) -> bytes:
    return _integer(len(text), 7) + text


def _integer(value: int, bits: int) -> bytes:
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([value])
    encoded, value = bytearray([limit]), value - limit
    while value >= 128:
        encoded.append(value % 128 | 128)
        value //= 128
    return bytes([*encoded, value])
