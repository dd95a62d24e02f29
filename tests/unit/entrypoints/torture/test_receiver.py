"""The server that webhooks go to."""

import http.client
from urllib.parse import urlsplit

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
