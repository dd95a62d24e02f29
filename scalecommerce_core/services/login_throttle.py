"""Which log-ins are refused after wrong passwords, without a lock-out that a stranger can cause.

Decision record 0042 states the threats and the reasons for the numbers.
"""

from datetime import datetime, timedelta

from attrs import field, frozen

from scalecommerce_core.domain.errors import TooManyAttempts
from scalecommerce_core.ports import LoginLimiter, RateLimit
from scalecommerce_core.services.account_limits import per_client


@frozen
class LoginLimits:
    """How many passwords may be wrong.

    `attempts` in `window` are allowed for each pair of account and client address, and for each device that has logged
    in to the account before. Other clients share two further limits: `account_attempts` in `account_window` for each
    account, and `address_attempts` in `window` for each client address. A client address from which an account was
    logged in to is exempt from these two, for this account, until `known_client` later.
    """

    attempts: int = 10
    window: timedelta = timedelta(minutes=5)
    account_attempts: int = 100
    account_window: timedelta = timedelta(hours=1)
    address_attempts: int = 500
    known_client: timedelta = timedelta(days=30)
    device_lifetime: timedelta = timedelta(days=180)
    """How long a device is recognised by its device token; each log-in prolongs it."""


@frozen
class LoginClient:
    """Who tries a password of an account.

    `account` names the account, whether it exists or not; None if it cannot be looked up. `address` is the client's
    network address: empty if it is unknown, None for operators. `device` is the id of a verified device token of this
    account, `stamp` changes with the password of the account.
    """

    account: str | None
    address: str | None
    device: str | None = None
    stamp: str = ""


@frozen
class Admission:
    """Permission for one attempt: `uses` are the limits and keys under which its failure counts."""

    client: LoginClient
    uses: tuple[tuple[RateLimit, str], ...] = field(repr=False)


class LoginThrottle:
    """Admits attempts at the passwords of accounts, and counts failures.

    Concurrent attempts may all be admitted before any of them fails, so the limits can be exceeded by the number of
    attempts in progress. `purpose`, such as `log-in`, separates the failures of several throttles.
    """

    def __init__(self, limiter: LoginLimiter, limits: LoginLimits, purpose: str = "log-in") -> None:
        self._limiter = limiter
        self._limits = limits
        self._per_pair = RateLimit(f"{purpose} per account and address", limits.attempts, limits.window)
        self._per_device = RateLimit(f"{purpose} per device", limits.attempts, limits.window)
        self._per_account = RateLimit(f"{purpose} per account", limits.account_attempts, limits.account_window)
        self._per_address = RateLimit(f"{purpose} per address", limits.address_attempts, limits.window)

    def admit(self, client: LoginClient, now: datetime) -> Admission:
        """Raise `TooManyAttempts` unless the client may try a password now."""
        if client.device is not None:
            uses = ((self._per_device, client.device),)
            if self._limiter.retry_after(uses, now) is None:
                return Admission(client, uses)
            # A device with too many failures has no more rights than an unknown one.
        pair = () if client.account is None else ((self._per_pair, f"{client.account} {client.address or ''}"),)
        uses = (
            *pair,
            *(() if client.account is None else ((self._per_account, client.account),)),
            *per_client(self._per_address, client.address),
        )
        wait = self._limiter.retry_after(uses, now)
        # The order of these calls must not depend on whether the account exists.
        if wait is not None and pair and self._limiter.is_known_client(_known_key(client), now):
            uses, wait = pair, self._limiter.retry_after(pair, now)
        if wait is not None:
            raise TooManyAttempts.of("wrong passwords", wait)
        return Admission(client, uses)

    def record_failure(self, admission: Admission, now: datetime) -> None:
        """Count a wrong password."""
        self._limiter.record_failure(admission.uses, now)

    def record_success(self, admission: Admission, now: datetime) -> None:
        """Reset the failures of this client at this account, and remember the client.

        Failures of the account and of the address continue to count: others caused them.
        """
        client = admission.client
        self._limiter.reset([use for use in admission.uses if use[0] in {self._per_pair, self._per_device}])
        if client.account is not None and client.address:
            self._limiter.remember_client(_known_key(client), now + self._limits.known_client)


def _known_key(client: LoginClient) -> str:
    return f"{client.account} {client.stamp} {client.address}"
