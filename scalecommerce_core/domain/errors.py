"""All errors of the marketplace, as a tree: catch the level that you can handle.

MarketError
├── NotFound                  no such thing, or not visible to the caller: check the id
├── EventsForgotten           the reader of the feed is behind its oldest event: read the current state, then continue
├── Refused                   the request breaks a rule: sending it again does not help
│   ├── Invalid               fields have invalid values: correct the fields that `errors` names
│   ├── NotAuthenticated      no credentials, or wrong ones: log in
│   │   ├── SecondFactorRequired  the account has a second factor: send the code of the app or a recovery code
│   │   ├── SecondFactorRejected  the code is wrong or was used before: send the present one
│   │   └── TokenNotValid     the token is malformed, expired, revoked or of the wrong kind: refresh it or log in
│   ├── Forbidden             another account may do this, this one may not
│   │   └── EmailNotVerified  the account has to confirm its e-mail address first: request an e-mail
│   ├── IdempotencyKeyReused  the key was used for another request: make a new key
│   ├── TooManyAttempts       a rate limit is reached: wait for `retry_after`
│   └── NothingToSeedOn       seeding needs users or products that do not exist: seed them first
├── Conflict                  the request does not fit the present state: read the state, then decide
│   ├── OwnAccount            nobody deactivates or dismisses themselves: ask another member of staff
│   ├── AccountDeleted        the account was deleted for good: open a new one
│   ├── LastStaffAccount      no active staff account would remain: appoint another one first
│   ├── TransitionNotAllowed  the status of the order does not allow the action
│   ├── StockMoved            the stock is not what the caller expected: read it again
│   ├── PriceMoved            the price is no longer promised: confirm the current price
│   ├── InsufficientStock     fewer units are available than requested: request fewer
│   ├── VersionMismatch       the resource was edited since the caller read it: read it again
│   ├── PaymentInProgress     a payment attempt of the order is open: wait for its result
│   ├── PaymentDeclined       the gateway declined the charge: pay by another method
│   ├── PaymentTooLate        the charge succeeded too late and is sent back: place a new order
│   ├── IdempotencyKeyInFlight  a request with this key is being processed: repeat it after `retry_after`
│   ├── SecretShownOnce       the request made this secret before, and it is shown once: make another one
│   ├── Duplicate             a unique field has this value already: choose another value
│   ├── NothingToRetry        the order, payment, refund or e-mail does not wait for another try: read its state
│   ├── EndpointDisabled      nothing is sent to a disabled webhook endpoint: enable it
│   ├── EndpointUnverified    the receiver of a webhook has not returned the challenge yet
│   ├── DeliveryPending       the delivery has not been tried yet: wait for the first attempt
│   ├── QuotaReached          the account has as many of something as it may have: end or delete one first
│   │   ├── TooManyOpenOrders     open orders: pay or cancel one
│   │   ├── TooManyApiKeys        API keys: revoke one
│   │   ├── TooManyEndpoints      webhook endpoints: delete one
│   │   ├── TooManyPolicies       pricing policies, or active ones: delete or deactivate one
│   │   └── TooManyPromotions     promotions that are not over: cancel one
│   ├── SecondFactorEnabled   the account has a second factor: switch it off before setting up another one
│   ├── SecondFactorNotEnabled  the account has no second factor: set one up first
│   ├── OrdersOpen            the account has open orders, payments or refunds: settle them, then delete it
│   ├── EmailDisabled         the shop sends no e-mail: ask its operator
│   ├── PromotionOver         the promotion has ended or was cancelled: create another one
│   ├── PromotionsOverlap     a product is in another promotion at that time: choose another time or end that one
│   ├── RunInProgress         another run of the pricing policy is in progress: wait for it or cancel it
│   ├── RunNotReversible      the pricing run has changed no price, or cannot be rolled back
│   ├── RunNotAwaitingApproval  the pricing run awaits no approval, or no longer: nothing is to be approved
│   ├── ExperimentInProgress  the policy has an experiment: wait for its end, or end it
│   ├── ExperimentNotPossible  the policy changes no prices, or covers too few products: the message says what to do
│   ├── PricingStopped        the policy is switched off, or all pricing is stopped: switch it on
│   ├── StrategyUnknown       the strategy is not registered in this process: install its package
│   ├── StrategyFailed        the strategy's code raised an exception: the message says where
│   └── AlreadySeeded         this step was seeded with this seed before: choose another seed
└── Unavailable               the store or a service does not answer: try again after `retry_after`
    ├── TransactionAborted    deadlock, serialization failure or lock timeout: nothing was written, try again at once
    ├── ConnectionLost        the connection broke: the transaction may have been committed or not
    ├── Overloaded            a bounded queue is full: try again after `retry_after`
    │   └── OrderBacklogFull  too many orders are undecided: order again after `retry_after`
    ├── DeadlineExceeded      the command was not complete in time: `effect` says whether it may have been committed
    ├── SchemaMismatch        the store has the tables of another release: migrate it or upgrade the code
    └── GatewayUnavailable    the payment gateway gave no answer: whether money moved is not known yet

Errors that need the vocabulary of a module are defined there: Duplicate in `ports.errors`, those of webhooks in
`domain.webhook` and `services.webhooks`, those of promotions in `domain.promotion` and `services.promotions`, those of
pricing in `pricing` and `services`, those of seeding in `services.seeding`. `LedgerInconsistent` is not a
`MarketError`: no caller can correct it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from math import ceil
from typing import ClassVar, Final

from scalecommerce_core.domain.feed_cursor import encode_feed_cursor


class MarketError(Exception):
    """Base of all errors: `code` is a stable identifier for programs, `str(error)` a sentence for people."""

    code: ClassVar[str] = "error"


class NotFound(MarketError):
    """`kind` number `key` does not exist, or is not visible to the caller."""

    code = "not_found"

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"There is no {kind} {key}.")
        self.kind = kind
        self.key = key


class EventsForgotten(MarketError):
    """The events after `after` were purged; the feed can be read from `oldest_after` on."""

    code = "events_forgotten"

    def __init__(self, after: int, oldest_after: int) -> None:
        super().__init__(
            f"Events up to {oldest_after} were deleted, and you have read up to {after}: read the current state of the"
            f" resources that you follow, then continue with cursor={encode_feed_cursor(oldest_after)}."
        )
        self.after = after
        self.oldest_after = oldest_after
        self.oldest_cursor = encode_feed_cursor(oldest_after)


class Refused(MarketError):
    """The request breaks a rule of the marketplace."""

    code = "refused"


class Invalid(Refused):
    """Fields have invalid values; `errors` maps fields to messages: `{"order_item[0].quantity": ["…"]}`."""

    code = "invalid"

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__("; ".join(f"{field}: {' '.join(said)}" for field, said in errors.items()))
        self.errors: dict[str, list[str]] = {field: list(said) for field, said in errors.items()}

    @classmethod
    def field(cls, name: str, message: str) -> "Invalid":
        """An error about one field."""
        return cls({name: [message]})


class NotAuthenticated(Refused):
    """The request has no credentials, or wrong ones."""

    code = "not_authenticated"


class TokenNotValid(NotAuthenticated):
    """The token is malformed, expired, revoked or of the wrong kind."""

    code = "token_not_valid"


class Forbidden(Refused):
    """The caller is authenticated but has no right to do this."""

    code = "forbidden"


class IdempotencyKeyReused(Refused):
    """The account has used the idempotency key for a different request."""

    code = "idempotency_key_reused"


class TooManyAttempts(Refused):
    """A rate limit is reached; the next attempt is allowed after `retry_after`.

    `is_recorded`: the use case has recorded the refusal in the security log, so that nobody else need do it.
    """

    code = "too_many_attempts"
    is_recorded = False

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @classmethod
    def of(cls, what: str, retry_after: timedelta) -> "TooManyAttempts":
        """An error whose message names what there was too much of, such as `wrong passwords`."""
        return cls(f"Too many {what}: try again in {max(1, ceil(retry_after.total_seconds()))} s.", retry_after)


class Conflict(MarketError):
    """The request does not fit the present state."""

    code = "conflict"


class QuotaReached(Conflict):
    """The account has as many of something as it may have, until it has fewer of them; time alone changes nothing."""

    code = "quota_reached"


class OwnAccount(Conflict):
    """Nobody may deactivate or dismiss themselves."""

    code = "own_account"


class AccountDeleted(Conflict):
    """The account was deleted: its row stays for its orders, and nothing makes it usable again."""

    code = "account_deleted"

    def __init__(self, account_id: int) -> None:
        super().__init__(f"Account {account_id} was deleted, which cannot be undone: the person may open a new one.")


class LastStaffAccount(Conflict):
    """Without this account no active account would be staff."""

    code = "last_staff_account"


class TransitionNotAllowed(Conflict):
    """An order in `status` does not allow `action`."""

    code = "transition_not_allowed"

    def __init__(self, order_id: int, status: str, action: str) -> None:
        super().__init__(f"Order {order_id} is {status}: it cannot {action} any more.")
        self.order_id = order_id
        self.status = status
        self.action = action


class StockMoved(Conflict):
    """The available units are `actual`, not `expected`: a compare-and-set failed."""

    code = "stock_moved"

    def __init__(self, product_id: int, expected: int, actual: int) -> None:
        super().__init__(f"The stock of product {product_id} is {actual}, not {expected}: read it again.")
        self.product_id = product_id
        self.expected = expected
        self.actual = actual


class PriceMoved(Conflict):
    """The price that the buyer saw is no longer promised; `current` is the price in force, such as `264.99 USD`."""

    code = "price_moved"

    def __init__(self, product_id: int, current: str) -> None:
        super().__init__(f"The price of product {product_id} is {current} now: confirm it and order again.")
        self.product_id = product_id
        self.current = current


class TooManyOpenOrders(QuotaReached):
    """The account has `limit` open orders, the most that are allowed."""

    code = "too_many_open_orders"

    def __init__(self, limit: int) -> None:
        super().__init__(f"You have {limit} open orders, the most that are allowed: pay or cancel one.")
        self.limit = limit


class InsufficientStock(Conflict):
    """`wanted` units were requested of a product that has `available` units."""

    code = "insufficient_stock"

    def __init__(self, product_id: int, wanted: int, available: int) -> None:
        super().__init__(f"Product {product_id}: {wanted} requested, {available} available.")
        self.product_id = product_id
        self.wanted = wanted
        self.available = available


class VersionMismatch(Conflict):
    """The resource was edited since the caller read it (HTTP: `If-Match`)."""

    code = "version_mismatch"


class PaymentInProgress(Conflict):
    """A payment attempt of the order is open: until it ends, the order can be neither paid again nor cancelled."""

    code = "payment_in_progress"

    def __init__(self, order_id: int) -> None:
        super().__init__(f"Order {order_id} is being paid: read it again in a moment.")
        self.order_id = order_id


class PaymentDeclined(Conflict):
    """The gateway declined the charge with the code `reason`; no money moved."""

    code = "payment_declined"

    def __init__(self, order_id: int, reason: str) -> None:
        super().__init__(f"The payment of order {order_id} was declined: {reason}.")
        self.order_id = order_id
        self.reason = reason


class PaymentTooLate(Conflict):
    """The charge succeeded after the order had left the status PENDING; the engine sends the money back."""

    code = "payment_too_late"

    def __init__(self, order_id: int, status: str) -> None:
        super().__init__(f"Order {order_id} was {status} before the payment arrived: the money is sent back.")
        self.order_id = order_id
        self.status = status


class NothingToRetry(Conflict):
    """The order, payment, refund or e-mail does not wait for another try; the message says why."""

    code = "nothing_to_retry"


class IdempotencyKeyInFlight(Conflict):
    """A request with the same key is being processed; repeat the request after `retry_after` to get its result."""

    code = "idempotency_key_in_flight"
    retry_after: timedelta = timedelta(seconds=1)


class Unavailable(MarketError):
    """The store, or a service that the engine needs, does not answer; try again after `retry_after`."""

    code = "unavailable"
    retry_after: timedelta = timedelta(seconds=2)


class TransactionAborted(Unavailable):
    """Deadlock, serialization failure or lock timeout: nothing was written (`services.retry` repeats the use case)."""

    code = "transaction_aborted"


class ConnectionLost(Unavailable):
    """The connection to the store broke: the transaction may have been committed or not."""

    code = "connection_lost"


class Overloaded(Unavailable):
    """A bounded queue is full."""

    code = "overloaded"

    def __init__(self, message: str = "The server is overloaded: retry the request in a few seconds.") -> None:
        super().__init__(message)


class OrderBacklogFull(Overloaded):
    """A new order would wait too long for its decision; `retry_after` is when the present backlog should be decided."""

    code = "order_backlog_full"

    def __init__(self, retry_after: timedelta) -> None:
        seconds = max(1, ceil(retry_after.total_seconds()))
        super().__init__(
            f"Too many orders are waiting for their decision. Nothing was ordered: order again in {seconds} s."
        )
        self.retry_after = timedelta(seconds=seconds)


class Effect(StrEnum):
    """What is known about a command that was given up: it has changed nothing, or it may have."""

    NONE = "none"
    UNKNOWN = "unknown"


class DeadlineExceeded(Unavailable):
    """The command was not complete by its deadline.

    With `Effect.NONE` nothing was changed and nothing will be. With `Effect.UNKNOWN` its transaction may be committed.
    """

    code = "deadline_exceeded"

    def __init__(self, effect: Effect, message: str = "") -> None:
        super().__init__(message or _AFTER_DEADLINE[effect])
        self.effect = effect

    @classmethod
    def before_begin(cls) -> "DeadlineExceeded":
        """An error for a command that was not begun."""
        return cls(Effect.NONE, "The server could not begin the request in time. Nothing was changed: send it again.")


_AFTER_DEADLINE: Final = {
    Effect.NONE: "The request was not complete in time and was undone. Nothing was changed: send it again.",
    Effect.UNKNOWN: (
        "The request was not complete in time, and it is unknown whether it has taken effect: send it again with the"
        " same Idempotency-Key, or without a key read the present state first."
    ),
}


class SchemaMismatch(Unavailable):
    """The store has the tables of another release; the message says whether to migrate it or to upgrade the code."""

    code = "schema_mismatch"
    retry_after: timedelta = timedelta(seconds=10)


class GatewayUnavailable(Unavailable):
    """The payment gateway gave no answer: the charge or refund may have happened. Look it up by its key."""

    code = "gateway_unavailable"


class LedgerInconsistent(Exception):
    """Stock or payment figures contradict each other, for example more units would be released than are reserved.

    It is not a `MarketError`, because no caller can correct it: the transaction is rolled back, and an operator finds
    the wrong figures with `scalecommerce stock verify`.
    """
