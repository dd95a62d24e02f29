"""Authentication of requests: whether a token still gives access, decided from memory while the change feed runs.

An access token is signed and valid for minutes. Access must end sooner when its session is revoked, so each process
knows the sessions that were revoked within the lifetime of an access token. ADR 0044 has the reasons.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from cachetools import LRUCache

from adapters.http.cache.invalidation import EventLoopListener
from adapters.http.execution.batcher import Batcher
from adapters.http.execution.time_limit import TimeLimit
from scalecommerce_core.domain.api_key import is_api_key
from scalecommerce_core.domain.errors import MarketError, TokenNotValid
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId, SessionId
from scalecommerce_core.ports import AccessChange, CatalogChange
from scalecommerce_core.queries import ApiKeyState
from scalecommerce_core.services.api_keys import ApiKeys
from scalecommerce_core.services.sessions import Identity, Sessions, session_ended

HEARTBEAT_TIMEOUT: Final = 0.7
"""Seconds after a heartbeat of the feed in which memory decides. Without a newer heartbeat revocations may be missing,
so sessions are checked in the database."""
MAX_REVOKED: Final = 200_000
"""Revoked sessions in memory, about 30 MB. Beyond this number sessions are checked in the database until the oldest
of them need no longer be remembered."""

MAX_CACHED_KEYS: Final = 10_000
"""API keys in memory, a few megabytes."""
USES_INTERVAL: Final = 30.0
"""Seconds between two writes of the times at which API keys were used last."""

logger = logging.getLogger(__name__)


class RevokedSessions:
    """The sessions that were revoked within the lifetime of an access token. Belongs to the event loop."""

    def __init__(
        self, lifetime: float, *, limit: int = MAX_REVOKED, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`lifetime`: seconds for which a revocation is remembered; no token of the session is valid afterwards."""
        self._lifetime = lifetime
        self._limit = limit
        self._clock = clock
        self.sessions: set[SessionId] = set()
        self._expiries: deque[tuple[float, SessionId]] = deque()
        self._incomplete_until = float("-inf")
        self._heartbeat_deadline = float("-inf")
        self._was_read = False
        self.keep_alive: Callable[[], None] = lambda: None
        """Requests heartbeats from the feed."""

    def __contains__(self, session: SessionId) -> bool:
        return session in self.sessions

    def __len__(self) -> int:
        return len(self.sessions)

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
            self.sessions.discard(expiries.popleft()[1])
        for session in sessions:
            if session not in self.sessions:
                self.sessions.add(session)
                expiries.append((now + self._lifetime, session))
        while len(expiries) > self._limit:
            self._incomplete_until, session = expiries.popleft()
            self.sessions.discard(session)

    def on_start(self) -> None:
        """The feed starts or restarts: memory does not decide before the next heartbeat."""
        self._heartbeat_deadline = float("-inf")

    def on_heartbeat(self, moment: float) -> None:
        self._heartbeat_deadline = moment + HEARTBEAT_TIMEOUT
        if self._was_read:
            self._was_read = False
            self.keep_alive()


class Authenticator:
    """Converts access tokens and API keys to identities.

    While the feed runs, no token and no known key costs a look-up. While it is interrupted or idle, each is checked in
    the database, concurrent ones with one statement; without the database, `Unavailable` is raised. Without a feed
    every token and key is checked there.
    """

    def __init__(self, sessions: Sessions, api_keys: ApiKeys, *, time_limit: TimeLimit | None = None) -> None:
        self._sessions = sessions
        self.revoked = RevokedSessions(sessions.revocation_lifetime.total_seconds())
        self._check: Batcher[Identity, Identity] = Batcher(self._check_batch, name="sessions", time_limit=time_limit)
        self.keys = KeyCache(api_keys, self.revoked, time_limit=time_limit)

    @property
    def batchers(self) -> Sequence[Batcher[Any, Any]]:
        """Those that read from the database."""
        return self._check, self.keys.batcher

    def __call__(self, token: str) -> Identity | Awaitable[Identity]:
        """The identity, or an awaitable of it if the database must be asked; raise `TokenNotValid`."""
        if is_api_key(token):
            return self.keys.identify_from_memory(token) or self.keys.load(token)
        identity = self._read(token)
        return identity if self.revoked.is_complete() else self._check.submit(identity)

    def identify_from_memory(self, token: str) -> Identity | None:
        """The identity; None if the database must be asked; raise `TokenNotValid`."""
        if is_api_key(token):
            return self.keys.identify_from_memory(token)
        identity = self._read(token)
        return identity if self.revoked.is_complete() else None

    def _read(self, token: str) -> Identity:
        identity = self._sessions.read(token)
        if identity.session_id in self.revoked.sessions:
            raise session_ended()
        return identity

    def _check_batch(self, identities: Sequence[Identity]) -> list[Identity | TokenNotValid]:
        errors = self._sessions.refused(identities)
        return [error or identity for identity, error in zip(identities, errors, strict=True)]

    def on_access_change(self, change: AccessChange) -> None:
        self.revoked.add(change.sessions)
        self.keys.discard(change.key_owners)

    def on_start(self, recent: Collection[SessionId]) -> None:
        """The feed starts or restarts; `recent` are the sessions that were revoked lately."""
        self.revoked.on_start()
        self.revoked.add(recent)
        self.keys.clear()

    async def close(self) -> None:
        await self._check.drain()
        await self.keys.close()


class KeyCache:
    """The API keys that were used lately, by their secrets. Belongs to the event loop.

    A key is read from the database at its first use, and again after a change of it or of its owner's rights. Uses are
    written from time to time, and not for each request.
    """

    def __init__(
        self,
        api_keys: ApiKeys,
        revoked: RevokedSessions,
        *,
        limit: int = MAX_CACHED_KEYS,
        time_limit: TimeLimit | None = None,
    ) -> None:
        self._api_keys = api_keys
        self._revoked = revoked
        self._states: LRUCache[str, ApiKeyState] = LRUCache(limit)
        self._changes = 0
        """Changes so far: a state that was read before a change and arrives after it is not kept."""
        self._load: Batcher[str, ApiKeyState | None] = Batcher(self._load_batch, name="api-keys", time_limit=time_limit)
        self._uses: dict[ApiKeyId, datetime] = {}
        self._flush: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._states)

    @property
    def batcher(self) -> Batcher[str, ApiKeyState | None]:
        return self._load

    def identify_from_memory(self, secret: str) -> Identity | None:
        """The identity; None if the key is not known or memory does not decide; raise `TokenNotValid`."""
        state = self._states.get(secret)
        if not self._revoked.is_complete() or state is None:
            return None
        return self._accept(state)

    async def load(self, secret: str) -> Identity:
        """The identity as the database has it; raise `TokenNotValid`."""
        changes = self._changes
        state = await self._load.submit(secret)
        if state is not None and changes == self._changes:
            self._states[secret] = state
        return self._accept(state)

    def discard(self, owners: Collection[AccountId]) -> None:
        """Forget the keys of these accounts, which have changed."""
        if owners:
            self._changes += 1
            for secret in [secret for secret, state in self._states.items() if state.account_id in owners]:
                del self._states[secret]

    def clear(self) -> None:
        self._changes += 1
        self._states.clear()

    async def close(self) -> None:
        """Write the uses that are not written yet."""
        if self._flush is not None:
            self._flush.cancel()
        await self._write_uses()
        await self._load.drain()

    def _accept(self, state: ApiKeyState | None) -> Identity:
        identity = self._api_keys.identity_of(state)
        if state is not None:
            self._uses[state.id] = datetime.now(UTC)
            if self._flush is None:
                self._flush = asyncio.get_running_loop().create_task(self._flush_later())
        return identity

    def _load_batch(self, secrets: Sequence[str]) -> list[ApiKeyState | None]:
        states = self._api_keys.find(secrets)
        return [states.get(secret) for secret in secrets]

    async def _flush_later(self) -> None:
        await asyncio.sleep(USES_INTERVAL)
        self._flush = None
        await self._write_uses()

    async def _write_uses(self) -> None:
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._api_keys.record_uses, uses)
        except MarketError as error:
            logger.warning("the last uses of %d API keys were not stored: %s", len(uses), error)


class AccessListener:
    """`ports.ChangeListener` that keeps the authenticator up to date and passes catalog changes to `cache`.

    Calls arrive in other threads; the authenticator is changed on the event loop, in the same order.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sessions: Sessions,
        authenticator: Authenticator,
        cache: EventLoopListener | None = None,
    ) -> None:
        self._loop = loop
        self._sessions = sessions
        self._authenticator = authenticator
        self._cache = cache

    def on_start(self, number: int) -> None:
        # The feed already listens: a session that is revoked after this read is reported.
        recent = self._sessions.recent_revocations()
        self._call(lambda: self._authenticator.on_start(recent))
        if self._cache is not None:
            self._cache.on_start(number)

    def on_access_change(self, change: AccessChange) -> None:
        self._call(lambda: self._authenticator.on_access_change(change))

    def on_events(self) -> None:
        """Neither access nor the catalog depends on the event log."""

    def on_heartbeat(self, moment: float) -> None:
        self._call(lambda: self._authenticator.revoked.on_heartbeat(moment))
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
