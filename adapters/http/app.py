"""The whole HTTP API over its dependencies."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette

from adapters.http.dependencies import Dependencies
from adapters.http.examples import EXAMPLES
from adapters.http.examples.demo_market import GUIDE
from adapters.http.framework.application import build_application
from adapters.http.framework.operation import Operation
from adapters.http.resources import (
    categories,
    events,
    health,
    orders,
    pricing_assignments,
    pricing_policies,
    pricing_runs,
    products,
    search,
    statistics,
    stock,
    users,
    webhooks,
)
from adapters.http.resources.product_fast_path import ProductFastPath

RESOURCES: Final = (
    users, search, products, statistics, stock, categories, orders, pricing_policies, pricing_assignments, pricing_runs,
    events, webhooks, health,
)  # fmt: skip


def operations(dependencies: Dependencies) -> list[Operation[Any, Any]]:
    """All operations of the API."""
    return [operation for resource in RESOURCES for operation in resource.operations(dependencies)]


def create_app(
    dependencies: Dependencies,
    *,
    version: str,
    on_start: Callable[[], None] = lambda: None,
    on_close: Callable[[], None] = lambda: None,
) -> Starlette:
    """The ASGI application; `on_start` is called on its loop. At its end it answers who still waits, then calls
    `on_close`.
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
        authenticate=dependencies.market.accounts.identify,
        version=version,
        currency=dependencies.market.currency,
        lifespan=lifespan,
        examples=EXAMPLES,
        guide=GUIDE,
        fast_path=ProductFastPath(
            dependencies.cache.products, dependencies.view_tracker, dependencies.market.accounts.identify
        ),
    )
