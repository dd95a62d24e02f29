"""Counts product views: collected in each process, added up in Redis, written to PostgreSQL in batches by a task.

    the process    views since the last push, some `PUSH_SECONDS`; lost if the process is killed
    …:open         a hash of sums by product and time slice, to which all processes push
    …:sealed       the hash renamed for the task, with a batch id in it. It stays until PostgreSQL holds the batch: if a
                   task dies, the next one gets the same batch under the same id

A push is one Lua script, which Redis runs completely or not at all. A push that is repeated because its reply was lost
changes nothing. Repeated views of a client are skipped twice: by each process for the views it saw, and by the script
for the views of all processes.
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
"""Views per push. The script blocks Redis for some milliseconds."""
MAX_UNPUSHED: Final = 100_000
"""Views that a process holds, some 20 MB; it drops further ones."""
MAX_REMEMBERED: Final = 100_000
"""Viewers that a process stores in each of two generations, to skip repeated views without a request to Redis."""
MAX_UNFLUSHED: Final = 100_000
"""Sums in each of the two hashes in Redis; beyond it, further views wait in their processes."""
DAY_SECONDS: Final = 86_400
MAX_PRODUCT_ID: Final = 2**63 - 1
"""The largest `bigint`."""
MAX_VIEWS: Final = 2**31 - 1
"""Views of one product in one time slice; the largest `integer`."""

OPEN: Final = "scalecommerce:views:open"
SEALED: Final = "scalecommerce:views:sealed"
PUSHED: Final = "scalecommerce:views:pushed:"
SEEN: Final = "scalecommerce:views:looked:"

# KEYS: the open hash, the number of this process's last push. ARGV: number of this push, batch id (used if this push
# creates the hash), limit of sums, window in ms, key prefix of viewers, and the views as JSON:
# [viewer hash or "", time in ms, "product:slice"].
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
    """`ports.ViewCounter`. While Redis is away, up to `MAX_UNPUSHED` views wait in the process.

    Redis stores a viewer only as a keyed hash of client and product, for one `window`; the key of the hash changes
    daily. If `window` is zero, every view counts. `now` returns seconds since the epoch.
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
        # Two generations, of this window and the one before, so that expiry is one assignment.
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
        viewer, viewer_key = "", 0
        if client and self._window:
            # Within the process Python's hash is enough, at an eighth of the cost of blake2b.
            viewer_key = hash((product_id, client))
            if self._is_repeated(viewer_key, at):
                return
            viewer = self._viewer_hash(product_id, client, at)
        with self._lock:
            if len(self._unpushed) >= MAX_UNPUSHED:
                self._uncounted += 1
                return
            if viewer:
                self._remember(viewer_key, at)
            self._unpushed.append((viewer, at, product_id))
            if self._pusher is None:
                # Started here and not in the constructor: a thread does not survive a fork.
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
            # Another release or program wrote them. Retrying would block all later views.
            logger.warning("dropped %s malformed entries from the views in Redis", read.count(None))
        return ViewBatch(batch_id, dict(each for each in read if each is not None))

    def acknowledge(self, batch_id: str) -> None:
        try:
            self._acknowledge_script(keys=[SEALED], args=[batch_id])
        except RedisError as error:
            raise Unavailable(describe_error(error)) from error

    def push(self) -> None:
        """Push the collected views to Redis; keep them if Redis is away or its hash is full."""
        with self._push_lock:
            while self._pushing_batch or self._take_batch():
                if failure := self._push_batch():
                    if not self._is_stuck:
                        logger.warning("views wait in this process: %s", failure)
                    self._is_stuck = True
                    break
                self._pushing_batch = []
                self._is_stuck = False

    def close(self) -> None:
        """Push the remaining views and end the thread."""
        self._stopping.set()
        if self._pusher is not None:
            self._pusher.join(timeout=5)
        self.push()

    # --- viewers

    def _viewer_hash(self, product_id: ProductId, client: str, at: float) -> str:
        day = int(at // DAY_SECONDS)
        key_day, key = self._key
        if key_day != day:
            key = blake2b(b"%d" % day, key=self._secret, digest_size=32).digest()
            self._key = day, key
        viewer = f"{product_id} {client}".encode(errors="replace")
        return blake2b(viewer, key=key, digest_size=8).hexdigest()

    def _is_repeated(self, viewer_key: int, at: float) -> bool:
        last = self._seen.get(viewer_key) or self._seen_before.get(viewer_key)
        return last is not None and abs(at - last) < self._window

    def _remember(self, viewer_key: int, at: float) -> None:
        if at - self._generation_began >= self._window or len(self._seen) >= MAX_REMEMBERED:
            self._seen_before, self._seen, self._generation_began = self._seen, {}, at
        self._seen[viewer_key] = at

    # --- pushing

    def _take_batch(self) -> bool:
        """Take the next batch. It keeps its number until Redis has accepted it."""
        with self._lock:
            taken, self._unpushed = self._unpushed[:PUSH_BATCH_SIZE], self._unpushed[PUSH_BATCH_SIZE:]
            uncounted, self._uncounted = self._uncounted, 0
        if uncounted:
            logger.warning("%s views were not counted: this process held too many unpushed views", uncounted)
        if taken:
            self._pushes += 1
            self._pushing_batch = [
                (viewer, int(at * 1000), f"{product_id}:{time_slice(at)}") for viewer, at, product_id in taken
            ]
        return bool(taken)

    def _push_batch(self) -> str:
        """Push the current batch; return an error message, empty after success."""
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
        return "" if has_room else "the views in Redis have not been flushed"

    def _push_regularly(self) -> None:
        while not self._stopping.wait(PUSH_SECONDS):
            self.push()


def _parse_count(name: str, count: str) -> tuple[tuple[ProductId, datetime], int] | None:
    """Parse a field of the hash (`product:slice`, views); None if it is malformed or out of range."""
    product_id, _, seconds = name.partition(":")
    try:
        number, views, at = int(product_id), int(count), datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return ((ProductId(number), at), views) if 0 < number <= MAX_PRODUCT_ID and 0 < views <= MAX_VIEWS else None
