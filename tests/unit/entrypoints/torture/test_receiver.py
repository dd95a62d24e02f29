"""The server that webhooks go to."""

import http.client
from urllib.parse import urlsplit

from entrypoints.torture.receiver import WebhookReceiver


def test_messages_are_counted_by_their_ids() -> None:
    receiver = WebhookReceiver()
    try:
        address = urlsplit(receiver.url)
        for message in ("a", "b", "a"):
            connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
            connection.request("POST", address.path, b"{}", {"webhook-id": message})
            assert connection.getresponse().status == 204
            connection.close()
        assert receiver.received == {"a": 2, "b": 1}
    finally:
        receiver.close()
