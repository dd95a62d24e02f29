"""What a `ResponseListener` learns about each request."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from adapters.http.framework.application import build_application, path_templates
from adapters.http.framework.middleware import UNOBSERVED
from adapters.http.framework.operation import operations_of
from tests.unit.adapters.http.conftest import ThingResource, authenticate, uncached
from tests.unit.support.http_in_process import calling

Seen = list[tuple[str | None, str, int]]


async def page(_request: Request) -> Response:
    return Response("a page")


def fast(scope: Scope) -> Any:
    return (200, [], b"fast", None) if scope["path"] == "/things/7/" else None


class MarkedAsOwn:
    """The application for requests of the process to itself."""

    def __init__(self, app: Any) -> None:
        self.router = app.router
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, UNOBSERVED: True}, receive, send)


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def app(seen: Seen) -> Any:
    def record(route: str | None, method: str, status: int, seconds: float) -> None:
        assert seconds > 0
        seen.append((route, method, status))

    return build_application(
        operations_of(ThingResource(), uncached),
        authenticate=authenticate,
        version="1.0",
        pages=[Route("/pages/{name}", page)],
        fast_path=fast,
        fast_path_route="/things/{id:id}/",
        on_response=record,
    )


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/things/", ("/things/", 200)),
        ("GET", "/things/1/", ("/things/{id:id}/", 404)),
        ("GET", "/things/7/", ("/things/{id:id}/", 200)),
        ("HEAD", "/things/", ("/things/", 200)),
        ("PUT", "/things/", ("/things/", 405)),
        ("GET", "/pages/home", ("/pages/{name}", 200)),
        ("GET", "/crash/", ("/crash/", 500)),
        ("GET", "/nowhere/1/2", (None, 404)),
        ("GET", "/things%2f1/", (None, 404)),
    ],
)
def test_each_response_is_reported_once(
    app: Any, seen: Seen, method: str, path: str, expected: tuple[str | None, int]
) -> None:
    with calling(app) as client:
        status = client.request(method, path).status_code
    assert seen == [(expected[0], method, status)]
    assert status == expected[1]


def test_requests_of_the_process_to_itself_are_not_reported(app: Any, seen: Seen) -> None:
    with calling(MarkedAsOwn(app)) as client:  # type: ignore[arg-type]  # the used part of an application
        assert client.get("/things/").status_code == 200
    assert seen == []


def test_path_templates_include_operations_and_pages(app: Any) -> None:
    templates = path_templates(app.routes)
    assert {"/things/", "/things/{id:id}/", "/pages/{name}", "/openapi.json"} <= set(templates)
    assert len(templates) == len(set(templates))
