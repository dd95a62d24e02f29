"""Product views on their way to PostgreSQL: gathered in the process, then in Redis, written in bulk by a task.

    the process    every view since the last push, some `PUSH_SECONDS`; lost when the process is killed
    …:open         a hash of sums by product and moment, to which all processes push
    …:sealed       the same, renamed for the task, with an id in it. It stays until PostgreSQL has it, so a task that
                   dies anywhere has lost nothing, and the next one hands over the same batch under the same id

A push is one script, which is run whole or not at all, and a repeated one (no answer is no proof) changes nothing.
Repeated looks of a client are left out twice: by the process as far as it saw them, and by the script across all.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import uuid4

import msgspec
from redis import Redis, RedisError

from adapters.redis.reachability import describe_error
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import ViewBatch, time_slice

logger = logging.getLogger(__name__)

PUSH_SECONDS: Final = 0.5
PUSH_BATCH_SIZE: Final = 500
"""Views that are pushed at once: Redis does nothing else meanwhile, for some milliseconds."""
MAX_UNPUSHED: Final = 100_000
"""Views that wait in a process at most, some 20 MB; further ones are not counted."""
MAX_REMEMBERED: Final = 100_000
"""Looks that a process remembers at most, twice, to leave out repetitions without asking Redis."""
MAX_UNFLUSHED: Final = 100_000
"""Sums that wait in Redis for PostgreSQL, twice, at most; further views wait in their processes."""
DAY_SECONDS: Final = 86_400
MAX_PRODUCT_ID: Final = 2**63 - 1
"""The largest id that PostgreSQL gives."""
MAX_VIEWS: Final = 2**31 - 1
"""Of one product in five seconds."""

OPEN: Final = "scalecommerce:views:open"
SEALED: Final = "scalecommerce:views:sealed"
PUSHED: Final = "scalecommerce:views:pushed:"
SEEN: Final = "scalecommerce:views:looked:"

# KEYS: open, what this process pushed last. ARGV: number of the push, id for the batch if this push opens it, room,
# window in ms, prefix of looks, the views as JSON: [who looked at what, or "", when in ms, product and moment].
_PUSH: Final = """
if redis.call('GET', KEYS[2]) == ARGV[1] then return 1 end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) then return 0 end
local window = tonumber(ARGV[4])
for _, view in ipairs(cjson.decode(ARGV[6])) do
    local is_new = true
    if view[1] ~= '' then
        local key = ARGV[5] .. view[1]
        local last = tonumber(redis.call('GET', key))
        is_new = last == nil or math.abs(view[2] - last) >= window
        if is_new and (last == nil or view[2] > last) then
            redis.call('SET', key, string.format('%d', view[2]), 'PX', window)
        end
    end
    if is_new then redis.call('HINCRBY', KEYS[1], view[3], 1) end
end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSETNX', KEYS[1], 'id', ARGV[2]) end
redis.call('SET', KEYS[2], ARGV[1], 'EX', 86400)
return 1
"""
_SEAL: Final = """
if redis.call('EXISTS', KEYS[2]) == 0 and redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('RENAME', KEYS[1], KEYS[2])
    redis.call('HSETNX', KEYS[2], 'id', ARGV[1])
end
return redis.call('HGETALL', KEYS[2])
"""
_ACKNOWLEDGE: Final = "if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then redis.call('DEL', KEYS[1]) end"

PendingView = tuple[str, int, str]


class RedisViewCounter:
    """`ports.ViewCounter`; without Redis, views wait in the process until it is back, `WAITING` of them.

    Who looked is kept as a keyed hash together with the product, for one `window` and under another key each day.
    With no `window`, every view counts. `now` is in seconds since the epoch.
    """

    def __init__(self, redis: Redis, *, secret: bytes, window: timedelta, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._secret = secret
        self._window = window.total_seconds()
        self._now = now
        self._key = (-1, b"")
        self._push_script = redis.register_script(_PUSH)
        self._seal_script = redis.register_script(_SEAL)
        self._acknowledge_script = redis.register_script(_ACKNOWLEDGE)
        self._unpushed: list[tuple[str, float, ProductId]] = []
        self._uncounted = 0
        # Two generations, so that forgetting is one assignment: looks of this window, and of the one before.
        self._seen: dict[int, float] = {}
        self._seen_before: dict[int, float] = {}
        self._generation_began = 0.0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._pusher: threading.Thread | None = None
        self._push_lock = threading.Lock()
        self._process = ""
        self._pushes = 0
        self._pushing_batch: list[PendingView] = []
        self._is_stuck = False

    def record_view(self, product_id: ProductId, client: str = "") -> None:
        at = self._now()
        look, known = "", 0
        if client and self._window:
            # Python's own hash, salted anew in each process, is enough in here, and an eighth of the other's cost.
            known = hash((product_id, client))
            if self._is_repeated(known, at):
                return
            look = self._viewer_hash(product_id, client, at)
        with self._lock:
            if len(self._unpushed) >= MAX_UNPUSHED:
                self._uncounted += 1
                return
            if look:
                self._remember(known, at)
            self._unpushed.append((look, at, product_id))
            if self._pusher is None:
                # Started by the first view and not by the constructor: processes that fork afterwards have none yet.
                self._process = uuid4().hex
                self._pusher = threading.Thread(target=self._push_regularly, name="views", daemon=True)
                self._pusher.start()

    def next_batch(self) -> ViewBatch | None:
        try:
            answer = self._seal_script(keys=[OPEN, SEALED], args=[uuid4().hex])
        except RedisError as error:
            raise Unavailable(describe_error(error)) from error
        sums = dict(zip(answer[::2], answer[1::2], strict=True))
        if not sums:
            return None
        batch_id = sums.pop("id")
        read = [_parse_count(name, count) for name, count in sums.items()]
        if None in read:
            # Another release's, or somebody's. No later attempt could read them either, and all views would wait.
            logger.warning("%s entries that wait in Redis are no views, and are dropped", read.count(None))
        return ViewBatch(batch_id, dict(each for each in read if each is not None))

    def acknowledge(self, batch_id: str) -> None:
        try:
            self._acknowledge_script(keys=[SEALED], args=[batch_id])
        except RedisError as error:
            raise Unavailable(describe_error(error)) from error

    def push(self) -> None:
        """Hand what was gathered here to Redis, or keep it when Redis is away or has no room."""
        with self._push_lock:
            while self._pushing_batch or self._take_batch():
                if obstacle := self._push_batch():
                    if not self._is_stuck:
                        logger.warning("views wait in this process: %s", obstacle)
                    self._is_stuck = True
                    break
                self._pushing_batch = []
                self._is_stuck = False

    def close(self) -> None:
        """Push what is left; for an orderly end of the process."""
        self._stopping.set()
        if self._pusher is not None:
            self._pusher.join(timeout=5)
        self.push()

    # --- whose look

    def _viewer_hash(self, product_id: ProductId, client: str, at: float) -> str:
        day = int(at // DAY_SECONDS)
        known, key = self._key
        if known != day:
            key = blake2b(b"%d" % day, key=self._secret, digest_size=32).digest()
            self._key = day, key
        who = f"{product_id} {client}".encode(errors="replace")
        return blake2b(who, key=key, digest_size=8).hexdigest()

    def _is_repeated(self, known: int, at: float) -> bool:
        last = self._seen.get(known) or self._seen_before.get(known)
        return last is not None and abs(at - last) < self._window

    def _remember(self, known: int, at: float) -> None:
        if at - self._generation_began >= self._window or len(self._seen) >= MAX_REMEMBERED:
            self._seen_before, self._seen, self._generation_began = self._seen, {}, at
        self._seen[known] = at

    # --- pushing

    def _take_batch(self) -> bool:
        """The next portion; it stays the same until Redis has it, under one number."""
        with self._lock:
            taken, self._unpushed = self._unpushed[:PUSH_BATCH_SIZE], self._unpushed[PUSH_BATCH_SIZE:]
            uncounted, self._uncounted = self._uncounted, 0
        if uncounted:
            logger.warning("%s views were not counted: too many waited in this process", uncounted)
        if taken:
            self._pushes += 1
            self._pushing_batch = [
                (look, int(at * 1000), f"{product_id}:{time_slice(at)}") for look, at, product_id in taken
            ]
        return bool(taken)

    def _push_batch(self) -> str:
        """Push what is under way; say why that could not be done, if so."""
        try:
            has_room = self._push_script(
                keys=[OPEN, PUSHED + self._process],
                args=[
                    self._pushes,
                    f"{self._process}-{self._pushes}",
                    MAX_UNFLUSHED,
                    round(self._window * 1000),
                    SEEN,
                    msgspec.json.encode(self._pushing_batch),
                ],
            )
        except RedisError as error:
            return describe_error(error)
        return "" if has_room else "nobody takes those that are in Redis"

    def _push_regularly(self) -> None:
        while not self._stopping.wait(PUSH_SECONDS):
            self.push()


def _parse_count(name: str, count: str) -> tuple[tuple[ProductId, datetime], int] | None:
    """What a field of the hash says; None if it says nothing that could be written."""
    product_id, _, seconds = name.partition(":")
    try:
        number, views, at = int(product_id), int(count), datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return ((ProductId(number), at), views) if 0 < number <= MAX_PRODUCT_ID and 0 < views <= MAX_VIEWS else None
