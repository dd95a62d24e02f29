"""Ports for servers of the tests."""

import socket


def free_port() -> int:
    """Return a port of 127.0.0.1 that no process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return int(reserved.getsockname()[1])
