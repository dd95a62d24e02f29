from adapters.db.queries.search.ttl_cache import TtlCache

TTL = 30.0


class SettableTime:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_value_is_held_for_the_ttl() -> None:
    time = SettableTime()
    cache: TtlCache[int] = TtlCache(10, TTL, time)
    cache.put("a", 1)
    time.now += TTL - 1
    assert cache.get("a") == 1
    cache.put("b", 2)
    time.now += 2
    assert (cache.get("a"), cache.get("b")) == (None, 2)
    cache.put("a", 3)
    assert cache.get("a") == 3


def test_the_least_recently_used_value_is_evicted() -> None:
    cache: TtlCache[int] = TtlCache(2, TTL, SettableTime())
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
