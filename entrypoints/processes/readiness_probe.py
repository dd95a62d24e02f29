"""Whether the API that `up` has started answers."""

import http.client
from typing import Final

_SECONDS: Final = 2.0


def api_answers(host: str, port: int, path: str = "/readyz") -> bool:
    """Whether it says 200 there."""
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
