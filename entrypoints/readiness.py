"""Whether what `up` has started answers."""

import http.client
from typing import Final

from kombu.exceptions import OperationalError
from redis import RedisError

from adapters.tasks.broker import connected

_SECONDS: Final = 1.0


def api_answers(host: str, port: int) -> bool:
    """Whether `/readyz` says 200."""
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class WorkerProbe:
    """Asks the workers of a broker whether one is there."""

    def __init__(self, redis_url: str) -> None:
        self._app = connected(redis_url)

    def answers(self) -> bool:
        try:
            # Of several one is enough; a question that is asked before the worker listens is lost, so waits are short.
            return bool(self._app.control.inspect(timeout=0.25, limit=1).ping())
        except (OperationalError, RedisError, OSError):
            return False

    def close(self) -> None:
        self._app.close()
