"""The engine of the test: two API processes, two workers, beat and Redis, with the database of ha.yml."""

import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from adapters.embedded.redis import EmbeddedRedis
from bench.failover import Client
from tests.cluster.services import Service, Supervisor
from tests.integration.engine_process import PATIENCE, TOGETHER, environment
from tests.project.compose_files import HA
from tests.project.compose_files import environment as variables

PORTS: Final = (8001, 8002)
PASSWORD: Final = "correct horse battery"
# Each worker needs a host name of its own, as it has in a container.
_WITH_HOST_NAME: Final = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"']


class EngineFailed(Exception):
    """A command of the engine failed; the message is its output."""


class Engine:
    """The processes share one secret. Settings are the default ones, except those that limit what one client may do."""

    def __init__(self, redis: EmbeddedRedis, logs: Path) -> None:
        self._logs = logs
        self._settings: Mapping[str, str] = {
            "DATABASE_URL": variables(HA, "api")["DATABASE_URL"],
            "REDIS_URL": redis.url,
            "JWT_SECRET": secrets.token_urlsafe(48),
            # A token must be valid for the whole test, and no reservation may end: units sold are counted at its end.
            "ACCESS_TOKEN_SECONDS": "86400",
            "RESERVATION_SECONDS": "86400",
            # One account, at one address, places all orders.
            "SIGN_UPS_PER_ADDRESS": "0",
            "OPEN_ORDERS_PER_ACCOUNT": "0",
            "UNPAID_SHARE_PERCENT": "0",
        }
        self.urls = [f"http://127.0.0.1:{port}" for port in PORTS]
        self.apis = [
            self._service(f"api-{number}", ["serve", "--host", "127.0.0.1", "--port", str(port)])
            for number, port in enumerate(PORTS, 1)
        ]
        workers = [self._service(name, ["worker"], [*_WITH_HOST_NAME, name]) for name in ("worker-1", "worker-2")]
        self.services = [*self.apis, *workers, self._service("beat", ["beat"])]

    def _service(self, name: str, arguments: list[str], prefix: list[str] | None = None) -> Service:
        command = [*(prefix or []), *TOGETHER, *arguments]
        return Service(name, command, environment(**self._settings), self._logs / f"{name}.log")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Migrate the database, and run all processes during the block, which begins when both APIs are ready."""
        self.run("migrate")
        with Supervisor(self.services):
            for service in self.services:
                service.start()
            self._await_ready()
            yield

    def _await_ready(self) -> None:
        for url in self.urls:
            until = time.monotonic() + PATIENCE
            while Client(url).ask("GET", "/readyz").status != 200:
                if time.monotonic() > until:
                    raise EngineFailed(
                        f"{url}/readyz did not answer with a 200 within {PATIENCE:.0f} s; the logs are in {self._logs}."
                    )
                time.sleep(0.2)

    def run(self, *arguments: str) -> str:
        """Run a command of the command line and return its output; raise `EngineFailed` if its status is not 0."""
        done = subprocess.run(
            [*TOGETHER, *arguments],
            env=environment(**self._settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EngineFailed(f"scalecommerce {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def sign_up(self, name: str) -> str:
        """Create an account and return its access token."""
        email = f"{name}-{secrets.token_hex(4)}@example.com"
        credentials = {"email": email, "password": PASSWORD}
        self._ask("/users/api/v1/sign-up/", credentials)
        return str(self._ask("/users/api/v1/token/", credentials)["access"])

    def list_product(self, seller: str, name: str, stock: int) -> int:
        """Create a product and return its number."""
        product = {"name": name, "category_id": 5, "price": "10.00", "stock": stock}
        return int(self._ask("/products/api/v1/", product, seller)["id"])

    def _ask(self, path: str, body: Any, token: str = "") -> Any:
        """Repeat a POST with one Idempotency-Key until it is successful, and return its document."""
        client, key = Client(self.urls[0], token, timeout=PATIENCE), secrets.token_hex(8)
        headers = {"Idempotency-Key": key} if token else {}
        until = time.monotonic() + PATIENCE
        while (answer := client.ask("POST", path, body, **headers)).status not in {200, 201}:
            if time.monotonic() > until or 400 <= answer.status < 500:
                raise EngineFailed(f"POST {path}: {answer.status} {answer.body}")
            time.sleep(0.2)
        client.close()
        return answer.body
