"""Which clients have no limit on their connections."""

import pytest

from adapters.http.framework.client_address import NO_PROXIES, TrustedProxies
from entrypoints.connection_limits import has_no_limit


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.7", "10.0.0.7"])
def test_this_machine_and_trusted_proxies_have_no_limit(address: str) -> None:
    assert has_no_limit(address, TrustedProxies.parse("10.0.0.0/8"))


@pytest.mark.parametrize("address", ["127.0.0.2", "::ffff:192.0.2.1", "2001:db8::1", "10.0.0.7", ""])
def test_others_have_one(address: str) -> None:
    assert not has_no_limit(address, NO_PROXIES)
