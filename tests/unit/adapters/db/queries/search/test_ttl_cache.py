from adapters.db.queries.search.ttl_cache import COUNT_STALENESS_SECONDS, TtlCache


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_values_are_kept_for_a_moment() -> None:
    time = Time()
    kept: TtlCache[int] = TtlCache(10, time)
    kept.put("a", 1)
    time.now += COUNT_STALENESS_SECONDS - 1
    assert kept.get("a") == 1
    kept.put("b", 2)
    time.now += 2
    assert (kept.get("a"), kept.get("b")) == (None, None), "none for longer, those that came late for less"
    kept.put("a", 3)
    assert kept.get("a") == 3


def test_so_many_are_kept_at_most() -> None:
    kept: TtlCache[int] = TtlCache(2, Time())
    for number in range(4):
        kept.put(number, number)
    assert kept.get(3) == 3
    assert kept.get(0) is None
