import json
import re
from decimal import Decimal
from typing import Any

import pytest
from httpx2 import Client
from jsonschema_rs import Draft202012Validator

from adapters.http.framework.money_fields import Price, convert_amounts
from adapters.http.framework.openapi import build_document
from adapters.http.framework.operation import Link, Operation, ResponseSpec
from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.money import Money
from tests.unit.support.http_marketplace import Marketplace, answer, marketplace


@pytest.fixture
def described(client: Client) -> Any:
    return client.get("/openapi.json").json()


def test_every_operation_is_described(described: Any) -> None:
    assert described["openapi"] == "3.1.0"
    assert {path: sorted(methods) for path, methods in described["paths"].items()} == {
        "/things/": ["get", "post"],
        "/things/{id}/": ["delete", "get"],
        "/crash/": ["get"],
        "/staff/": ["get"],
    }


def test_documented_responses_follow_from_the_declaration(described: Any) -> None:
    paths = described["paths"]
    assert sorted(paths["/things/"]["post"]["responses"]) == [
        "201", "400", "401", "403", "406", "409", "413", "415", "422", "503",
    ]  # fmt: skip
    assert sorted(paths["/things/{id}/"]["delete"]["responses"]) == ["204", "400", "401", "403", "404", "412", "503"]
    assert sorted(paths["/staff/"]["get"]["responses"]) == ["200", "400", "401", "403", "406", "503"]


def test_headers_links_and_security_are_documented(described: Any) -> None:
    made = described["paths"]["/things/"]["post"]
    assert sorted(made["responses"]["201"]["headers"]) == ["ETag", "Location"]
    assert made["responses"]["201"]["links"]["read_thing"] == {
        "operationId": "read_thing",
        "parameters": {"id": "$response.body#/id"},
    }
    assert made["security"] == [{"bearer": []}]
    assert described["paths"]["/things/{id}/"]["get"]["security"] == [{}, {"bearer": []}]
    assert [each["name"] for each in made["parameters"]] == ["Idempotency-Key"]
    assert list(made["responses"]["401"]["headers"]) == ["WWW-Authenticate"]


def test_query_parameters_are_listed_one_by_one(described: Any) -> None:
    parameters = {each["name"]: each for each in described["paths"]["/things/"]["get"]["parameters"]}
    assert parameters["page_size"]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "default": 20,
        "examples": [50],
    }
    assert parameters["brand"]["schema"]["type"] == "array"
    assert parameters["price_min"]["schema"]["type"] == "string"
    assert "Things" not in described["components"]["schemas"]


COMPONENTS = """
    AccountActionDocument AccountDeletedProblem AccountDocument AmountEstimateDocument ApiKeyDocument
    ApiKeyListDocument AppointmentBody AssignmentDocument AssignmentPatch Attempt AttentionDocument
    AuditAction AuditEntryDocument BacklogsDocument BothProofsBody CategoryDocument CategoryList
    CategoryPatch CategoryRefDocument CodeBody ConflictProblem ConnectionLostProblem ConsumerLagDocument
    ContentTooLargeProblem Credentials CurvePointDocument DeadlineExceededProblem DecisionDocument
    DecisionInputDocument DecisionTextDocument DeletionBody Delivery DeliveryPendingProblem DeliveryStatus
    DemandCurveDocument
    ElasticityBeliefDocument EmailChangeBody EmailDisabledProblem EmailNotVerifiedProblem EmailTokenBody
    EndpointDisabledProblem EndpointDocument EndpointPatch EndpointUnverifiedProblem EnrolmentDocument
    EstimateDocument EventDocument EventsForgottenProblem ExperimentDocument ExperimentInProgressProblem
    ExperimentKind ExperimentNotPossibleProblem ExperimentResultDocument ExperimentStatus
    ExperimentSummaryDocument Facet FacetDocument FeedDocument FiguresAtPriceDocument ForbiddenProblem
    GatewayUnavailableProblem Health IdempotencyKeyInFlightProblem IdempotencyKeyReusedProblem
    ImportedLineDocument InternalProblem Interval InvalidProblem LastStaffAccountProblem LineFate
    LogInTokens MalformedProblem Measure MessageDocument MessageParameterDocument MethodNotAllowedProblem
    MisdirectedRequestProblem Motive MovementDocument MovementKind NewApiKey NewApiKeyDocument NewCategory
    NewEndpoint NewEndpointDocument NewExperiment NewOrder NewOrderItem NewPolicy NewProduct
    NewPromotedProduct NewPromotion NotAcceptableProblem NotAuthenticatedProblem NotFoundProblem Nothing
    NothingToRetryProblem OrderBacklogFullProblem OrderDocument OrderItem OrderMoment OrderOrigin
    OrderRefundDocument OrderStatus Ordering
    OrdersOpenProblem Outcome OverloadedProblem OwnAccountProblem PageAnswer_AuditEntryDocument_
    PageAnswer_Delivery_ PageAnswer_EndpointDocument_ PageAnswer_ExperimentDocument_
    PageAnswer_OrderDocument_ PageAnswer_PolicyDocument_ PageAnswer_Product_
    PageAnswer_PromotedProductDocument_ PageAnswer_PromotionDocument_ PageAnswer_RunDocument_
    PageAnswer_Sale_ PageAnswer_StaffEndpointDocument_ PageAnswer_StaffOrderDocument_
    PageAnswer_StaffProductDocument_ PageAnswer_StockMovementDocument_ PageAnswer_StockOutlookDocument_
    PageAnswer_StoredDecisionDocument_ PageAnswer_User_ ParameterDocument PasswordBody PasswordProofBody
    PaymentBody PaymentDeclinedProblem PaymentDocument PaymentInProgressProblem PaymentRefundDocument
    PaymentStatus PaymentTooLateProblem PersonalDataDocument PointDocument PolicyDocument
    PolicyFailedProblem PolicyKindDocument PolicyKindsDocument PolicyPatch PolicyUnknownProblem
    PreconditionFailedProblem PreviewDocument PriceCause PriceExplanationDocument PriceHistoryDocument
    PriceIntervalDocument PriceMoveDocument PriceMovedProblem PriceStatisticsDocument PriceWithdrawalBody
    PricingStopDocument ProblemDocument Product ProductImportBody ProductImportDocument ProductListDocument
    ProductPage ProductPatch ProductPut ProductSalesDocument ProductStatisticsDocument ProfileBody
    PromotedProductDocument PromotionDocument PromotionInForceDocument PromotionNote PromotionOverProblem
    PromotionPatch PromotionStatus PromotionsOverlapProblem QuoteDocument QuoteListDocument QuoteRequest
    QuoteRequestItem Ready ReasonBody RecoveryCodesDocument ReductionDocument RefreshBody RefundBody
    RefundDocument RefundItem RefundStatus RefusedProblem RejectionReason
    RequestHeaderFieldsTooLargeProblem
    RequestTimeoutProblem ResetBody ResetRequestBody RetryDocument RotationBody RunDocument
    RunNotAwaitingApprovalProblem RunNotReversibleProblem RunStatus Sale SaleState SalesReportDocument Scope
    SecondFactorDocument SecondFactorEnabledProblem SecondFactorNotEnabledProblem
    SecondFactorRejectedProblem SecondFactorRequiredProblem SecretDocument SecretShownOnceProblem SellerDocument
    SellerStatsSeriesDocument SessionDocument SessionListDocument ShortfallDocument SignUpBody SoldDocument
    StaffEndpointDocument StaffOrderDetailsDocument StaffOrderDocument StaffOrderLineDocument
    StaffProductDocument StockBody StockDocument StockLevel StockMovedProblem StockMovementDocument
    StockOutlookDocument StoredDecisionDocument TargetKind TimelineEntryDocument TokenNotValidProblem Tokens
    TooManyApiKeysProblem TooManyAttemptsProblem TooManyEndpointsProblem TooManyOpenOrdersProblem
    TooManyPoliciesProblem TooManyPromotionsProblem TopProductDocument TransactionAbortedProblem
    TransitionNotAllowedProblem Trigger TroubleDocument TroubleItemDocument TroubleKind UnavailableProblem
    UnsupportedMediaTypeProblem UriTooLongProblem User Verdict VerifyBody VersionMismatchProblem
""".split()  # noqa: SIM905 - one name per line would fill two pages


def test_names_of_components_are_stable(place: Marketplace) -> None:
    """Generated clients contain these names. Add new components to the list."""
    assert sorted(place.client.get("/openapi.json").json()["components"]["schemas"]) == COMPONENTS


RESOURCES = {
    "products": "product", "orders": "order", "policies": "policy", "runs": "run", "webhooks": "webhook endpoint",
    "deliveries": "delivery", "sessions": "session", "api-keys": "API key", "users": "account",
    "experiments": "experiment",
    "promotions": "promotion", "payments": "payment", "refunds": "refund", "emails": "e-mail",
}  # fmt: skip
"""The resource that an id names, by the collection before it in the path."""


def test_the_description_of_an_id_names_the_resource_of_its_path(place: Marketplace) -> None:
    described = {}
    for path, operations in place.client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    before = [
                        word for word in path.partition(f"{{{parameter['name']}}}")[0].split("/") if word in RESOURCES
                    ]
                    described[path, method] = parameter["description"], f"Id of the {RESOURCES[before[-1]]}."
    assert len(described) > 30
    assert {at: texts for at, texts in described.items() if texts[0] != texts[1]} == {}


def test_all_references_resolve(described: Any) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)))
    assert names <= set(described["components"]["schemas"])
    for schema in described["components"]["schemas"].values():
        Draft202012Validator(schema | {"components": described["components"]})


TAKEN: dict[str, list[object]] = {
    "USD": ["0.01", "1", "99999999.99", "10.5", 5, 6.21],
    "JPY": ["1", "1999", "9999999999", 5],
    "KWD": ["0.001", "0.25", "1.999", "9999999.999", 5, 6.215],
    "CLF": ["0.0001", "999999.9999", 1],
}
REFUSED: dict[str, list[object]] = {
    "USD": ["0", "0.00", "0.001", "1.290", "01", "-1", "1e3", "100000000", 0, -5, 100_000_000],
    "JPY": ["0", "0.5", "1.0", "19.99", "10000000000", 0, 0.5],
    "KWD": ["0", "0.000", "0.0001", "1.0000", "10000000"],
    "CLF": ["0.00001", "1000000"],
}


@pytest.mark.parametrize(("currency", "value"), [(code, value) for code, values in TAKEN.items() for value in values])
def test_the_schema_of_a_price_accepts_what_the_code_accepts(currency: str, value: object) -> None:
    for written in (Decimal(str(value)), str(value)):
        assert convert_amounts(currency, {"price": Price.parse(written)})["price"] == Money.of(str(value), currency)
    assert Draft202012Validator(Price.json_schema(currency)).is_valid(value)


@pytest.mark.parametrize(("currency", "value"), [(code, value) for code, values in REFUSED.items() for value in values])
def test_the_schema_of_a_price_rejects_what_the_code_rejects(currency: str, value: object) -> None:
    with pytest.raises((ValueError, Invalid), match=r"\."):
        convert_amounts(currency, {"price": Price.parse(Decimal(str(value)) if isinstance(value, float) else value)})
    assert not Draft202012Validator(Price.json_schema(currency)).is_valid(value)


def test_amounts_that_differ_in_trailing_zeros_are_equal() -> None:
    amounts = [Price.parse(written) for written in ("9.9", "9.90", Decimal("9.9"), Decimal("9.900"))]
    assert {str(amount) for amount in amounts} == {"9.9"}
    assert [amount.as_text() for amount in amounts] == ["9.9", "9.90", "9.9", "9.9"]


def test_the_schema_of_amounts_depends_on_the_currency() -> None:
    price = Price.json_schema("JPY")
    assert price["description"] == "1 to 9999999999, as decimal string or number."
    assert Price.json_schema("KWD")["examples"] == ["0.999", 20]
    with marketplace(currency="JPY") as place:
        described = answer(place.anybody.get("/openapi.json"))
    new = described["components"]["schemas"]["NewProduct"]["properties"]["price"]
    assert new["anyOf"] == price["anyOf"]


def operation(name: str, to: str) -> Operation:
    async def nothing(_call: Any) -> Any: ...

    answer = ResponseSpec(None, "Nothing.", links=[Link(to)])
    return Operation(
        method="GET", path=f"/{name}/", name=name, summary="", tag="", handler=nothing, responses={204: answer}
    )


def test_contradictory_declarations_are_rejected_at_startup() -> None:
    with pytest.raises(ValueError, match="unknown operations: b"):
        build_document([operation("a", "b")], version="1")
    with pytest.raises(ValueError, match="are named a"):
        build_document([operation("a", "a"), operation("a", "a")], version="1")


def test_swagger_ui_loads_nothing_from_other_hosts(client: Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert not [source for source in sources if "//" in source]
    assert "script-src 'self';" in page.headers["content-security-policy"]
    for source in sources:
        if source.startswith("docs/"):
            asset = client.get(f"/{source}")
            assert asset.status_code == 200
            assert asset.headers["content-encoding"] == "gzip"
            assert len(asset.content) > 100
            assert client.get(f"/{source}", headers={"If-None-Match": asset.headers["etag"]}).status_code == 304


def test_swagger_ui_follows_the_color_scheme_of_the_browser(client: Client) -> None:
    page = client.get("/docs").text
    # The script precedes all styles, so that a dark page is not white at first.
    assert page.index("docs/theme.js") < page.index("docs/swagger-ui.css") < page.index("docs/page.css")
    theme = client.get("/docs/theme.js").text
    assert "prefers-color-scheme: dark" in theme
    (name,) = re.findall(r'classList.toggle\("([\w-]+)"', theme)
    assert f"html.{name} .swagger-ui" in client.get("/docs/swagger-ui.css").text


def test_swagger_ui_has_the_functions_that_the_script_calls(client: Client) -> None:
    """A new release of the wheel may change the plug-in functions of Swagger UI."""
    script, bundle = client.get("/docs/start.js").text, client.get("/docs/swagger-ui-bundle.js").text
    called = set(re.findall(r"(?:oas3Actions|specSelectors|ui)\.(\w+)\(", script)) - {"getSystem"}
    assert {"setRequestBodyValue", "setRetainRequestBodyValueFlag", "preauthorizeApiKey", "specJson"} == called
    for name in (*called, "operationsSorter", "responseInterceptor"):
        assert name in bundle


@pytest.mark.parametrize("name", ["nothing.js", "%2e%2e", "..%2f__init__.py"])
def test_only_the_files_of_swagger_ui_are_served(client: Client, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_the_document_is_cacheable(client: Client) -> None:
    etag = client.get("/openapi.json").headers["etag"]
    assert client.get("/openapi.json", headers={"If-None-Match": etag}).status_code == 304


def test_every_field_with_a_pattern_or_bound_has_an_example(place: Marketplace) -> None:
    """Without an example, Swagger UI generates one from the pattern or the bounds."""
    described = place.client.get("/openapi.json").json()
    lacking = [
        (name, field)
        for name, schema in described["components"]["schemas"].items()
        for field, property_ in schema.get("properties", {}).items()
        if re.search("pattern|minimum|maximum", json.dumps(property_)) and "examples" not in json.dumps(property_)
        if name != "ProblemDocument"
    ]
    assert lacking == []
