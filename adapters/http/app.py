"""The HTTP API as an ASGI application."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from adapters.http.dependencies import Dependencies
from adapters.http.examples import EXAMPLES
from adapters.http.examples.demo_market import GUIDE
from adapters.http.framework.application import build_application
from adapters.http.framework.middleware import DEFAULT_POLICY, RequestPolicy, ResponseListener
from adapters.http.framework.operation import Operation, operations_of
from adapters.http.refusals import record_refusals
from adapters.http.resources.account_administration import AccountAdministrationResource
from adapters.http.resources.account_emails import EmailVerificationResource, PasswordResetResource
from adapters.http.resources.all_orders import AllOrdersResource
from adapters.http.resources.all_products import AllProductsResource
from adapters.http.resources.all_webhooks import AllWebhooksResource
from adapters.http.resources.api_keys import ApiKeyResource
from adapters.http.resources.audit import AuditResource
from adapters.http.resources.categories import CategoryResource
from adapters.http.resources.events import EventResource
from adapters.http.resources.health import HealthResource
from adapters.http.resources.operations import OperationsResource
from adapters.http.resources.orders import OrderResource
from adapters.http.resources.personal_data import PersonalDataResource
from adapters.http.resources.pricing_assignments import PricingAssignmentResource
from adapters.http.resources.pricing_experiments import PricingExperimentResource
from adapters.http.resources.pricing_explanations import PriceExplanationResource
from adapters.http.resources.pricing_policies import PricingPolicyResource
from adapters.http.resources.pricing_runs import PricingRunResource
from adapters.http.resources.pricing_stop import PricingStopResource
from adapters.http.resources.product_fast_path import ProductFastPath
from adapters.http.resources.product_files import ProductFileResource
from adapters.http.resources.products import PRODUCT, ProductResource
from adapters.http.resources.promotions import PromotionResource
from adapters.http.resources.search import SearchResource
from adapters.http.resources.second_factor import SecondFactorResource
from adapters.http.resources.sessions import SessionResource
from adapters.http.resources.statistics import StatisticsResource
from adapters.http.resources.stock import StockResource
from adapters.http.resources.users import UserResource
from adapters.http.resources.webhooks import WebhookResource

RESOURCES: Final[Sequence[Callable[[Dependencies], object]]] = (
    UserResource, SessionResource, ApiKeyResource, AccountAdministrationResource, PasswordResetResource,
    EmailVerificationResource, SecondFactorResource, PersonalDataResource, SearchResource, ProductResource,
    ProductFileResource, StatisticsResource, StockResource, CategoryResource, OrderResource, PricingPolicyResource,
    PricingAssignmentResource, PriceExplanationResource, PricingRunResource, PricingStopResource, PromotionResource,
    PricingExperimentResource, EventResource, WebhookResource, OperationsResource, AllOrdersResource,
    AllProductsResource, AllWebhooksResource, AuditResource, HealthResource,
)  # fmt: skip
"""Classes of resources, in the order of the OpenAPI document."""


def operations(dependencies: Dependencies) -> list[Operation]:
    """All operations of the API."""
    return [
        operation
        for resource in RESOURCES
        for operation in operations_of(resource(dependencies), dependencies.cache.lists.cached)
    ]


def create_app(
    dependencies: Dependencies,
    *,
    version: str,
    policy: RequestPolicy = DEFAULT_POLICY,
    on_start: Callable[[], None] = lambda: None,
    on_close: Callable[[], None] = lambda: None,
    pages: Sequence[BaseRoute] = (),
    on_response: ResponseListener | None = None,
) -> Starlette:
    """Build the ASGI application; `pages` are routes of another adapter, which are tried after the operations.

    `on_start` is called in the event loop before the first request. At shutdown the application answers all pending
    requests, closes `dependencies`, and then calls `on_close`.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        on_start()
        dependencies.start()
        yield
        await dependencies.close()
        on_close()

    return build_application(
        operations(dependencies),
        authenticate=dependencies.authenticator,
        version=version,
        currency=dependencies.market.currency,
        lifespan=lifespan,
        examples=EXAMPLES,
        guide=GUIDE,
        fast_path=ProductFastPath(
            dependencies.cache.products,
            dependencies.view_tracker,
            dependencies.authenticator.identify_from_memory,
            policy.hosts,
        ),
        on_error=record_refusals(dependencies.security_log),
        policy=policy,
        pages=pages,
        on_response=on_response,
        fast_path_route=PRODUCT,
    )
