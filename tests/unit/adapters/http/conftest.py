"""Fixtures: a small application on the framework (`client`, `ann`), and the real one in memory with its users."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import pytest
from httpx2 import Client
from starlette.responses import Response

from adapters.http.framework.application import build_application
from adapters.http.framework.auth import Access
from adapters.http.framework.cursors import Cursors
from adapters.http.framework.etags import expected_version, is_current, version_etag
from adapters.http.framework.money_fields import Price
from adapters.http.framework.openapi import ETAG, LOCATION
from adapters.http.framework.operation import (
    Call,
    Handler,
    Link,
    OperationSpec,
    ResponseSpec,
    json_response,
    no_content,
    operations_of,
)
from adapters.http.framework.pagination import PageQuery, PageSchema, Paginator
from adapters.http.framework.text_fields import ProductName
from scalecommerce_core.domain.errors import NotFound, TokenNotValid, VersionMismatch
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.queries import Page
from scalecommerce_core.services.sessions import Identity
from tests.unit.support.http_in_process import calling
from tests.unit.support.http_marketplace import Marketplace, Person, Visitor, marketplace

TOKENS = {"ann": Identity(AccountId(1), SessionId("s1"), is_staff=False)}
TOKENS["staff"] = Identity(AccountId(2), SessionId("s2"), is_staff=True)


def authenticate(token: str) -> Identity:
    if token not in TOKENS:
        raise TokenNotValid("The token is not valid.")
    return TOKENS[token]


class Part(msgspec.Struct):
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class NewThing(msgspec.Struct, omit_defaults=True):
    name: ProductName
    price: Price
    parts: Annotated[list[Part], msgspec.Meta(max_length=3)] = msgspec.field(default_factory=list)


class Thing(msgspec.Struct):
    id: int
    name: str
    price: str


class Things(PageQuery, frozen=True):
    price_min: Price | None = None
    brand: list[str] = msgspec.field(default_factory=list)


class ThingResource:
    def __init__(self) -> None:
        self.things: dict[int, Thing] = {}
        self.next_id = 1
        self.paginator = Paginator(Cursors(b"k" * 32))

    def empty(self) -> None:
        self.things.clear()
        self.next_id = 1

    @OperationSpec(
        method="GET",
        path="/things/",
        name="list_things",
        summary="List",
        tag="things",
        responses={200: ResponseSpec(PageSchema[Thing], "A page.")},
    )
    async def list_things(self, call: Call[None, Things]) -> Response:
        wanted = self.paginator.parse_request(call.request, call.query)
        after = wanted.after[0] if wanted.after else 0
        assert isinstance(after, int)
        rows = tuple(thing for thing in self.things.values() if thing.id > after)[: wanted.size]
        more = bool(rows) and rows[-1].id < self.next_id - 1
        page = Page(rows, next=(rows[-1].id,) if more else None)
        return json_response(self.paginator.to_schema(call.request, call.query, page, lambda thing: thing))

    @OperationSpec(
        method="POST",
        path="/things/",
        name="create_thing",
        summary="Create",
        tag="things",
        responses={201: ResponseSpec(Thing, "Created.", headers=[LOCATION, ETAG], links=[Link("read_thing")])},
        access=Access.ACCOUNT,
        idempotent=True,
    )
    async def create_thing(self, call: Call[NewThing, None]) -> Response:
        thing = Thing(self.next_id, call.body.name, str(call.body.price))
        self.things[thing.id] = thing
        self.next_id += 1
        return json_response(thing, 201, {"Location": f"/things/{thing.id}/", "ETag": version_etag(1)})

    @OperationSpec(
        method="GET",
        path="/things/{id:id}/",
        name="read_thing",
        summary="Read",
        tag="things",
        responses={200: ResponseSpec(Thing, "The thing.", headers=[ETAG]), 304: ResponseSpec(None, "Unchanged.")},
        access=Access.OPTIONAL,
        conditional=True,
    )
    async def read_thing(self, call: Call[None, None]) -> Response:
        thing = self._thing(call.id)
        if is_current(call.request.headers, version_etag(1)):
            return Response(status_code=304, headers={"ETag": version_etag(1)})
        return json_response(thing, headers={"ETag": version_etag(1)})

    @OperationSpec(
        method="DELETE",
        path="/things/{id:id}/",
        name="delete_thing",
        summary="Delete",
        tag="things",
        responses={204: ResponseSpec(None, "Deleted.")},
        access=Access.ACCOUNT,
        conditional=True,
    )
    async def delete_thing(self, call: Call[None, None]) -> Response:
        thing = self._thing(call.id)
        if expected_version(call.request.headers) not in {None, 1}:
            raise VersionMismatch("It is version 1.")
        del self.things[thing.id]
        return no_content()

    @OperationSpec(
        method="GET",
        path="/crash/",
        name="crash",
        summary="Crash",
        tag="odd",
        responses={200: ResponseSpec(Thing, "Never sent.")},
    )
    async def crash(self, _call: Call[None, None]) -> Response:
        raise RuntimeError("a secret detail")

    @OperationSpec(
        method="GET",
        path="/staff/",
        name="staff",
        summary="Staff",
        tag="odd",
        responses={200: ResponseSpec(dict[str, int], "The caller's id.")},
        access=Access.STAFF,
    )
    async def staff(self, call: Call[None, None]) -> Response:
        return json_response({"staff": call.identity.account_id})

    def _thing(self, thing_id: int) -> Thing:
        if thing_id not in self.things:
            raise NotFound("thing", thing_id)
        return self.things[thing_id]


def uncached(handler: Handler) -> Handler:
    return handler


@pytest.fixture(scope="module")
def thing_api() -> Iterator[tuple[ThingResource, Client]]:
    """Created once per module, since building the OpenAPI document takes longer than most tests."""
    resource = ThingResource()
    with calling(
        build_application(operations_of(resource, uncached), authenticate=authenticate, version="1.0")
    ) as made:
        yield resource, made


@pytest.fixture
def client(thing_api: tuple[ThingResource, Client]) -> Client:
    """A client of the API without things."""
    resource, client = thing_api
    resource.empty()
    client.headers.pop("Authorization", None)
    return client


@pytest.fixture
def ann(client: Client) -> Client:
    client.headers["Authorization"] = "Bearer ann"
    return client


@pytest.fixture(scope="module")
def place() -> Iterator[Marketplace]:
    """Shared by the tests of a module; each test creates its own accounts and products."""
    with marketplace() as made:
        yield made


@pytest.fixture
def seller(place: Marketplace) -> Person:
    return place.person(first_name="Sam", last_name="Seller")


@pytest.fixture
def buyer(place: Marketplace) -> Person:
    return place.person(first_name="Bea")


@pytest.fixture
def stranger(place: Marketplace) -> Person:
    return place.person()


@pytest.fixture
def staff(place: Marketplace) -> Person:
    return place.person(is_staff=True)


@pytest.fixture
def anybody(place: Marketplace) -> Visitor:
    return place.anybody
