"""Records refused requests in the security log."""

from starlette.types import Scope

from adapters.http.framework.client_address import client_address
from adapters.http.framework.middleware import ErrorListener
from scalecommerce_core.domain import errors
from scalecommerce_core.ports import SecurityEvent, SecurityEventKind, SecurityLog


def record_refusals(log: SecurityLog) -> ErrorListener:
    """Return a listener that records invalid tokens, missing rights, exceeded limits, reached quotas and shed load.

    A request without a token is not recorded: clients send such requests in normal operation. Nor is a failed or
    refused log-in, which the use case records with the account.
    """

    def record(error: Exception, scope: Scope) -> None:
        match error:
            case errors.TokenNotValid() | errors.Forbidden():
                kind = SecurityEventKind.ACCESS_REFUSED
            case errors.TooManyAttempts(is_recorded=True):
                return
            case errors.TooManyAttempts() | errors.QuotaReached():
                kind = SecurityEventKind.LIMIT_REACHED
            case errors.Overloaded():
                kind = SecurityEventKind.OVERLOAD_SHED
            case _:
                return
        detail = f"{error.code}: {error}" if isinstance(error, errors.TokenNotValid) else error.code
        log.record(SecurityEvent(kind, scope.get("account_id"), client_address(scope), detail))

    return record
