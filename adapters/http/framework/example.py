"""Examples of an operation in the OpenAPI document: requests that work, responses, problems."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from adapters.http.framework.problems import Problem
from scalecommerce_core.domain.errors import MarketError


@frozen(kw_only=True)
class Example:
    """Examples of one operation; requests of all operations work in order on a fresh demo market.

    `parameters` are values of path and query parameters by name, which `/docs` fills in. Each
    response is a Struct of the type that the operation declares for its status, or a JSON value for one that has none.
    """

    parameters: Mapping[str, Any] = {}
    body: Mapping[str, Any] | None = None
    alternatives: Mapping[str, Mapping[str, Any]] = {}
    """Further request bodies, by their purpose."""
    responses: Mapping[int, Any] = {}
    invalid_body: Mapping[str, Any] = {}
    """An invalid body whose field errors the document shows; by default, one without the required fields."""
    problems: Sequence[Problem | MarketError] = ()
    """Problems with this operation's own wording, in place of the general example of their code."""
