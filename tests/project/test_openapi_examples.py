"""The OpenAPI document is valid and complete, and the code accepts and sends its examples."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from adapters.http.examples import EXAMPLES
from adapters.http.framework.openapi import COMMON_CODES
from adapters.http.framework.problem_kinds import KINDS, SAMPLES, to_problem
from adapters.http.framework.problems import MEDIA_TYPE
from tests.unit.support.http_marketplace import marketplace
from tests.unit.support.http_operations import Endpoint, endpoints, every, every_that_takes_a_body
from tests.unit.support.openapi_promises import checker

JSON = "application/json"


@pytest.fixture(scope="module")
def document() -> Any:
    with marketplace() as place:
        return place.client.get("/openapi.json").json()


def validator(schema: Any, document: Any) -> Draft202012Validator:
    # Formats are validated too, such as `date-time`.
    wanted = {**schema, "components": document["components"]}
    return Draft202012Validator(wanted, validate_formats=True)


def check(value: Any, schema: Any, document: Any) -> None:
    errors = [f"{error.instance_path}: {error.message}" for error in validator(schema, document).iter_errors(value)]
    assert errors == [], value


def resolved(thing: Any, document: Any) -> Any:
    while "$ref" in thing:
        place = document
        for name in thing["$ref"].removeprefix("#/").split("/"):
            place = place[name]
        thing = place
    return thing


def test_the_document_follows_the_specification(document: Any) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_servers_are_relative_to_the_document(document: Any) -> None:
    assert [server["url"] for server in document["servers"]] == ["./"]


def test_the_description_contains_first_steps(document: Any) -> None:
    text = document["info"]["description"]
    for word in ("scalecommerce up --demo", "/users/api/v1/token/", "omar.sexton.10@seed-1.example", "Authorize"):
        assert word in text


def test_every_operation_has_its_examples() -> None:
    # An operation without parameters and bodies needs no example.
    assert {each.name for each in endpoints()} - EXAMPLES.keys() == {"logOut"}


@every_that_takes_a_body()
def test_examples_of_bodies_match_their_schema(document: Any, endpoint: Endpoint) -> None:
    content = endpoint.described["requestBody"]["content"][JSON]
    assert content["examples"]
    for example in content["examples"].values():
        assert example["summary"]
        check(example["value"], content["schema"], document)


@every(lambda endpoint: endpoint.answers_json)
def test_examples_of_responses_match_their_schema(document: Any, endpoint: Endpoint) -> None:
    for response in endpoint.described["responses"].values():
        if JSON in response.get("content", {}):
            content = response["content"][JSON]
            check(content["example"], content["schema"], document)


@every()
def test_examples_of_problems_match_their_schema(document: Any, endpoint: Endpoint) -> None:
    for status in endpoint.problems:
        content = endpoint.described["responses"][str(status)]["content"][MEDIA_TYPE]
        assert content["examples"]
        for code, example in content["examples"].items():
            value = resolved(example, document)["value"]
            assert (value["code"], value["status"]) == (code, status)
            check(value, content["schema"], document)


@every()
def test_examples_of_field_errors_name_fields_of_the_operation(document: Any, endpoint: Endpoint) -> None:
    examples = endpoint.described["responses"]["400"]["content"][MEDIA_TYPE]["examples"]
    fields = {re.split(r"[.\[]", name)[0] for name in examples["invalid"]["value"]["errors"]}
    known = set(endpoint.query_parameters) | {"page"}
    if endpoint.has_body:
        schema = resolved(endpoint.described["requestBody"]["content"][JSON]["schema"], document)
        known |= set(schema["properties"])
    assert fields <= known


@every(lambda endpoint: bool(endpoint.described["parameters"]))
def test_parameters_have_descriptions_and_examples(document: Any, endpoint: Endpoint) -> None:
    for parameter in endpoint.described["parameters"]:
        where = (endpoint.name, parameter["name"])
        schema = parameter["schema"]
        assert parameter["description"], where
        if parameter["in"] == "path":
            check(parameter["example"], schema, document)
            continue
        # Swagger UI fills in each `example`, so it must be valid for any data.
        assert "example" not in parameter, where
        item = resolved(schema.get("items", schema), document)
        assert "examples" in schema or "examples" in item or "enum" in item or item.get("type") == "boolean", where
        for example in schema.get("examples", ()):
            check(example, schema, document)


def properties(document: Any) -> Iterator[tuple[str, str, Any]]:
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            yield name, field, described


def values(thing: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from values(value, key)
    elif isinstance(thing, list):
        for value in thing:
            yield from values(value, name)
    else:
        yield name, thing


def test_times_have_the_format_date_time(document: Any) -> None:
    """Every time in an example of a response has the format `date-time`."""
    times = {
        name
        for path in document["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        for name, value in values(response.get("content", {}).get(JSON, {}).get("example"))
        if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value)
    }
    assert {"created_at", "at", "start", "valid_from", "finished_at"} <= times
    lacking = [
        (schema, field)
        for schema, field, described in properties(document)
        if field in times and "date-time" not in json.dumps(described)
    ]
    assert lacking == []


CLOSED = {"status", "cause", "motive", "outcome", "trigger", "topic", "topics", "guardrails", "redis", "postgresql"}


def test_fields_with_a_closed_set_of_values_are_enums(document: Any) -> None:
    open_ones = []
    for schema, field, described in properties(document):
        # Settings of policies and HTTP status codes are open sets.
        if field not in CLOSED or schema in {"ProblemDocument", "Attempt"} or "Policy" in schema:
            continue
        item = resolved(resolved(described, document).get("items", described), document)
        if not item.keys() & {"enum", "const"}:
            open_ones.append((schema, field))
    assert open_ones == []


def test_numbers_in_examples_are_realistic(document: Any) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            content = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
            for name, value in values([each["value"] for each in content.get("examples", {}).values()]):
                if isinstance(value, int | float):
                    assert value < 1_000_000, (operation["operationId"], name)
                if name == "epoch_seconds":
                    assert value >= 3_600


def test_problem_codes_are_an_enum(document: Any) -> None:
    schemas = document["components"]["schemas"]
    shown = {
        code
        for endpoint in endpoints()
        for status in endpoint.problems
        for code in endpoint.described["responses"][str(status)]["content"][MEDIA_TYPE]["examples"]
    }
    assert set(schemas["ProblemDocument"]["properties"]["code"]["enum"]) == shown | {*COMMON_CODES}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: to_problem(sample).code)
def test_example_problems_equal_those_that_the_code_sends(sample: Any) -> None:
    sent = json.loads(bytes(to_problem(sample).response().body))
    kind = KINDS[sent["code"]]
    assert kind.documents[sent["status"]] == sent
    assert set(sent) - set(kind.members) == {"type", "title", "status", "detail", "code"}


def test_the_response_hook_detects_undocumented_problems(document: Any) -> None:
    """Every response to a client of `marketplace` passes the hook."""
    with marketplace() as place:
        place.client.event_hooks["response"].clear()
        response = place.client.get("/products/api/v1/999/")
        checker(document)(response)
        del document["paths"]["/products/api/v1/{id}/"]["get"]["responses"]["404"]
        with pytest.raises(AssertionError, match="readProduct does not document"):
            checker(document)(response)
