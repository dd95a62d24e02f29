"""Examples of an operation in the OpenAPI document: requests, responses and problems."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from adapters.http.framework.problems import Problem
from scalecommerce_core.domain.errors import MarketError


@frozen(kw_only=True)
class Example:
    """Examples of one operation. The requests of all operations succeed on a fresh demo market, in document order,
    except for those with `is_refused`.

    `parameters` are values of path and query parameters by name, which `/docs` fills in. Each response is an instance
    of the type that the operation declares for its status, or a JSON value.
    """

    parameters: Mapping[str, Any] = {}
    body: Mapping[str, Any] | None = None
    alternatives: Mapping[str, Mapping[str, Any]] = {}
    """Further request bodies by title."""
    responses: Mapping[int, Any] = {}
    invalid_body: Mapping[str, Any] = {}
    """An invalid body for the example of field errors; by default, a body without the required fields."""
    is_refused: bool = False
    """Whether the example is refused with a 400, 404 or 409: it needs a token, code or id that only its owner gets."""
    problems: Sequence[Problem | MarketError] = ()
    """Problems with messages of this operation, which replace the general examples of their codes."""
