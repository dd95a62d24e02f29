"""`ports.WebhookSender` with httpcore2, which follows no redirects, uses no proxy and streams the response."""

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpcore2
from attrs import define
from httpcore2 import AsyncNetworkBackend

from adapters.webhooks.network import CheckedNetwork, Resolve, SystemResolver
from scalecommerce_core.domain.web_address import UnsafeAddress, parse_target
from scalecommerce_core.domain.webhook import ANSWER_LENGTH, LONGEST_TIMEOUT, WebhookAnswer
from scalecommerce_core.ports import OutgoingWebhook, Tracing

logger = logging.getLogger(__name__)

MAX_CONCURRENT: Final = 200
USER_AGENT: Final = "ScaleCommerce-Webhooks/1"

NOT_CONNECTED: Final = "could not connect: no https server with a valid certificate was reached at a public address"
"""The one error of a message that reached no receiver. Another text for a closed, filtered or foreign port, for a name
that is not known or for a private address would let owners examine networks and ports through the engine."""
NOT_CONNECTED_HERE: Final = {
    "http": "could not connect: no http server was reached at this address of this machine",
    "https": "could not connect: no https server with a valid certificate was reached at this address of this machine",
}
"""The same for URLs of this machine, where development allows them, by scheme."""
REASONS: Final[dict[type[Exception], str]] = {
    httpcore2.ConnectTimeout: "no connection in time",
    httpcore2.ConnectError: "no connection",
    httpcore2.RemoteProtocolError: "the answer is not HTTP",
    httpcore2.LocalProtocolError: "the request cannot be sent",
    httpcore2.NetworkError: "the connection broke",
    httpcore2.TimeoutException: "no answer in time",
}


class HttpWebhookSender:
    """No message gets more than `timeout`. `resolve`, `network` and `ssl_context` replace the system's resolver,
    sockets and certificates.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        timeout: timedelta = LONGEST_TIMEOUT,
        resolve: Resolve | None = None,
        network: AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._allow_loopback = allow_loopback
        self._timeout = timeout
        self._resolve = resolve or SystemResolver()
        self._network = network or httpcore2.AnyIOBackend()
        self._ssl_context = ssl_context

    def send(self, messages: Sequence[OutgoingWebhook]) -> Sequence[WebhookAnswer]:
        return asyncio.run(self._send_all(messages)) if messages else []

    async def _send_all(self, messages: Sequence[OutgoingWebhook]) -> list[WebhookAnswer]:
        if self._ssl_context is None:
            # Loading the certificates is slow, and most processes send no webhooks.
            self._ssl_context = ssl.create_default_context()
        semaphore = asyncio.Semaphore(MAX_CONCURRENT)
        return list(
            await asyncio.gather(*(self._send_one(message, semaphore, self._ssl_context) for message in messages))
        )

    async def _send_one(
        self, message: OutgoingWebhook, semaphore: asyncio.Semaphore, ssl_context: ssl.SSLContext
    ) -> WebhookAnswer:
        async with semaphore:
            if self._tracing is None:
                return await self._attempt(message, ssl_context, {})
            parts = urlsplit(message.url)
            with self._tracing.outgoing_call("POST webhook", parts.hostname or "", parts.port) as call:
                answer = await self._attempt(message, ssl_context, call.headers)
                # What follows the colon may quote the receiver.
                reason = (answer.error or "the status is not 2xx").partition(":")[0]
                call.end(answer.status, "" if answer.is_success else reason)
                return answer

    async def _attempt(
        self, message: OutgoingWebhook, ssl_context: ssl.SSLContext, trace: Mapping[str, str]
    ) -> WebhookAnswer:
        started = time.monotonic()
        seconds = min(message.timeout, self._timeout).total_seconds()
        progress = _Progress()
        try:
            async with asyncio.timeout(seconds):
                response, body = await self._post(message, ssl_context, progress, trace)
            retry_after = _parse_retry_after(response.headers, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            if progress.is_connected:
                return WebhookAnswer(_elapsed(started), error=_describe_error(error, seconds))
            logger.info("webhook to %s: %s", _host(message.url), _describe_error(error, seconds))
            # The duration would reveal whether a port is closed or filtered.
            return WebhookAnswer(timedelta(0), error=self._not_connected(message.url))
        return WebhookAnswer(_elapsed(started), status=response.status, body=body, retry_after=retry_after)

    def _not_connected(self, url: str) -> str:
        try:
            target = parse_target(url, allow_loopback=self._allow_loopback)
        except UnsafeAddress:
            return NOT_CONNECTED
        return NOT_CONNECTED_HERE[target.scheme] if target.is_loopback else NOT_CONNECTED

    async def _post(
        self, message: OutgoingWebhook, ssl_context: ssl.SSLContext, progress: "_Progress", trace: Mapping[str, str]
    ) -> tuple[httpcore2.Response, bytes]:
        target = parse_target(message.url, allow_loopback=self._allow_loopback)
        network = CheckedNetwork(self._resolve, self._network, loopback=target.is_loopback)
        # One connection per message, since addresses are checked per message.
        async with httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context, max_connections=1, network_backend=network
        ) as pool:
            url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
            headers = {"Host": target.authority, "User-Agent": USER_AGENT, **trace, **message.headers}
            async with pool.stream(
                "POST",
                url,
                headers=list(headers.items()),
                content=message.body,
                extensions={"trace": progress.observe},
            ) as response:
                return response, await _read_body(response)


@define
class _Progress:
    """How far a message has got: whether it is connected, which includes TLS and the certificate."""

    is_connected: bool = False

    async def observe(self, event: str, _details: object) -> None:
        """Called by httpcore at each step."""
        if event == "http11.send_request_headers.started":
            self.is_connected = True


async def _read_body(response: httpcore2.Response) -> bytes:
    body = b""
    async for part in response.aiter_stream():
        body += part
        if len(body) >= ANSWER_LENGTH:
            break
    return body[:ANSWER_LENGTH]


def _host(url: str) -> str:
    """The host and port of a URL, for the log; paths may contain secrets."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _elapsed(started: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - started)


def _describe_error(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    if isinstance(error, UnsafeAddress):
        return f"refused: {error}"
    reason = next((text for kind, text in REASONS.items() if isinstance(error, kind)), type(error).__name__)
    return f"{reason}: {error}" if str(error) else reason


def _parse_retry_after(headers: Sequence[tuple[bytes, bytes]], now: datetime) -> timedelta | None:
    """Parse `Retry-After`, seconds or a date (RFC 9110, section 10.2.3); None if it is missing or malformed."""
    given = next((value for name, value in headers if name.lower() == b"retry-after"), b"").decode("latin-1").strip()
    if given.isascii() and given.isdecimal():
        return timedelta(seconds=min(int(given[:9]), 10**8))
    try:
        moment = parsedate_to_datetime(given)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now
