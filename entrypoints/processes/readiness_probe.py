"""Checks whether an API answers."""

import http.client
from typing import Final

_SECONDS: Final = 2.0


def api_answers(host: str, port: int, path: str = "/readyz") -> bool:
    """Return whether a GET of the path is answered by 200."""
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
