"""What the OpenAPI document shows of an operation beside its schemas: requests that work, responses, refusals."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from adapters.http.problems import Problem
from scalecommerce_core.domain.errors import MarketError


@frozen(kw_only=True)
class Example:
    """Examples of one operation; its requests work on a fresh demo market, operation after operation.

    `parameters` are values of path and query parameters by name, which a browser of the document fills in. Each
    response is a Struct of the type that the operation declares for its status, or a JSON value for one that has none.
    """

    parameters: Mapping[str, Any] = {}
    body: Mapping[str, Any] | None = None
    alternatives: Mapping[str, Mapping[str, Any]] = {}
    """Further bodies by what they are for."""
    responses: Mapping[int, Any] = {}
    mistake: Mapping[str, Any] = {}
    """A body that is refused, whose field errors the document shows; by default, required fields are missing."""
    refusals: Sequence[Problem | MarketError] = ()
    """Problems as this operation words them, in place of the general documents of their codes."""
