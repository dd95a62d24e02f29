"""Counts product views: collected in each process, added up in Redis, written to PostgreSQL in batches by a task.

    the process    views since the last push, some `PUSH_SECONDS`; lost if the process is killed
    …:open         a hash of sums by product and time slice, to which all processes push
    …:sealed       the hash renamed for the task, with a batch id in it. It stays until PostgreSQL holds the batch: if a
                   task dies, the next one gets the same batch under the same id

    …:origins:day  counts of a day's views by origin, as a count-min sketch of fixed size

A push is one Lua script, which Redis runs completely or not at all. A push that is repeated because its reply was lost
changes nothing. Repeated views of a client, and views beyond the caps of their origins, are skipped twice: by each
process for the views it saw, and by the script for the views of all processes.

The sketch (Cormode and Muthukrishnan 2005) has two cells for each count, and the smaller one is compared with the cap,
less the mean of all cells, which estimates what other counts have added to it. Its memory does not grow with the
number of origins and products. Who does not know the key of the hashes cannot choose counts that share cells.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import uuid4

import msgspec
from redis import Redis, RedisError

from adapters.redis.reachability import describe_error
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import NO_CAPS, ViewBatch, ViewCaps, ViewerTrust, time_slice

logger = logging.getLogger(__name__)

PUSH_SECONDS: Final = 0.5
PUSH_BATCH_SIZE: Final = 250
"""Views per push. The script blocks Redis for some milliseconds."""
MAX_UNPUSHED: Final = 100_000
"""Views that a process holds, some 20 MB; it drops further ones."""
MAX_REMEMBERED: Final = 100_000
"""Viewers that a process stores in each of two generations, to skip repeated views without a request to Redis."""
MAX_UNFLUSHED: Final = 100_000
"""Sums in each of the two hashes in Redis; beyond it, further views wait in their processes."""
MAX_COUNTED: Final = 200_000
"""Counts by origin that a process stores, some 20 MB; then it starts anew, and only the counts in Redis remain."""
CAP_LOG_SECONDS: Final = 3_600
"""Shortest time between two log lines about views beyond the caps."""
DAY_SECONDS: Final = 86_400
MAX_PRODUCT_ID: Final = 2**63 - 1
"""The largest `bigint`."""
MAX_VIEWS: Final = 2**31 - 1
"""Views of one product in one time slice; the largest `integer`."""

OPEN: Final = "scalecommerce:views:open"
SEALED: Final = "scalecommerce:views:sealed"
UNFLUSHED: Final = (OPEN, SEALED)
"""One of these keys exists while views wait to be written to PostgreSQL."""
PUSHED: Final = "scalecommerce:views:pushed:"
SEEN: Final = "scalecommerce:views:looked:"
ORIGINS: Final = "scalecommerce:views:origins:"
EXTRA: Final = ":extra"
"""Suffix of the sums of extra weights in the open hash. Earlier releases drop such entries."""

PRODUCT_CELLS: Final = 1 << 20
TOTAL_CELLS: Final = 1 << 18
"""Cells of 16 bits in each of the two rows of the sketch, for counts of one product and for totals: 5 MB a day."""
_CELLS: Final = 2 * (PRODUCT_CELLS + TOTAL_CELLS)
_MASK: Final = 2**64 - 1

# KEYS: the open hash, the number of this process's last push. ARGV: number of this push, batch id (used if this push
# creates the hash), limit of sums, window in ms, key prefixes of viewers and of sketches, and the views as JSON:
# [viewer hash or "", time in ms, "product:slice", extra weight, day, [cap, cell, cell, cap, …]].
# After the cells, a sketch holds the number of additions to each row.
_PUSH: Final = f"""
local days = {{}}
local function add(day, cells, number)
    local words, size = {{'BITFIELD', day, 'OVERFLOW', 'SAT', 'INCRBY', 'u32', '{16 * _CELLS}', 2 * number}}, 8
    for i = 1, #cells do
        if i % 3 ~= 1 then
            words[size + 1], words[size + 2], words[size + 3] = 'INCRBY', 'u16', '#' .. cells[i]
            words[size + 4], size = number, size + 4
        end
    end
    return redis.call(unpack(words))
end
local function acquire(view)
    local day, cells = ARGV[6] .. view[5], view[6]
    if #cells == 0 then return true end
    local counts = add(day, cells, 1)
    days[day] = true
    for i = 1, #cells, 3 do
        local row = cells[i + 1] < {2 * PRODUCT_CELLS} and {PRODUCT_CELLS} or {TOTAL_CELLS}
        local at = (i - 1) / 3 * 2 + 2
        if math.min(counts[at], counts[at + 1]) - math.floor(counts[1] / row) > cells[i] then
            add(day, cells, -1)
            return false
        end
    end
    return true
end
if redis.call('GET', KEYS[2]) == ARGV[1] then return 1 end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) then return 0 end
local window = tonumber(ARGV[4])
for _, view in ipairs(cjson.decode(ARGV[7])) do
    local is_new = true
    if view[1] ~= '' then
        local key = ARGV[5] .. view[1]
        local last = tonumber(redis.call('GET', key))
        is_new = (last == nil or math.abs(view[2] - last) >= window) and acquire(view)
        if is_new and (last == nil or view[2] > last) then
            redis.call('SET', key, string.format('%d', view[2]), 'PX', window)
        end
    end
    if is_new then
        redis.call('HINCRBY', KEYS[1], view[3], 1)
        if view[4] > 0 then redis.call('HINCRBY', KEYS[1], view[3] .. '{EXTRA}', view[4]) end
    end
end
for day, _ in pairs(days) do redis.call('EXPIRE', day, {DAY_SECONDS + 7_200}) end
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

PendingView = tuple[str, int, str, int, int, Sequence[int]]


class RedisViewCounter:
    """`ports.ViewCounter`. While Redis is away, up to `MAX_UNPUSHED` views wait in the process.

    Redis stores a viewer only as a keyed hash of client and product, for one `window`; the key of the hash changes
    daily. Origins are stored as sums of a sketch only. If `window` is zero, every view counts. `now` returns seconds
    since the epoch.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        secret: bytes,
        window: timedelta,
        caps: ViewCaps = NO_CAPS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._secret = secret
        self._window = window.total_seconds()
        self._caps = tuple((cap.of_product, cap.in_total) for cap in caps.per_origin())
        self._now = now
        self._key = (-1, b"")
        self._push_script = redis.register_script(_PUSH)
        self._seal_script = redis.register_script(_SEAL)
        self._acknowledge_script = redis.register_script(_ACKNOWLEDGE)
        self._unpushed: list[tuple[str, float, ProductId, Sequence[str], int]] = []
        self._uncounted = 0
        self._capped = 0
        self._capped_logged_at = 0.0
        self._by_origin: dict[int, int] = {}
        self._by_origin_day = -1
        self._origin_hashes: dict[str, int] = {}
        self._origin_hashes_day = -1
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

    def record_view(
        self,
        product_id: ProductId,
        client: str = "",
        *,
        origins: Sequence[str] = (),
        trust: ViewerTrust = ViewerTrust.UNKNOWN,
    ) -> None:
        at = self._now()
        viewer, viewer_key = "", 0
        counts: Mapping[int, int] = {}
        if not client or not self._window:
            origins = ()
        else:
            # Within the process Python's hash is enough, at an eighth of the cost of blake2b.
            viewer_key = hash((product_id, client))
            last = self._seen.get(viewer_key) or self._seen_before.get(viewer_key)
            if last is not None and abs(at - last) < self._window:
                return
            found = self._count_origins(product_id, origins, at)
            if found is None:
                self._capped += 1
                return
            viewer, counts = self._viewer_hash(product_id, client, at), found
        with self._lock:
            if len(self._unpushed) >= MAX_UNPUSHED:
                self._uncounted += 1
                return
            if viewer:
                self._remember(viewer_key, at)
            self._by_origin.update(counts)
            self._unpushed.append((viewer, at, product_id, origins, trust.value - 1))
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
        extras = {name.removesuffix(EXTRA): sums.pop(name) for name in list(sums) if name.endswith(EXTRA)}
        counts, weights = _parse_counts(sums), _parse_counts(extras)
        if malformed := len(sums) + len(extras) - len(counts) - len(weights):
            # Another release or program wrote them. Retrying would block all later views.
            logger.warning("dropped %s malformed entries from the views in Redis", malformed)
        return ViewBatch(batch_id, counts, {key: weight for key, weight in weights.items() if key in counts})

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
        viewer = f"{product_id} {client}".encode(errors="replace")
        return blake2b(viewer, key=self._key_of_day(int(at // DAY_SECONDS)), digest_size=8).hexdigest()

    def _key_of_day(self, day: int) -> bytes:
        key_day, key = self._key
        if key_day != day:
            key = blake2b(b"%d" % day, key=self._secret, digest_size=32).digest()
            self._key = day, key
        return key

    def _remember(self, viewer_key: int, at: float) -> None:
        if at - self._generation_began >= self._window or len(self._seen) >= MAX_REMEMBERED:
            self._seen_before, self._seen, self._generation_began = self._seen, {}, at
        self._seen[viewer_key] = at

    # --- origins

    def _count_origins(self, product_id: ProductId, origins: Sequence[str], at: float) -> Mapping[int, int] | None:
        """The counts of this process to which a view adds, with this view; None if one of them has reached its cap."""
        day = int(at // DAY_SECONDS)
        if day != self._by_origin_day or len(self._by_origin) >= MAX_COUNTED:
            self._by_origin, self._by_origin_day = {}, day
        known, counts = self._by_origin, dict[int, int]()
        for (of_product, in_total), origin in zip(self._caps, origins, strict=False):
            if of_product:
                key = hash((product_id, origin))
                counts[key] = known.get(key, 0) + 1
                if counts[key] > of_product:
                    return None
            if in_total:
                key = hash(origin)
                counts[key] = known.get(key, 0) + 1
                if counts[key] > in_total:
                    return None
        return counts

    def _capped_cells(self, product_id: ProductId, origins: Sequence[str], day: int) -> Sequence[int]:
        """For each cap of a view: the cap, and the cells of its count in the two rows of the sketch."""
        cells: list[int] = []
        for (of_product, in_total), origin in zip(self._caps, origins, strict=False):
            hashed = self._origin_hash(origin, day)
            if of_product:
                mixed = _mix(hashed ^ product_id * 0x9E3779B97F4A7C15)
                row = mixed % PRODUCT_CELLS, mixed // PRODUCT_CELLS % PRODUCT_CELLS + PRODUCT_CELLS
                cells += (of_product, *row)
            if in_total:
                first = 2 * PRODUCT_CELLS
                row = first + hashed % TOTAL_CELLS, first + TOTAL_CELLS + hashed // TOTAL_CELLS % TOTAL_CELLS
                cells += (in_total, *row)
        return cells

    def _origin_hash(self, origin: str, day: int) -> int:
        if day != self._origin_hashes_day or len(self._origin_hashes) >= MAX_REMEMBERED:
            self._origin_hashes, self._origin_hashes_day = {}, day
        found = self._origin_hashes.get(origin)
        if found is None:
            digest = blake2b(
                origin.encode(errors="replace"), key=self._key_of_day(day), digest_size=8, person=b"origin"
            )
            found = self._origin_hashes[origin] = int.from_bytes(digest.digest())
        return found

    # --- pushing

    def _take_batch(self) -> bool:
        """Take the next batch. It keeps its number until Redis has accepted it."""
        with self._lock:
            taken, self._unpushed = self._unpushed[:PUSH_BATCH_SIZE], self._unpushed[PUSH_BATCH_SIZE:]
            uncounted, self._uncounted = self._uncounted, 0
            capped = self._take_capped()
        if uncounted:
            logger.warning("%s views were not counted: this process held too many unpushed views", uncounted)
        if capped:
            logger.warning(
                "%s views were not counted: their addresses or networks reached the daily caps of views. If these are"
                " addresses of your proxies, name them in TRUSTED_PROXIES.",
                capped,
            )
        if taken:
            self._pushes += 1
            self._pushing_batch = [
                (
                    viewer,
                    int(at * 1000),
                    f"{product_id}:{time_slice(at)}",
                    extra_weight,
                    (day := int(at // DAY_SECONDS)),
                    self._capped_cells(product_id, origins, day),
                )
                for viewer, at, product_id, origins, extra_weight in taken
            ]
        return bool(taken)

    def _take_capped(self) -> int:
        """The number of views beyond the caps since the last log line; 0 if that was written recently."""
        at = self._now()
        if not self._capped or at - self._capped_logged_at < CAP_LOG_SECONDS:
            return 0
        capped, self._capped, self._capped_logged_at = self._capped, 0, at
        return capped

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
                    ORIGINS,
                    msgspec.json.encode(self._pushing_batch),
                ],
            )
        except RedisError as error:
            return describe_error(error)
        return "" if has_room else "the views in Redis have not been flushed"

    def _push_regularly(self) -> None:
        while not self._stopping.wait(PUSH_SECONDS):
            self.push()


def _mix(number: int) -> int:
    """64 bits, each of which depends on all lower bits of `number` (the finalizer of SplitMix64)."""
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _MASK
    return number ^ number >> 31


def _parse_counts(sums: Mapping[str, str]) -> dict[tuple[ProductId, datetime], int]:
    """Parse fields of the hash; malformed ones are left out."""
    return dict(each for name, count in sums.items() if (each := _parse_count(name, count)) is not None)


def _parse_count(name: str, count: str) -> tuple[tuple[ProductId, datetime], int] | None:
    """Parse a field of the hash (`product:slice`, views); None if it is malformed or out of range."""
    product_id, _, seconds = name.partition(":")
    try:
        number, views, at = int(product_id), int(count), datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return ((ProductId(number), at), views) if 0 < number <= MAX_PRODUCT_ID and 0 < views <= MAX_VIEWS else None
