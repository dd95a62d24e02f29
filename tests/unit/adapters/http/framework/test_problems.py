from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from adapters.http.framework.problems import ProblemSchema, internal_error, problem_from_error
from scalecommerce_core.domain import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("product", 5), 404),
        (errors.Invalid({"price": ["Too low."]}), 400),
        (errors.EventsForgotten(5, 9), 410),
        (errors.Refused("No."), 400),
        (errors.NotAuthenticated("Who?"), 401),
        (errors.TokenNotValid("Expired."), 401),
        (errors.Forbidden("Not yours."), 403),
        (errors.IdempotencyKeyReused("Used."), 422),
        (errors.TooManyAttempts("Later.", timedelta(seconds=1.2)), 429),
        (errors.StockMoved(5, 3, 2), 409),
        (errors.TransitionNotAllowed(7, "PAID", "cancel"), 409),
        (errors.VersionMismatch("Edited."), 412),
        (errors.Overloaded("Full."), 503),
        (errors.MarketError(), 400),
    ],
)
def test_every_error_has_its_status_and_code(error: errors.MarketError, status: int) -> None:
    response = problem_from_error(error).response()
    document = msgspec.json.decode(response.body, type=ProblemSchema)
    assert response.status_code == document.status == status
    assert document.code == error.code
    assert document.detail


def tree(kind: type[errors.MarketError]) -> Iterator[type[errors.MarketError]]:
    yield kind
    for leaf in kind.__subclasses__():
        yield from tree(leaf)


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in tree(errors.MarketError) if kind.__module__ == errors.__name__]
    assert len(codes) == len(set(codes))


def test_headers_depend_on_the_error() -> None:
    late = problem_from_error(errors.TooManyAttempts("Later.", timedelta(seconds=1.2)))
    assert late.headers == {"Retry-After": "2"}
    assert problem_from_error(errors.Unavailable("Away.")).headers == {"Retry-After": "2"}
    assert problem_from_error(errors.NotAuthenticated("Who?")).headers == {
        "WWW-Authenticate": 'Bearer realm="scalecommerce"'
    }
    assert 'error="invalid_token"' in problem_from_error(errors.TokenNotValid("Old.")).headers["WWW-Authenticate"]


def test_problems_have_extension_members() -> None:
    document = msgspec.json.decode(problem_from_error(errors.PriceMoved(5, "9.99")).response().body)
    assert (document["product_id"], document["current"]) == (5, "9.99")


def test_an_unexpected_error_discloses_only_the_request_id() -> None:
    document = msgspec.json.decode(internal_error("r1").response().body)
    assert document["request_id"] == "r1"
    assert document["code"] == "internal"
