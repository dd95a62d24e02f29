"""Webhooks go only to public addresses, however an address is written or embedded."""

from ipaddress import ip_address

import pytest

from scalecommerce_core.domain.web_address import Target, UnsafeAddress, check_address, is_public, parse_target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("HTTPS://Example.COM/Hooks?a=%20b", Target("https", "example.com", 443, "/Hooks?a=%20b")),
        ("https://example.com:443/", Target("https", "example.com", 443, "/")),
        ("https://shop_1.example.co.uk:8443/a/b", Target("https", "shop_1.example.co.uk", 8443, "/a/b")),
        ("https://xn--e1afmkfd.xn--p1ai/", Target("https", "xn--e1afmkfd.xn--p1ai", 443, "/")),
        ("https://93.184.216.34/", Target("https", "93.184.216.34", 443, "/")),
        ("https://[2606:4700::1111]:2083/x", Target("https", "2606:4700::1111", 2083, "/x")),
    ],
)
def test_public_https_urls_are_accepted(url: str, target: Target) -> None:
    assert parse_target(url) == target


def test_the_host_header_names_the_port_only_where_it_must() -> None:
    assert parse_target("https://example.com/").authority == "example.com"
    assert parse_target("https://example.com:8443/").authority == "example.com:8443"
    assert parse_target("https://[2606:4700::1111]/").authority == "[2606:4700::1111]"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "https://",
        "https:///hooks",
        "ftp://example.com/",
        "https://[2606:4700::1111%25eth0]/",
        "https://[2606:4700::1111%lo]/",
        "file:///etc/passwd",
        "http://example.com/",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://@example.com/",
        "https://example.com/#top",
        "https://example.com/#",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://example.com/\x00",
        "https://example.com\\@10.0.0.1/",
        "https://пример.рф/",
        "https://-example.com/",
        "https://example..com/",
        f"https://{'a' * 64}.com/",
        f"https://example.com/{'a' * 2000}",
        # Names of this machine or its network.
        "https://localhost/",
        "https://LOCALHOST:8443/",
        "https://postgres:8443/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://api.localhost/",
        # Addresses, plain and in the spellings that resolvers take.
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://0x7f.0.0.1/",
        "https://1.2.3.0x4/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fd00:ec2::254]/",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UnsafeAddress):
        parse_target(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/a", "http://127.0.0.1:80/", "https://[::1]:9/", "http://127.9.9.9/",
        "https://127.0.0.1/", "https://localhost/", "https://LocalHost:22/",
    ],
)  # fmt: skip
def test_loopback_urls_are_accepted_where_development_allows_them(url: str) -> None:
    assert parse_target(url, allow_loopback=True).is_loopback
    with pytest.raises(UnsafeAddress, match="WEBHOOKS_ALLOW_LOOPBACK"):
        parse_target(url)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "http://10.0.0.1/", "https://192.168.1.1/", "http://localhost:0/"]
)
def test_development_allows_no_other_private_addresses(url: str) -> None:
    with pytest.raises(UnsafeAddress):
        parse_target(url, allow_loopback=True)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1",
        "2606:4700::1111", "2a00:1450:4001::1",
        # Addresses that embed a public IPv4 address.
        "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
    ],
)  # fmt: skip
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.1", "0.1.2.3", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1",
        "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "168.63.129.16",
        "::", "::1", "::127.0.0.1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1",
        "2001:db8::1", "3fff::1", "2001::1", "2001:10::1", "5f00::1", "64:ff9b:1::808:808",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:10.0.0.1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe",
        "2002:a00:1::1", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(UnsafeAddress, match="not public"):
        check_address(ip_address(address))


def test_a_loopback_target_may_reach_nothing_else() -> None:
    check_address(ip_address("127.0.0.1"), loopback=True)
    with pytest.raises(UnsafeAddress, match="not loopback"):
        check_address(ip_address("8.8.8.8"), loopback=True)
