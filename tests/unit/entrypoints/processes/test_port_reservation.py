"""A reserved port can be used only by the server that it is reserved for."""

import socket

import pytest

from entrypoints.processes.errors import CannotRun
from entrypoints.processes.port_reservation import Address, reserve_port


def test_our_own_server_may_listen_and_nobody_else_does() -> None:
    with reserve_port("127.0.0.1", 0) as address:
        place = (address.host, address.port)
        with pytest.raises(CannotRun, match=f"Port {address.port} of 127.0.0.1 is taken"), reserve_port(*place):
            pass
        with socket.create_server(place, reuse_port=True), pytest.raises(CannotRun), reserve_port(*place):
            pass
    with socket.create_server(place):  # the port is free again
        pass


@pytest.mark.parametrize(
    ("host", "said"),
    [("no such host", "Cannot listen on no such host"), ("192.0.2.1", "Cannot assign requested address")],
)
def test_addresses_that_are_not_ours(host: str, said: str) -> None:
    with pytest.raises(CannotRun, match=said), reserve_port(host, 0):
        pass


@pytest.mark.parametrize(
    ("host", "url", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", True),
        ("localhost", "http://localhost:80", True),
        ("0.0.0.0", "http://127.0.0.1:80", False),  # noqa: S104 - compared, not bound
        ("::", "http://[::1]:80", False),
        ("shop.example", "http://shop.example:80", False),
    ],
)
def test_where_a_server_is_reached(host: str, url: str, local: bool) -> None:
    address = Address(host, 80)
    assert (address.url, address.is_local) == (url, local)
