"""Authentication of requests: whether a token still gives access, decided from memory while the change feed runs.

An access token is signed and valid for minutes. Access must end sooner when its session is revoked, so each process
knows the sessions that were revoked within the lifetime of an access token. ADR 0044 has the reasons.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from adapters.http.cache.invalidation import EventLoopListener
from adapters.http.execution.batcher import Batcher
from scalecommerce_core.domain.errors import TokenNotValid
from scalecommerce_core.domain.identifiers import SessionId
from scalecommerce_core.ports import AccessChange, CatalogChange
from scalecommerce_core.services.sessions import Identity, Sessions, session_over

HEARTBEAT_TIMEOUT: Final = 0.7
"""Seconds after a heartbeat of the feed in which memory decides. Without a newer heartbeat revocations may be missing,
so sessions are checked in the database."""
MAX_REVOKED: Final = 200_000
"""Revoked sessions in memory, about 30 MB. Beyond this number sessions are checked in the database until the oldest
of them need no longer be remembered."""


class RevokedSessions:
    """The sessions that were revoked within the lifetime of an access token. Belongs to the event loop."""

    def __init__(
        self, lifetime: float, *, limit: int = MAX_REVOKED, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`lifetime`: seconds for which a revocation is remembered; no token of the session is valid afterwards."""
        self._lifetime = lifetime
        self._limit = limit
        self._clock = clock
        self._revoked: set[SessionId] = set()
        self._expiries: deque[tuple[float, SessionId]] = deque()
        self._incomplete_until = float("-inf")
        self._heartbeat_deadline = float("-inf")
        self._was_read = False
        self.keep_alive: Callable[[], None] = lambda: None
        """Requests heartbeats from the feed."""

    def __contains__(self, session: SessionId) -> bool:
        return session in self._revoked

    def __len__(self) -> int:
        return len(self._revoked)

    def is_complete(self) -> bool:
        """Whether every session that was revoked more than `HEARTBEAT_TIMEOUT` ago is known; if not, requests a
        heartbeat.
        """
        self._was_read = True
        now = self._clock()
        if self._incomplete_until <= now < self._heartbeat_deadline:
            return True
        self.keep_alive()
        return False

    def add(self, sessions: Collection[SessionId]) -> None:
        now = self._clock()
        expiries = self._expiries
        while expiries and expiries[0][0] <= now:
            self._revoked.discard(expiries.popleft()[1])
        for session in sessions:
            if session not in self._revoked:
                self._revoked.add(session)
                expiries.append((now + self._lifetime, session))
        while len(expiries) > self._limit:
            self._incomplete_until, session = expiries.popleft()
            self._revoked.discard(session)

    def on_start(self) -> None:
        """The feed starts or restarts: memory does not decide before the next heartbeat."""
        self._heartbeat_deadline = float("-inf")

    def on_heartbeat(self, moment: float) -> None:
        self._heartbeat_deadline = moment + HEARTBEAT_TIMEOUT
        if self._was_read:
            self._was_read = False
            self.keep_alive()


class Authenticator:
    """Converts access tokens to identities.

    While the feed runs, no token costs a look-up. While it is interrupted or idle, each is checked in the database,
    concurrent ones with one statement; without the database, `Unavailable` is raised. Without a feed every token is
    checked there.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.revoked = RevokedSessions(sessions.revocation_lifetime.total_seconds())
        self._check: Batcher[Identity, Identity] = Batcher(self._check_batch, name="sessions")

    def __call__(self, token: str) -> Identity | Awaitable[Identity]:
        """The identity, or an awaitable of it if the database must be asked; raise `TokenNotValid`."""
        identity = self._read(token)
        return identity if self.revoked.is_complete() else self._check.submit(identity)

    def identify_from_memory(self, token: str) -> Identity | None:
        """The identity; None if the database must be asked; raise `TokenNotValid`."""
        identity = self._read(token)
        return identity if self.revoked.is_complete() else None

    def _read(self, token: str) -> Identity:
        identity = self._sessions.read(token)
        if identity.session_id in self.revoked:
            raise session_over()
        return identity

    def _check_batch(self, identities: Sequence[Identity]) -> list[Identity | TokenNotValid]:
        errors = self._sessions.refused(identities)
        return [error or identity for identity, error in zip(identities, errors, strict=True)]

    async def close(self) -> None:
        await self._check.drain()


class AccessListener:
    """`ports.ChangeListener` that keeps the revoked sessions up to date and passes catalog changes to `cache`.

    Calls arrive in other threads; the revoked sessions are changed on the event loop, in the same order.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sessions: Sessions,
        revoked: RevokedSessions,
        cache: EventLoopListener | None = None,
    ) -> None:
        self._loop = loop
        self._sessions = sessions
        self._revoked = revoked
        self._cache = cache

    def on_start(self, number: int) -> None:
        # The feed already listens: a session that is revoked after this read is reported.
        recent = self._sessions.recent_revocations()

        def restart() -> None:
            self._revoked.on_start()
            self._revoked.add(recent)

        self._call(restart)
        if self._cache is not None:
            self._cache.on_start(number)

    def on_access_change(self, change: AccessChange) -> None:
        self._call(lambda: self._revoked.add(change.sessions))

    def on_heartbeat(self, moment: float) -> None:
        self._call(lambda: self._revoked.on_heartbeat(moment))
        if self._cache is not None:
            self._cache.on_heartbeat(moment)

    def on_change(self, change: CatalogChange) -> None:
        if self._cache is not None:
            self._cache.on_change(change)

    def on_local_change(self, change: CatalogChange) -> None:
        if self._cache is not None:
            self._cache.on_local_change(change)

    def _call(self, callback: Callable[[], None]) -> None:
        # The loop may be closed already; then no request is authenticated.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)
