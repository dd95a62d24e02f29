"""Declaring operations on the methods of a resource."""

import asyncio
import re
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from adapters.http.app import RESOURCES
from adapters.http.framework.operation import Call, Handler, OperationSpec, ResponseSpec, json_response, operations_of
from scalecommerce_core.domain.errors import NotAuthenticated
from tests.unit.support.http_operations import endpoints


class NewNote(msgspec.Struct):
    text: str


class NoteQuery(msgspec.Struct, frozen=True):
    limit: int = 10


def spec(name: str, method: str = "GET", *, cached: bool = False) -> OperationSpec:
    return OperationSpec(
        method=method,
        path="/notes/",
        name=name,
        summary="",
        tag="",
        responses={200: ResponseSpec(list[str], "Notes.")},
        cached=cached,
    )


class NoteResource:
    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    @spec("listNotes", cached=True)
    async def list_notes(self, call: Call[None, NoteQuery]) -> Response:
        return json_response(self._notes[: call.query.limit])

    @spec("addNote", "POST")
    async def add_note(self, call: Call[NewNote | None, None]) -> Response:
        self._notes.append("empty" if call.body is None else call.body.text)
        return json_response(self._notes)


def test_operations_are_collected_in_the_order_of_their_methods() -> None:
    operations = operations_of(NoteResource([]), cached=lambda handler: handler)
    assert [operation.name for operation in operations] == ["listNotes", "addNote"]


def test_body_and_query_types_come_from_the_annotation_of_the_handler() -> None:
    list_notes, add_note = operations_of(NoteResource([]), cached=lambda handler: handler)
    assert (list_notes.body, list_notes.query, list_notes.is_body_optional) == (None, NoteQuery, False)
    assert (add_note.body, add_note.query, add_note.is_body_optional) == (NewNote, None, True)


def test_only_handlers_of_cached_operations_are_wrapped() -> None:
    wrapped: list[Handler] = []

    def cached(handler: Handler) -> Handler:
        wrapped.append(handler)
        return handler

    resource = NoteResource([])
    operations_of(resource, cached)
    assert wrapped == [resource.list_notes]


def test_a_handler_can_be_called_alone() -> None:
    request = Request({"type": "http", "path_params": {}})
    call: Call[NewNote | None, None] = Call(request, None, NewNote("milk"), None)
    assert asyncio.run(NoteResource(["tea"]).add_note(call)).body == b'["tea","milk"]'
    with pytest.raises(NotAuthenticated):
        _ = call.identity


def test_a_handler_without_the_types_of_its_call_is_rejected() -> None:
    async def handler(_resource: Any, _call: Any) -> Response:
        return json_response(None)

    with pytest.raises(TypeError, match=re.escape("as Call[Body, Query]")):
        spec("untyped")(handler)


def test_handlers_are_named_after_their_operation() -> None:
    """An operationId of the OpenAPI document therefore leads to its method."""
    methods = {name for resource in RESOURCES for name in vars(resource)}
    names = {re.sub(r"(?<=[a-z])([A-Z])", r"_\1", each.name).lower() for each in endpoints()}
    assert names <= methods
