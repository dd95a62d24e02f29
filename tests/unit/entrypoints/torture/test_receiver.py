"""The server that webhooks go to."""

import http.client
import socket
from urllib.parse import urlsplit

import pytest

from entrypoints.torture.receiver import WebhookReceiver


def test_messages_are_counted_by_their_ids_except_verifications() -> None:
    receiver = WebhookReceiver()
    try:
        address = urlsplit(receiver.url)
        bodies = {"c": b'{"type": "webhook.verification", "data": {"challenge": "xyz"}}'}
        for message in ("a", "b", "a", "c"):
            connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
            body = bodies.get(message, b'{"type": "order.paid", "data": {}}')
            connection.request("POST", address.path, body, {"webhook-id": message})
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"xyz" if message in bodies else b"")
            connection.close()
        assert +receiver.received == {"a": 2, "b": 1}
    finally:
        receiver.close()


def test_a_request_that_ends_within_its_body_is_not_received(capsys: pytest.CaptureFixture[str]) -> None:
    receiver = WebhookReceiver()
    try:
        address = urlsplit(receiver.url)
        with socket.create_connection((str(address.hostname), address.port or 0)) as sender:
            sender.sendall(b"POST /hooks HTTP/1.1\r\nwebhook-id: a\r\nContent-Length: 9\r\n\r\n{")
            sender.shutdown(socket.SHUT_WR)
            assert sender.recv(1) == b""
        assert not receiver.received
    finally:
        receiver.close()
    assert capsys.readouterr().err == ""
