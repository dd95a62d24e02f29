"""All kinds of problems by `code`, each with a JSON Schema and example documents.

The examples are built by the code that responds to requests, so that they have the same structure.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from attrs import evolve, frozen
from starlette.datastructures import Headers
from starlette.types import Scope

from adapters.http.framework.auth import Access, read_token
from adapters.http.framework.content_negotiation import check_accepts_json
from adapters.http.framework.decoding import check_media_type, decode_body
from adapters.http.framework.etags import expected_version
from adapters.http.framework.operation import SMALL_BODY
from adapters.http.framework.problems import (
    EXTENSION_MEMBERS,
    Json,
    Problem,
    ProblemSchema,
    content_too_large,
    internal_error,
    method_not_allowed,
    misdirected_request,
    problem_from_error,
    request_timeout,
    stock_precondition_failed,
)
from adapters.http.framework.request_limits import FIELD_LIMIT, PATH_LIMIT, find_excess, join_field
from scalecommerce_core.domain import errors
from scalecommerce_core.domain.identifiers import ApiKeyId, OrderId, PolicyId, ProductId, PromotionId
from scalecommerce_core.domain.promotion import PromotionOver, PromotionsOverlap
from scalecommerce_core.domain.webhook import MAX_ENDPOINTS, DeliveryPending, EndpointDisabled, EndpointUnverified
from scalecommerce_core.ports.orders import UnsettledOrder
from scalecommerce_core.pricing.runs import RunNotAwaitingApproval, RunNotReversible
from scalecommerce_core.pricing.strategy_calls import StrategyFailed
from scalecommerce_core.services.api_keys import MAX_API_KEYS, SecretShownOnce, TooManyApiKeys
from scalecommerce_core.services.emails import EmailDisabled
from scalecommerce_core.services.experiments import ExperimentInProgress, ExperimentNotPossible
from scalecommerce_core.services.personal_data import OrdersOpen
from scalecommerce_core.services.pricing import MAX_POLICIES_PER_SELLER, TooManyPolicies
from scalecommerce_core.services.promotions import MAX_OPEN_PROMOTIONS, TooManyPromotions
from scalecommerce_core.services.repricing import StrategyUnknown
from scalecommerce_core.services.second_factor_check import SecondFactorRejected, SecondFactorRequired
from scalecommerce_core.services.second_factors import SecondFactorEnabled, SecondFactorNotEnabled
from scalecommerce_core.services.verified_accounts import EmailNotVerified
from scalecommerce_core.services.webhooks import TooManyEndpoints

MISSING_ID: Final = 999_999
"""An id that does not exist, for example documents."""


@frozen
class ProblemKind:
    """One `code`: its example documents by status, and the schemas of its extension members."""

    code: str
    documents: Mapping[int, Json]
    members: Mapping[str, Json]

    @property
    def schema_name(self) -> str:
        return "".join(word.capitalize() for word in self.code.split("_")) + "Problem"

    def schema(self, base: str) -> Json:
        """`base` is a reference to the schema of all problem documents."""
        properties = {"code": {"const": self.code}, "status": {"enum": list(self.documents)}, **self.members}
        return {
            "title": self.schema_name,
            "allOf": [{"$ref": base}, {"type": "object", "properties": properties, "required": list(properties)}],
        }


def catch_problem(act: Callable[[], object]) -> Problem:
    """The problem that `act` raises; raise `AssertionError` if it raises none."""
    try:
        act()
    except Problem as problem:
        return problem
    except errors.MarketError as error:
        return problem_from_error(error)
    raise AssertionError("Nothing was raised.")


def to_problem(sample: Problem | errors.MarketError) -> Problem:
    return sample if isinstance(sample, Problem) else problem_from_error(sample)


def _authentication_problem(headers: Mapping[str, str]) -> Problem:
    return catch_problem(lambda: read_token(Headers(headers), Access.ACCOUNT))


def _excess(scope: Scope) -> Problem:
    problem = find_excess(scope, 0)
    if problem is None:
        raise AssertionError("The request is not too large.")
    return problem


SAMPLES: Final[Sequence[Problem | errors.MarketError]] = (
    catch_problem(lambda: decode_body(b'{"name": "Tea pot",}', ProblemSchema)),
    errors.Invalid.field("price", "At most 2 decimals are allowed."),
    errors.Refused("0.00 USD cannot be paid in one payment."),
    _authentication_problem({}),
    errors.TokenNotValid("The token has expired."),
    SecondFactorRequired(),
    SecondFactorRejected(),
    errors.Forbidden("Only staff may do this."),
    EmailNotVerified(),
    errors.NotFound("product", MISSING_ID),
    method_not_allowed("DELETE", ["GET", "HEAD", "OPTIONS"]),
    catch_problem(lambda: check_accepts_json(Headers({"Accept": "text/html"}))),
    errors.Conflict("The stored response cannot be decrypted: the endpoint exists, rotate its secret."),
    errors.OwnAccount("You cannot do this to your own account: ask another member of staff."),
    errors.AccountDeleted(MISSING_ID),
    errors.LastStaffAccount("This is the only active staff account: appoint another one first."),
    errors.TransitionNotAllowed(1609, "CANCELLED", "be paid"),
    errors.StockMoved(1, 40, 37),
    errors.PriceMoved(1, "264.99 USD"),
    errors.TooManyOpenOrders(50),
    errors.PaymentInProgress(1651),
    errors.PaymentDeclined(1651, "card_declined"),
    errors.PaymentTooLate(1651, "CANCELLED"),
    errors.IdempotencyKeyInFlight("A request with this idempotency key is in progress: retry in a few seconds."),
    EmailDisabled(),
    OrdersOpen([UnsettledOrder(OrderId(id_), is_own=True, is_unpaid=True) for id_ in (1651, 1660)]),
    SecondFactorEnabled(),
    SecondFactorNotEnabled(),
    TooManyPolicies(f"A seller has at most {MAX_POLICIES_PER_SELLER} policies: delete one first."),
    TooManyPromotions(f"A seller has at most {MAX_OPEN_PROMOTIONS} promotions that are not over: cancel one first."),
    PromotionOver(PromotionId(3)),
    PromotionsOverlap([ProductId(7)], PromotionId(3)),
    TooManyApiKeys(f"An account has at most {MAX_API_KEYS} API keys: revoke one first."),
    SecretShownOnce(ApiKeyId(4)),
    TooManyEndpoints(f"An account has at most {MAX_ENDPOINTS} endpoints: delete one first."),
    EndpointDisabled("This endpoint is disabled: enable it first (is_active)."),
    EndpointUnverified("This endpoint is not verified: send a test message, whose challenge the receiver must return."),
    DeliveryPending("Delivery 1 is still pending."),
    StrategyUnknown(PolicyId(7), "markup"),
    StrategyFailed("markup", "propose", "ZeroDivisionError: division by zero (markup.py, line 16)"),
    RunNotReversible("The run has not changed any price."),
    ExperimentInProgress("Experiment 1 of policy 4 is in progress: end it first."),
    ExperimentNotPossible("Policy 4 changes no prices: set its is_active to true and its is_shadow to false first."),
    RunNotAwaitingApproval("Run 12 does not await approval: its status is DONE."),
    errors.NothingToRetry("Order 1651 is not parked: it is PAID."),
    errors.EventsForgotten(100, 52_310),
    errors.VersionMismatch("The product has been edited since you read it: read it again."),
    catch_problem(lambda: expected_version(Headers({"If-Match": '"another"'}))),
    stock_precondition_failed(1, 40, 37),
    content_too_large(SMALL_BODY),
    misdirected_request(),
    catch_problem(lambda: join_field("Accept", ["a" * (FIELD_LIMIT + 1)])),
    _excess({"headers": [], "path": "a" * (PATH_LIMIT + 1), "query_string": b""}),
    request_timeout(30),
    catch_problem(lambda: check_media_type(Headers({"Content-Type": "text/plain"}))),
    errors.IdempotencyKeyReused("This idempotency key was used for another request: use a new key for a new request."),
    errors.TooManyAttempts.of("wrong passwords", timedelta(seconds=30)),
    internal_error("5f0c9a3e0000002a"),
    errors.Unavailable("The database is unreachable."),
    errors.TransactionAborted("The transaction conflicted with another one."),
    errors.ConnectionLost("The connection to the database was lost."),
    errors.Overloaded(),
    errors.OrderBacklogFull(timedelta(seconds=8)),
    errors.DeadlineExceeded.before_begin(),
    errors.GatewayUnavailable("The payment gateway has not responded yet: read the order later for the result."),
)
"""At least one problem of each kind."""

_ERRORS: Final[Json] = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "description": "Messages by field; `order_item[0].quantity` names the quantity of the first item.",
}
_REQUEST_ID: Final[Json] = {"type": "string", "description": "Id of the request in the server's log."}


def _collect_kinds() -> Mapping[str, ProblemKind]:
    found: dict[str, ProblemKind] = {}
    for sample in SAMPLES:
        problem = to_problem(sample)
        members = {} if isinstance(sample, Problem) else dict(EXTENSION_MEMBERS.get(type(sample), {}))
        if problem.errors is not None:
            members["errors"] = _ERRORS
        if "request_id" in problem.extensions:
            members["request_id"] = _REQUEST_ID
        known = found.get(problem.code, ProblemKind(problem.code, {}, members))
        found[problem.code] = evolve(known, documents={**known.documents, problem.status: problem.document()})
    return found


KINDS: Final = _collect_kinds()
"""By `code`."""
