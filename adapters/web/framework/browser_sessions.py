"""The sessions of browsers in this process: an access token of the API by cookie."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from attrs import frozen
from cachetools import LRUCache
from starlette.concurrency import run_in_threadpool

from scalecommerce_core.domain.errors import TokenNotValid
from scalecommerce_core.services.sessions import BrowserAccess, Identity, Sessions

MAX_SESSIONS: Final = 10_000
"""Sessions in memory, a few megabytes. Others are read from the database at their next request."""
MARGIN: Final = timedelta(seconds=30)
"""A token that expires sooner is renewed, so that it stays valid while a request is handled."""
COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{1,256}\.[A-Za-z0-9_-]{1,256}")
"""The form of a cookie that is looked up: the name and the secret of a session."""

T = TypeVar("T")


@frozen
class BrowserSession:
    """The session of one request: its cookie and the access that it gives."""

    cookie: str
    access: BrowserAccess

    @property
    def identity(self) -> Identity:
        return self.access.identity


class BrowserSessions:
    """Finds the session of a cookie. Belongs to the event loop.

    The access token that is found may belong to a session that was revoked a moment ago: the API refuses it, and the
    caller calls `forget`.
    """

    def __init__(self, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._known: LRUCache[str, BrowserAccess] = LRUCache(MAX_SESSIONS)
        self._loading: dict[str, asyncio.Future[BrowserAccess]] = {}

    async def find(self, cookie: str | None) -> BrowserSession | None:
        """The session of this cookie; None if there is none or it has ended."""
        if not cookie or not COOKIE.fullmatch(cookie):
            return None
        access = self._known.get(cookie)
        if access is None or access.expires_at - MARGIN <= self._clock():
            try:
                access = await self._load(cookie)
            except TokenNotValid:
                self._known.pop(cookie, None)
                return None
            self._known[cookie] = access
        return BrowserSession(cookie, access)

    async def start(self, access_token: str) -> str:
        """Make the session of this access token a browser session; return the value of its cookie."""
        return await run_in_threadpool(lambda: self._sessions.bind_cookie(self._sessions.read(access_token)))

    def forget(self, cookie: str) -> None:
        """Read the session again at its next request."""
        self._known.pop(cookie, None)

    async def _load(self, cookie: str) -> BrowserAccess:
        """Continue the session; requests of one browser at the same time share one call."""
        if cookie not in self._loading:
            call: Awaitable[BrowserAccess] = run_in_threadpool(self._sessions.continue_by_cookie, cookie)
            task = asyncio.ensure_future(call)
            self._loading[cookie] = task
            task.add_done_callback(lambda _: self._loading.pop(cookie, None))
        # A request that is cancelled must not cancel the others.
        return await asyncio.shield(self._loading[cookie])
