"""Everything that can go wrong, as a tree that callers can catch at the level they care about.

MarketError
├── NotFound                 the thing does not exist, or not for this caller
├── EventsForgotten          the reader of the feed is further behind than events are kept
├── Refused                  the request breaks a rule; asking again will not help
│   ├── Invalid              …because of these fields
│   ├── NotAuthenticated     …because nobody, or nobody valid, asks
│   │   └── TokenNotValid
│   ├── Forbidden            …because somebody else may, but not this caller
│   ├── IdempotencyKeyReused …because the key was used for another request
│   └── TooManyAttempts      …for now
├── Conflict                 the request was fine, but the world has moved
│   ├── TransitionNotAllowed
│   ├── StockMoved
│   ├── PriceMoved
│   ├── InsufficientStock
│   ├── VersionMismatch
│   ├── PaymentInProgress
│   ├── PaymentDeclined
│   ├── PaymentTooLate
│   └── IdempotencyKeyInFlight
└── Unavailable              the store cannot answer; nothing was written that is not said to be
    ├── TransactionAborted   …but trying again at once is likely to work
    ├── Overloaded
    ├── SchemaMismatch       the store has the tables of an older or a newer release
    └── GatewayUnavailable   the payment gateway: whether money moved is not known yet
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar


class MarketError(Exception):
    """Base of all errors; `code` is a stable word for programs, `str(error)` a sentence for people."""

    code: ClassVar[str] = "error"


class NotFound(MarketError):
    """`kind` number `key` does not exist, or is not visible to the caller."""

    code = "not_found"

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"There is no {kind} {key}.")
        self.kind = kind
        self.key = key


class EventsForgotten(MarketError):
    """`after` lies before what is kept of the feed; `oldest_after` is where it can be read from."""

    code = "events_forgotten"

    def __init__(self, after: int, oldest_after: int) -> None:
        super().__init__(
            f"Events up to {oldest_after} are not kept any more, and you have read up to {after}: read the present"
            f" state of what you follow, then go on with after={oldest_after}."
        )
        self.after = after
        self.oldest_after = oldest_after


class Refused(MarketError):
    """The request breaks a rule of the marketplace."""

    code = "refused"


class Invalid(Refused):
    """Fields with messages: `{"price": ["…"], "order_item[0].quantity": ["…"]}`."""

    code = "invalid"

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__("; ".join(f"{field}: {' '.join(said)}" for field, said in errors.items()))
        self.errors: dict[str, list[str]] = {field: list(said) for field, said in errors.items()}

    @classmethod
    def field(cls, name: str, message: str) -> "Invalid":
        return cls({name: [message]})


class NotAuthenticated(Refused):
    """Nobody is logged in, or the credentials are wrong."""

    code = "not_authenticated"


class TokenNotValid(NotAuthenticated):
    """The token is malformed, expired, revoked or of the wrong kind."""

    code = "token_not_valid"


class Forbidden(Refused):
    """The caller is known, and may not do this."""

    code = "forbidden"


class IdempotencyKeyReused(Refused):
    """The key was already used by this account for a different request."""

    code = "idempotency_key_reused"


class TooManyAttempts(Refused):
    """`retry_after` tells how long to wait."""

    code = "too_many_attempts"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(MarketError):
    """The request does not fit the present state."""

    code = "conflict"


class TransitionNotAllowed(Conflict):
    """An order in `status` does not allow `action`."""

    code = "transition_not_allowed"

    def __init__(self, order_id: int, status: str, action: str) -> None:
        super().__init__(f"Order {order_id} is {status}: it cannot {action} any more.")
        self.order_id = order_id
        self.status = status
        self.action = action


class StockMoved(Conflict):
    """Compare-and-set on stock failed: `actual` is the figure now."""

    code = "stock_moved"

    def __init__(self, product_id: int, expected: int, actual: int) -> None:
        super().__init__(f"The stock of product {product_id} is {actual}, not {expected}: read it again.")
        self.product_id = product_id
        self.expected = expected
        self.actual = actual


class PriceMoved(Conflict):
    """The promised price is not in force any more; `current` is (decimal string and currency)."""

    code = "price_moved"

    def __init__(self, product_id: int, current: str) -> None:
        super().__init__(f"The price of product {product_id} is {current} now: confirm it and order again.")
        self.product_id = product_id
        self.current = current


class InsufficientStock(Conflict):
    """Less than `wanted` units can be taken: `available` are left."""

    code = "insufficient_stock"

    def __init__(self, product_id: int, wanted: int, available: int) -> None:
        super().__init__(f"Product {product_id}: {wanted} wanted, {available} available.")
        self.product_id = product_id
        self.wanted = wanted
        self.available = available


class VersionMismatch(Conflict):
    """Somebody edited the resource since the caller read it (HTTP's If-Match)."""

    code = "version_mismatch"


class PaymentInProgress(Conflict):
    """The order is being paid: until that is settled it can neither be paid again nor be cancelled."""

    code = "payment_in_progress"

    def __init__(self, order_id: int) -> None:
        super().__init__(f"Order {order_id} is being paid: look at it again in a moment.")
        self.order_id = order_id


class PaymentDeclined(Conflict):
    """The gateway said no, and why (`reason`, a word of its own); no money moved."""

    code = "payment_declined"

    def __init__(self, order_id: int, reason: str) -> None:
        super().__init__(f"The payment of order {order_id} was declined: {reason}.")
        self.order_id = order_id
        self.reason = reason


class PaymentTooLate(Conflict):
    """The charge went through when the order could not be paid any more: the money is sent back by itself."""

    code = "payment_too_late"

    def __init__(self, order_id: int, status: str) -> None:
        super().__init__(f"Order {order_id} was {status} before the payment came: the money is sent back.")
        self.order_id = order_id
        self.status = status


class IdempotencyKeyInFlight(Conflict):
    """A request with the same key is being worked on; its outcome will be there after `retry_after`."""

    code = "idempotency_key_in_flight"
    retry_after: timedelta = timedelta(seconds=1)


class Unavailable(MarketError):
    """The store, or something else that the engine needs, does not answer."""

    code = "unavailable"
    retry_after: timedelta = timedelta(seconds=2)


class TransactionAborted(Unavailable):
    """Deadlock, serialization failure or lock timeout: nothing was written, trying again may work."""

    code = "transaction_aborted"


class ConnectionLost(Unavailable):
    """The connection broke: the transaction may have been committed, or not."""

    code = "connection_lost"


class Overloaded(Unavailable):
    """A bounded queue is full."""

    code = "overloaded"


class SchemaMismatch(Unavailable):
    """The store has the tables of another release; the message says whether to migrate it or to upgrade the code."""

    code = "schema_mismatch"
    retry_after: timedelta = timedelta(seconds=10)


class GatewayUnavailable(Unavailable):
    """The payment gateway gave no answer: a charge or refund may have happened, or not. Asking again by key tells."""

    code = "gateway_unavailable"


class LedgerInconsistent(Exception):
    """More units were to be given back or sold than are reserved: the figures were wrong before.

    No `MarketError`, because no caller can mend it: the transaction fails as a whole, and `stock verify` tells where.
    """
