"""API keys: creation, rotation, revocation, and the identity that a key gives."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import field, frozen

from scalecommerce_core.domain.api_key import API_KEY_START, ApiKey, Scope, api_key_digest
from scalecommerce_core.domain.audit import Actor, AuditAction
from scalecommerce_core.domain.base64url import to_base64url
from scalecommerce_core.domain.errors import (
    Conflict,
    Forbidden,
    MarketError,
    NotFound,
    QuotaReached,
    TokenNotValid,
    TransactionAborted,
)
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId, SessionId
from scalecommerce_core.ports import (
    Clock,
    Randomness,
    SecurityEvent,
    SecurityEventKind,
    SecurityLog,
    Store,
    Transaction,
)
from scalecommerce_core.queries import ApiKeyState, SessionQueries
from scalecommerce_core.services.idempotency import IdempotencyKey, run_idempotent
from scalecommerce_core.services.results import Replayed
from scalecommerce_core.services.retry import retry_on
from scalecommerce_core.services.sessions import Identity, lock_open_session

MAX_API_KEYS: Final = 20
"""Most valid keys of an account."""
SECRET_BYTES: Final = 32


class TooManyApiKeys(QuotaReached):
    """The account has as many API keys as it may have: revoke one first."""

    code = "too_many_api_keys"


class SecretShownOnce(Conflict):
    """An earlier request with the same idempotency key got the secret, which is stored nowhere: replace the secret."""

    code = "secret_shown_once"

    def __init__(self, key_id: ApiKeyId) -> None:
        super().__init__(
            f"The secret of API key {key_id} was shown to the first request with this idempotency key,"
            " and is not shown again. If you did not store it, replace the secret of the key."
        )


@frozen
class CreatedKey:
    """A key with its secret, which is stored nowhere and cannot be read again."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"CreatedKey({self.key!r})"


@frozen
class _Command:
    """A request for a secret, as `run_idempotent` needs it."""

    owner: AccountId
    idempotency: IdempotencyKey | None = field(eq=False)


def render_key_id(created: CreatedKey) -> bytes:
    """What an idempotency key of a request for a secret stores: the id of the API key, never its secret."""
    return str(created.key.id).encode()


class ApiKeys:
    """Use cases of API keys. `who` is the owner, who is logged in: a key cannot manage keys."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        queries: SessionQueries,
        *,
        randomness: Randomness,
        security_log: SecurityLog,
        rotation_grace: timedelta = timedelta(days=1),
        staff_need_second_factor: bool = False,
    ) -> None:
        """After a rotation, the former secret is valid for `rotation_grace`. With `staff_need_second_factor`, keys of
        staff without a second factor have the rights of other accounts only, as their sessions.
        """
        self._store = store
        self._clock = clock
        self._queries = queries
        self._randomness = randomness
        self._security_log = security_log
        self._rotation_grace = rotation_grace
        self._staff_need_second_factor = staff_need_second_factor

    @retry_on(TransactionAborted)
    def create(
        self,
        who: Identity,
        name: str,
        scopes: Collection[str],
        expires_at: datetime | None = None,
        *,
        address: str = "",
        idempotency: IdempotencyKey | None = None,
    ) -> CreatedKey:
        """Create a key. Raise `Invalid`, `TooManyApiKeys`, or `Forbidden`: only staff may use the scope `staff`.

        Raise `TokenNotValid` if the session of `who` was revoked meanwhile, such as by a reset of the password;
        `SecretShownOnce` if an earlier request with this idempotency key has created the key. `idempotency` must
        render by `render_key_id`.
        """
        now, secret = self._clock.now(), self._new_secret()

        def add_key(tx: Transaction) -> ApiKey:
            # The lock makes concurrent creations count each other, and orders them before or after a deactivation.
            account = tx.accounts.lock([who.account_id]).get(who.account_id)
            if account is None or not account.is_active:
                raise NotFound("account", who.account_id)
            lock_open_session(tx, who.session_id)
            if Scope.STAFF in scopes and not (who.is_staff and account.is_staff):
                raise Forbidden("Only staff may create keys with the scope staff.")
            if sum(key.is_valid(now) for key in tx.api_keys.lock_all(who.account_id)) >= MAX_API_KEYS:
                raise TooManyApiKeys(f"An account has at most {MAX_API_KEYS} API keys: revoke one first.")
            (id_,) = tx.api_keys.next_ids(1)
            key = ApiKey.created(
                id_, who.account_id, name=name, scopes=scopes, secret=secret, now=now, expires_at=expires_at
            )
            tx.api_keys.add([key])
            return key

        created = self._show_once(who, idempotency, secret, now, add_key)
        self._record(created.key, address, "created")
        return created

    def list_valid(self, account_id: AccountId) -> Sequence[ApiKey]:
        """The keys of an account that are neither revoked nor expired, the newest first."""
        now = self._clock.now()
        return [key for key in self._queries.api_keys(account_id) if key.is_valid(now)]

    @retry_on(TransactionAborted)
    def rotate(
        self, who: Identity, key_id: ApiKeyId, *, address: str = "", idempotency: IdempotencyKey | None = None
    ) -> CreatedKey:
        """Replace the secret of a key; raise `NotFound`, or `TokenNotValid` and `SecretShownOnce` as `create`."""
        now, secret = self._clock.now(), self._new_secret()

        def rotate_key(tx: Transaction) -> ApiKey:
            lock_open_session(tx, who.session_id)
            key = _find(tx.api_keys.lock_all(who.account_id), key_id, now)
            key.rotate(secret, now, self._rotation_grace)
            tx.api_keys.save([key])
            return key

        rotated = self._show_once(who, idempotency, secret, now, rotate_key)
        self._record(rotated.key, address, "rotated")
        return rotated

    @retry_on(TransactionAborted)
    def revoke(self, account_id: AccountId, key_id: ApiKeyId, by: Actor) -> ApiKey:
        """Make a key of the account invalid; raise `NotFound`. `by` is its owner or an operator."""
        now = self._clock.now()
        with self._store.begin() as tx:
            key = _find(tx.api_keys.lock_all(account_id), key_id, now)
            key.revoke(now)
            tx.api_keys.save([key])
            if by.account_id != account_id:
                facts = {"account_id": account_id, "name": key.name}
                tx.audit.record([by.entry(AuditAction.API_KEY_REVOKED, key.id, now, after=facts)])
        self._record(key, by.address, "revoked")
        return key

    def identify(self, secret: str) -> Identity:
        """The account that a key acts for; raise `TokenNotValid`."""
        state = self.find([secret]).get(secret)
        return self.identity_of(state)

    def find(self, secrets: Collection[str]) -> Mapping[str, ApiKeyState]:
        """The states of keys by their secrets, without unknown ones."""
        digests = {secret: digest for secret in secrets if (digest := api_key_digest(secret)) is not None}
        states = self._queries.api_key_states(list(digests.values())) if digests else {}
        return {secret: states[digest] for secret, digest in digests.items() if digest in states}

    def identity_of(self, state: ApiKeyState | None) -> Identity:
        """The identity that a key in this state gives now; raise `TokenNotValid`. None: there is no such key."""
        if state is None or not state.is_open or (state.ends_at is not None and state.ends_at <= self._clock.now()):
            raise TokenNotValid("The API key is unknown, expired or revoked.")
        is_staff = state.is_staff and (state.has_second_factor or not self._staff_need_second_factor)
        return identity_of_key(state.id, state.account_id, state.scopes, is_staff=is_staff)

    def record_uses(self, uses: Mapping[ApiKeyId, datetime]) -> None:
        """Store when keys were used last; called from time to time, and not for each request."""
        with self._store.begin() as tx:
            tx.api_keys.record_uses(uses)

    def _show_once(
        self,
        who: Identity,
        idempotency: IdempotencyKey | None,
        secret: str,
        now: datetime,
        change: Callable[[Transaction], ApiKey],
    ) -> CreatedKey:
        """Give a key this secret in one transaction; raise `SecretShownOnce` for a repeated request."""
        with self._store.begin() as tx:
            (outcome,) = run_idempotent(
                tx,
                [_Command(who.account_id, idempotency)],
                now,
                lambda fresh: [CreatedKey(change(tx), secret) for _ in fresh],
            )
        if isinstance(outcome, Replayed):
            raise SecretShownOnce(ApiKeyId(int(outcome.body)))
        if isinstance(outcome, MarketError):
            raise outcome
        return outcome

    def _new_secret(self) -> str:
        return API_KEY_START + to_base64url(self._randomness.secret(SECRET_BYTES))

    def _record(self, key: ApiKey, address: str, what: str) -> None:
        detail = f"{what} {key.id}"
        self._security_log.record(SecurityEvent(SecurityEventKind.API_KEY_CHANGED, key.account_id, address, detail))


def _find(keys: Collection[ApiKey], key_id: ApiKeyId, now: datetime) -> ApiKey:
    for key in keys:
        if key.id == key_id and key.is_valid(now):
            return key
    raise NotFound("API key", key_id)


def identity_of_key(key_id: ApiKeyId, account_id: AccountId, scopes: frozenset[Scope], *, is_staff: bool) -> Identity:
    """The identity of requests with a key. Its `session_id` names the key and is no session."""
    return Identity(account_id, SessionId(f"key:{key_id}"), is_staff and Scope.STAFF in scopes, scopes=scopes)
