"""The examples in `/docs` work unchanged: every operation is executed with its example, in the order of the page, on a
demo market. The test does the same as the page: it sends the example of the document with the token of the first
log-in, and fills in bodies by the links of earlier responses.
"""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import httpx2
import pytest
from attrs import define, field, frozen
from jsonschema_rs import Draft202012Validator

from adapters.http.examples import EXAMPLES, demo_market
from adapters.http.examples.users import NEW_PASSWORD
from adapters.http.framework.example import Example
from tests.integration.engine_process import EngineProcess, eventually

JSON = "application/json"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """A demo with its simulated visitors."""
    engine = EngineProcess(tmp_path_factory.mktemp("examples"), "--demo")
    try:
        assert engine.url
        yield engine
    finally:
        engine.end()


@frozen
class ExampleRequest:
    method: str
    path: str
    described: Any

    @property
    def name(self) -> str:
        return str(self.described["operationId"])


def steps(document: Any) -> list[ExampleRequest]:
    """The operations in the order of the page: by tags, deletions last."""
    found = [
        ExampleRequest(method.upper(), path, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]
    tags = [tag["name"] for tag in document["tags"]]
    return sorted(found, key=lambda step: (tags.index(step.described["tags"][0]), step.method == "DELETE"))


def at(expression: str, response: Any) -> Any:
    """The value of `$response.body#/…`."""
    value = response
    for name in expression.removeprefix("$response.body#/").split("/"):
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


@define
class Reader:
    """Executes one operation after the other with its unchanged example."""

    client: httpx2.Client
    document: Any
    bodies: dict[str, Any] = field(factory=dict)
    """Request bodies that links have filled in, by operation."""

    def execute(self, step: ExampleRequest) -> httpx2.Response:
        described = step.described
        given = {each["name"]: each["example"] for each in described["parameters"] if "example" in each}
        path = re.sub(r"{(\w+)}", lambda match: str(given[match[1]]), step.path)
        body = None
        if "requestBody" in described:
            first = next(iter(described["requestBody"]["content"][JSON]["examples"].values()))
            body = self.bodies.get(step.name, first["value"])
        response = self.client.request(step.method, path, json=body)
        if step.name == "logOut":
            # As the guide of the page says: log in again, with the password that an example before has set.
            body = {"email": demo_market.STAFF, "password": NEW_PASSWORD}
            pair = self.client.post("/users/api/v1/token/", json=body).json()
            self.client.headers["Authorization"] = f"Bearer {pair['access']}"
        if response.is_success:
            self._follow(described["responses"][str(response.status_code)], response)
        return response

    def _follow(self, promised: Mapping[str, Any], response: httpx2.Response) -> None:
        for link in promised.get("links", {}).values():
            if "requestBody" in link:
                filled = {name: at(expression, response.json()) for name, expression in link["requestBody"].items()}
                self.bodies[link["operationId"]] = filled
        if "access" in response.text and self.client.headers.get("Authorization") is None:
            self.client.headers["Authorization"] = f"Bearer {response.json()['access']}"


def unfit(step: ExampleRequest, response: httpx2.Response, document: Any) -> list[str]:
    """The differences between a response and its documentation."""
    promised = step.described["responses"].get(str(response.status_code))
    if promised is None or not response.is_success:
        return [f"{response.status_code} {response.text}"]
    content = promised.get("content", {})
    if not content:
        return [] if response.content == b"" else [response.text]
    if JSON not in content:
        media_type = response.headers["content-type"].partition(";")[0]
        return [] if media_type in content and response.content else [media_type]
    schema = {**promised["content"][JSON]["schema"], "components": document["components"]}
    validator = Draft202012Validator(schema, validate_formats=True)
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(response.json())]


def test_every_example_succeeds_unchanged_in_the_order_of_the_page(demo: EngineProcess) -> None:
    with httpx2.Client(base_url=demo.url, timeout=30) as client:
        document = client.get("/openapi.json").json()
        reader = Reader(client, document)
        failures: dict[str, list[str]] = {}
        for step in steps(document):
            _wait_for_the_background(client, step)
            response = reader.execute(step)
            if EXAMPLES.get(step.name, Example()).is_refused:
                found = (
                    []
                    if response.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
                    else [response.text]
                )
            else:
                found = unfit(step, response, document)
            if found:
                failures[step.name] = found
    assert failures == {}


def _wait_for_the_background(client: httpx2.Client, step: ExampleRequest) -> None:
    """Wait for the background work that the step needs: the first run has written its prices, or the first message was
    sent."""
    if step.name == "rollBackPricingRun":
        run = f"/pricing/api/v1/runs/{demo_market.RUN}/"
        eventually(lambda: client.get(run).json().get("status") == "DONE", "the end of the first run")
    if step.name == "redeliverWebhook":
        path = f"/webhooks/api/v1/{demo_market.NEW_WEBHOOK}/deliveries/{demo_market.NEW_DELIVERY}/"
        eventually(lambda: client.get(path).json()["attempts"], "the first attempt")


def test_the_documented_log_ins_are_those_that_the_demo_prints(demo: EngineProcess) -> None:
    assert demo.log_ins() == {"buyer": demo_market.BUYER, "seller": demo_market.SELLER, "staff": demo_market.STAFF}
