"""Which address is the client's behind trusted proxies, and which headers count."""

from typing import Any

import pytest

from adapters.http.framework.client_address import (
    MAX_HOPS,
    ForwardedRequests,
    ProxyHeaders,
    TrustedProxies,
    client_keys,
)
from scalecommerce_core.domain.client_network import network_key

NETWORK = "10.0.0.0/8, 192.0.2.7, 2001:db8:1::/48"


def applied(
    trusted: str,
    *headers: tuple[str, str],
    peer: str | None = "10.0.0.1",
    read: ProxyHeaders = ProxyHeaders.X_FORWARDED,
    with_host: bool = True,
) -> tuple[str, str, list[bytes]]:
    """The client's address, the scheme and the Host headers after the headers of the proxies are read."""
    scope: dict[str, Any] = {
        "client": None if peer is None else (peer, "5000"),
        "scheme": "http",
        "headers": [(b"host", b"first"), *((name.encode(), value.encode("latin-1")) for name, value in headers)],
    }
    ForwardedRequests(TrustedProxies.parse(trusted), read, with_host=with_host).apply(scope)
    client = scope["client"]
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return "" if client is None else client[0], scope["scheme"], hosts


def x_for(*values: str) -> list[tuple[str, str]]:
    return [("x-forwarded-for", value) for value in values]


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["203.0.113.5"], "203.0.113.5"),
        (["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
        (["198.51.100.1", "203.0.113.5"], "203.0.113.5"),
        (["198.51.100.1, 203.0.113.5, 10.9.9.9"], "203.0.113.5"),
        (["198.51.100.1, 203.0.113.5", "192.0.2.7,10.9.9.9"], "203.0.113.5"),
        (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (["203.0.113.5:4711"], "203.0.113.5"),
        (["2001:db8:5::1"], "2001:db8:5::1"),
        (["[2001:DB8:5::1]:80, 2001:db8:1::9"], "2001:db8:5::1"),
        (["::ffff:203.0.113.5"], "203.0.113.5"),
        (["junk, 203.0.113.5"], "203.0.113.5"),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_is_the_client(values: list[str], client: str) -> None:
    assert applied(NETWORK, *x_for(*values))[0] == client


@pytest.mark.parametrize(
    "entry",
    ["", ",", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "1.2.3.4:", "1.2.3.4:x", "999.1.1.1", "[::1", "::1%eth0",
     "\xff", "[1.2.3.4]x", "1.2.3.4 5.6.7.8", '"1.2.3.4"', "1" * 100_000, "203.0.113.5, , 10.1.1.1"],
)  # fmt: skip
def test_after_a_malformed_entry_the_client_is_the_peer(entry: str) -> None:
    assert applied(NETWORK, *x_for(entry))[0] == "10.0.0.1"


def test_an_untrusted_peer_chooses_neither_address_nor_scheme_nor_host() -> None:
    headers = (*x_for("203.0.113.5"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example"))
    assert applied(NETWORK, *headers, peer="203.0.113.99") == ("203.0.113.99", "http", [b"first"])
    assert applied("unix", *headers) == ("10.0.0.1", "http", [b"first"])


@pytest.mark.parametrize("peer", ["", None])
def test_the_peer_on_a_unix_socket_is_trusted_only_if_it_is_listed(peer: str | None) -> None:
    assert applied("unix", *x_for("203.0.113.5"), peer=peer)[0] == "203.0.113.5"
    assert applied(NETWORK, *x_for("203.0.113.5"), peer=peer)[0] == ""
    # An entry cannot be empty, so nobody behind the socket is taken for another socket.
    assert applied("unix", *x_for("203.0.113.5, "), peer=peer)[0] == ""


@pytest.mark.parametrize(
    ("hops", "client"),
    [("1", "192.0.2.3"), ("2", "192.0.2.2"), ("3", "192.0.2.1"), ("16", "192.0.2.1"), ("0", "10.0.0.1")],
)
def test_a_number_of_proxies_is_counted_from_the_right(hops: str, client: str) -> None:
    assert applied(hops, *x_for("192.0.2.1, 192.0.2.2", "192.0.2.3"))[0] == client


def test_entries_beyond_the_limit_of_proxies_are_not_read() -> None:
    entries = ", ".join(["203.0.113.5", *["10.1.1.1"] * 100])
    assert applied(NETWORK, *x_for(entries))[0] == "10.1.1.1"
    element = ", ".join(["for=203.0.113.5", *["for=10.1.1.1"] * (MAX_HOPS + 1)])
    assert applied(NETWORK, ("forwarded", element), read=ProxyHeaders.FORWARDED)[0] == "10.1.1.1"


@pytest.mark.parametrize(
    ("addresses", "schemes", "scheme"),
    [
        ("203.0.113.5", "https", "https"),
        ("203.0.113.5", "HTTPS", "https"),
        ("203.0.113.5, 10.1.1.1", "https", "https"),
        ("203.0.113.5, 10.1.1.1", "https, http", "https"),
        ("1.1.1.1, 203.0.113.5, 10.1.1.1", "http, https, http", "https"),
        ("203.0.113.5", "gopher", "http"),
        ("203.0.113.5", "https\r\nx: y", "http"),
        ("unknown", "https", "https"),
    ],
)
def test_the_scheme_is_that_of_the_entry_of_the_client(addresses: str, schemes: str, scheme: str) -> None:
    assert applied(NETWORK, *x_for(addresses), ("x-forwarded-proto", schemes))[1] == scheme


def test_a_forwarded_host_replaces_the_host_only_if_hosts_are_checked() -> None:
    header = ("x-forwarded-host", "shop.example")
    assert applied(NETWORK, header)[2] == [b"shop.example"]
    assert applied(NETWORK, header, with_host=False)[2] == [b"first"]


def forwarded(*values: str, read: ProxyHeaders = ProxyHeaders.FORWARDED) -> tuple[str, str, list[bytes]]:
    return applied(NETWORK, *(("forwarded", value) for value in values), read=read)


def test_forwarded_elements_name_client_scheme_and_host() -> None:
    value = 'for=192.0.2.60;proto=http, For="[2001:db8:5::17]:4711";Proto=https;host="shop.example:8443";by=10.0.0.1'
    assert forwarded(value) == ("2001:db8:5::17", "https", [b"shop.example:8443"])
    assert forwarded("for=1.1.1.1", "for=203.0.113.5;proto=https , for=10.1.1.1")[:2] == ("203.0.113.5", "https")
    assert forwarded(r'for="203.0.113\.5"')[0] == "203.0.113.5"


@pytest.mark.parametrize("node", ["unknown", "_secret", '"_gazonk:80"'])
def test_a_proxy_may_hide_the_address_and_still_tell_the_scheme(node: str) -> None:
    assert forwarded(f"for=1.1.1.1, for={node};proto=https")[:2] == ("10.0.0.1", "https")


@pytest.mark.parametrize(
    "value",
    ["", "for", "for=", "for=1.1.1.1;", "for=1.1.1.1,", '"', 'for="1.1.1.1', "for = 1.1.1.1", "for=1.1.1.1;for=2.2.2.2",
     "for=1.1.1.1 for=2.2.2.2", "for=::1", "\xff=1", 'for="\\', "x=" + '"' * 1000, "for=1.1.1.1," * 1000],
)  # fmt: skip
def test_a_malformed_forwarded_header_is_ignored(value: str) -> None:
    assert forwarded(value) == ("10.0.0.1", "http", [b"first"])


def test_text_of_the_client_that_a_proxy_quotes_cannot_become_an_element() -> None:
    host = 'evil,for=9.9.9.9;x="'
    assert forwarded(f'for=203.0.113.5;host="{host}"')[0] == "10.0.0.1"
    assert forwarded('for="', "for=203.0.113.5")[0] == "203.0.113.5"


def test_the_two_families_of_headers_are_never_mixed() -> None:
    both = (*x_for("203.0.113.5"), ("x-forwarded-proto", "https"), ("forwarded", "for=198.51.100.1"))
    assert applied(NETWORK, *both, read=ProxyHeaders.FORWARDED)[:2] == ("198.51.100.1", "http")
    assert applied(NETWORK, *both)[:2] == ("203.0.113.5", "https")


@pytest.mark.parametrize(
    "text",
    ["x", "1.2.3.4/33", "10.0.0.1/8", "17", "-1", "1,10.0.0.1", "0.0.0.0/0", "::/0", "localhost",
     "0.0.0.0/1,128.0.0.0/1", "unix,10.0.0.1,::/1,8000::/2,c000::/2"],
)  # fmt: skip
def test_invalid_lists_of_proxies_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address|trusts everybody|must be from 0 to"):
        TrustedProxies.parse(text)


@pytest.mark.parametrize("text", ["", " ", "0", ","])
def test_an_empty_list_trusts_nobody(text: str) -> None:
    assert not TrustedProxies.parse(text)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8:5:6:7::8", "2001:db8:5:6::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_an_ipv4_address_or_a_network_of_64_bits(address: str, key: str) -> None:
    assert network_key(address) == key


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        ("203.0.113.5", ("203.0.113.5",)),
        ("::ffff:203.0.113.5", ("203.0.113.5",)),
        ("2001:db8:5:6:7::8", ("2001:db8:5:6::/64", "2001:db8:5::/48")),
        ("2001:db8:5:ffff::1", ("2001:db8:5:ffff::/64", "2001:db8:5::/48")),
        ("fe80::1%eth0", ("fe80::/64", "fe80::/48")),
        ("", ("unknown address",)),
        ("no:address", ("no:address",)),
    ],
)
def test_an_ipv6_client_has_a_second_key_for_its_site(address: str, keys: tuple[str, ...]) -> None:
    assert client_keys(address) == keys
