"""The contract of `adapters.http.cache.shared_cache.SharedCache`, and an implementation in memory."""

from collections.abc import Callable, Mapping, Sequence

from adapters.http.cache.shared_cache import SharedCache

SharedCaches = Callable[[], SharedCache]
"""Returns the cache of one more process; all of them share their entries."""


class MemorySharedCache:
    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        return [self.entries.get(key) for key in keys]

    def put(self, entries: Mapping[str, bytes]) -> None:
        self.entries.update(entries)


class SharedCacheContract:
    """Subclasses provide the fixture `caches`."""

    def test_get_returns_one_value_per_key_in_the_order_of_the_keys(self, caches: SharedCaches) -> None:
        cache = caches()
        cache.put({"product:1": b"tea", "product:2": b"pot"})
        assert list(cache.get(["product:2", "product:3", "product:1", "product:2"])) == [b"pot", None, b"tea", b"pot"]

    def test_processes_share_their_entries(self, caches: SharedCaches) -> None:
        first, second = caches(), caches()
        first.put({"product:1": b"tea"})
        assert list(second.get(["product:1"])) == [b"tea"]

    def test_a_later_value_replaces_an_earlier_one(self, caches: SharedCaches) -> None:
        cache = caches()
        cache.put({"product:1": b"tea"})
        cache.put({"product:1": b"pot"})
        assert list(cache.get(["product:1"])) == [b"pot"]

    def test_any_bytes_are_a_value(self, caches: SharedCaches) -> None:
        cache = caches()
        values = {"list:empty": b"", "list:zeros": bytes(100_000), "list:all": bytes(range(256))}
        cache.put(values)
        assert list(cache.get(list(values))) == list(values.values())
