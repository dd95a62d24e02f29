"""The cache of Accept headers."""

import tracemalloc

from adapters.http.framework.content_negotiation import accepts_json


def test_long_headers_are_parsed_but_not_cached() -> None:
    tracemalloc.start()
    try:
        for number in range(20):
            rest = f"text/{number}{'x' * 100_000}"
            assert accepts_json(f"application/json, {rest}")
            assert not accepts_json(rest)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 5 * 100_000
