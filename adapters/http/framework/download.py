"""Responses that are sent in chunks, as files to save."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CHUNK_BYTES: Final = 65_536
"""Downloads are sent in chunks of about this size; each is read in a thread."""


class DownloadResponse(Response):
    """A document that is sent in chunks, as a file to save.

    Unlike Starlette's `StreamingResponse` it does not read from the request while it sends.
    """

    def __init__(self, chunks: AsyncIterator[bytes], filename: str, media_type: str = "application/json") -> None:
        headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
        super().__init__(headers=headers, media_type=media_type)
        self._chunks = chunks
        del self.headers["content-length"]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def next_chunk(parts: Iterator[str]) -> bytes:
    """The next parts in UTF-8, about `CHUNK_BYTES` long; empty at the end."""
    chunk, size = [], 0
    for part in parts:
        chunk.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            break
    return "".join(chunk).encode()
