"""A reserved port can be used only by the server that it is reserved for."""

import socket

import pytest

from entrypoints.processes.errors import CannotRun
from entrypoints.processes.port_reservation import Address, reserve_port


def test_a_reserved_port_is_refused_to_other_servers() -> None:
    with reserve_port("127.0.0.1", 0) as address:
        host_and_port = (address.host, address.port)
        with pytest.raises(CannotRun, match=f"Port {address.port} of 127.0.0.1 is taken"), reserve_port(*host_and_port):
            pass
        with (
            socket.create_server(host_and_port, reuse_port=True),
            pytest.raises(CannotRun),
            reserve_port(*host_and_port),
        ):
            pass
    with socket.create_server(host_and_port):  # the port is free again
        pass


@pytest.mark.parametrize(
    ("host", "said"),
    [("no such host", "Cannot listen on no such host"), ("192.0.2.1", "Cannot assign requested address")],
)
def test_addresses_of_other_machines_are_refused(host: str, said: str) -> None:
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
def test_an_address_has_the_url_at_which_the_server_is_reached(host: str, url: str, local: bool) -> None:
    address = Address(host, 80)
    assert (address.url, address.is_local) == (url, local)
