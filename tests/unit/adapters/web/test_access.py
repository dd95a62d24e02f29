"""Who may load which page and do what: every page and action, for every role.

The rules follow from the declarations, so a new page is tested as soon as it is declared. What belongs to one seller or
buyer must be hidden from others, and an action that is refused must leave all data as they are.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import pytest
from attrs import define, fields, frozen

from adapters.web.app import all_pages
from adapters.web.framework.page import Access, Features, Page
from scalecommerce_core.testing.memory.tables import Tables
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import PASSWORD, Marketplace, Person, answer, marketplace

SECRET: Final = "4,317.99"
"""The cost of the seller's product, which nobody else but staff may see."""
PAGES: Final = all_pages()
OWN_CHANGES: Final[Mapping[str, set[str]]] = {"/account/email/verification/": {"emails"}}
"""Tables that actions without fields change for everybody's own account."""


class Role(StrEnum):
    ANONYMOUS = "anonymous"
    BUYER = "buyer"
    OTHER_BUYER = "other buyer"
    SELLER = "seller"
    OTHER_SELLER = "other seller"
    STAFF = "staff"


@frozen
class Objects:
    """The ids that stand for the path parameters of pages, by the beginning of the path."""

    ids: Mapping[str, int]

    def path(self, page: Page) -> str:
        """The path of a page with ids of things of the seller or the buyer."""
        path = page.path
        for name in ("id", "policy", "run", "endpoint", "delivery", "promotion", "experiment", "order", "product"):
            path = path.replace(f"{{{name}:int}}", str(self._id(page.path, name)))
        assert "{" not in path, f"{page.path}: say which object its parameter names"
        return path

    def _id(self, path: str, name: str) -> int:
        if name != "id":
            return self.ids.get(name, 1)
        collection = path.split("/{id:int}", maxsplit=1)[0].rpartition("/")[2]
        return self.ids.get(collection, 1)


@define
class Stage:
    """A market in which a seller has a product, a policy and a webhook endpoint, and a buyer an order."""

    site: Marketplace
    people: Mapping[Role, Person]
    browsers: Mapping[Role, Browser]
    objects: Objects

    def state(self) -> Mapping[str, Any]:
        """The committed rows by table, without those that every visit writes."""
        tables = self.site.market.store.tables  # type: ignore[attr-defined]
        visited = {"sessions", "keys", "account_tokens"}
        return {
            each.name: (list(part.rows) if hasattr(part := getattr(tables, each.name), "rows") else dict(part._rows))
            for each in fields(Tables)
            if each.name not in visited
        }


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with marketplace(features=Features(shop=True, version="1.0")) as site:
        people: dict[Role, Person] = {
            role: site.person(is_staff=role is Role.STAFF) for role in Role if role is not Role.ANONYMOUS
        }
        browsers = {role: Browser(site.client) for role in Role}
        for role, person in people.items():
            browsers[role].log_in(person.email, PASSWORD)
        seller, buyer = people[Role.SELLER], people[Role.BUYER]
        product = seller.list(name="Secret kettle", cost="4317.99", price="4500.00", stock=20)["id"]
        order = site.sell(buyer, (product, 1))["id"]
        policy = answer(seller.post("/pricing/api/v1/policies/", {"name": "Mine", "strategy": "hill_climb"}), 201)["id"]
        endpoint = answer(
            seller.post("/webhooks/api/v1/", {"url": "https://example.com/", "topics": ["order.paid"]}), 201
        )["id"]
        ids = {
            "products": product, "product": product, "orders": order, "order": order, "sales": order,
            "policies": policy, "policy": policy, "webhooks": endpoint, "endpoints": endpoint, "endpoint": endpoint,
            "users": buyer.id,
        }  # fmt: skip
        yield Stage(site, people, browsers, Objects(ids))


def name_of(page: Page) -> str:
    return f"{page.method} {page.path}"


def is_of_an_object(page: Page) -> bool:
    return "{" in page.path


@pytest.mark.parametrize("page", [page for page in PAGES if page.method == "GET"], ids=name_of)
@pytest.mark.parametrize("role", Role)
def test_each_role_gets_the_pages_that_it_may_see(stage: Stage, role: Role, page: Page) -> None:
    response = stage.browsers[role].send("GET", stage.objects.path(page))
    is_anonymous, is_staff = role is Role.ANONYMOUS, role is Role.STAFF
    if page.access is not Access.PUBLIC and is_anonymous:
        assert (response.status_code, response.headers["location"][:9]) == (303, "/log-in/?")
    elif page.access is Access.STAFF and not is_staff:
        assert response.status_code == 403
    else:
        assert response.status_code in {200, 303, 403, 404}, response.text
        if not is_of_an_object(page):
            assert response.status_code in {200, 303}, response.text
    if role not in {Role.SELLER, Role.STAFF}:
        assert SECRET not in response.text
        assert "4317" not in response.text


@pytest.mark.parametrize("page", [page for page in PAGES if page.path.startswith("/seller/")], ids=name_of)
def test_what_belongs_to_a_seller_is_hidden_from_other_sellers(stage: Stage, page: Page) -> None:
    if page.method == "GET" and is_of_an_object(page):
        response = stage.browsers[Role.OTHER_SELLER].get(stage.objects.path(page))
        assert "Secret kettle" not in response.text
        assert "Mine" not in response.text


@pytest.mark.parametrize("page", [page for page in PAGES if page.method == "POST"], ids=name_of)
@pytest.mark.parametrize("role", [Role.ANONYMOUS, Role.OTHER_BUYER, Role.OTHER_SELLER])
def test_refused_actions_leave_all_data_as_they_are(stage: Stage, role: Role, page: Page) -> None:
    """Strangers send every action on things of the seller and the buyer; fields that an action needs are missing, so
    an action without an object changes nothing either.
    """
    before = stage.state()
    response = stage.browsers[role].post(stage.objects.path(page))
    if page.access is not Access.PUBLIC and role is Role.ANONYMOUS:
        assert response.headers["location"].startswith("/log-in/")
    elif page.access is Access.STAFF:
        assert response.status_code == 403
    assert response.status_code < 500, response.text
    after = stage.state()
    changed = [name for name in before if not is_same(before[name], after[name])]
    assert set(changed) <= OWN_CHANGES.get(page.path, set())
    if role is not Role.ANONYMOUS and "session" not in stage.browsers[role].cookies:
        stage.browsers[role].log_in(stage.people[role].email, PASSWORD)


def is_same(before: Any, after: Any) -> bool:
    """Whether a table holds equal rows: each write stores a copy, which a refused action may leave as it was."""
    if isinstance(before, list):
        return len(before) == len(after)
    return before.keys() == after.keys() and all(
        before[key] is after[key] or before[key] == after[key] for key in before
    )


@pytest.mark.parametrize("page", [page for page in PAGES if page.method == "POST"], ids=name_of)
def test_no_action_is_done_without_its_form(stage: Stage, page: Page) -> None:
    before = stage.state()
    path = stage.objects.path(page)
    browser = stage.browsers[Role.STAFF]
    assert browser.send("POST", path, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 403
    other_site = browser.send(
        "POST", path, data={"form_token": browser.token()}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert other_site.status_code == 403
    assert all(is_same(before[name], rows) for name, rows in stage.state().items())


def test_each_area_with_actions_has_pages() -> None:
    assert {page.method for page in PAGES} == {"GET", "POST"}
    prefixes = {page.path.split("/")[1] for page in PAGES if page.method == "GET"}
    actions = {page.path.split("/")[1] for page in PAGES if page.method == "POST"}
    assert actions - prefixes <= {"log-out", "preferences"}
