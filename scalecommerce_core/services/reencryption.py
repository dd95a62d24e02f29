"""Encryption of stored secrets with the present key, after which former keys are no longer needed."""

from collections.abc import Callable
from typing import Final

from attrs import evolve, frozen

from scalecommerce_core.domain.errors import TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, EndpointId
from scalecommerce_core.domain.webhook import WebhookSecret
from scalecommerce_core.ports import DecryptionFailed, SecretCipher, Store
from scalecommerce_core.services.progress import Progress, no_progress
from scalecommerce_core.services.retry import retry_on

BATCH: Final = 100
"""Rows that one transaction locks."""


@frozen
class Reencrypted:
    """What was done with the secrets of one kind.

    `checked` secrets were read. `changed` of them were encrypted with a former key, and now are with the present one.
    The others were up to date, or `unreadable`: no key decrypts them. `owners` are the ids of their accounts
    (second factors) or endpoints (webhooks), without repetitions.
    """

    kind: str
    checked: int = 0
    changed: int = 0
    unreadable: int = 0
    owners: tuple[int, ...] = ()

    def __add__(self, other: "Reencrypted") -> "Reencrypted":
        return Reencrypted(
            self.kind,
            self.checked + other.checked,
            self.changed + other.changed,
            self.unreadable + other.unreadable,
            self.owners + other.owners,
        )


@frozen
class _Batch:
    done: Reencrypted
    last: int | None
    """The last id of a full batch; None if there are no further rows."""


class Reencryption:
    """Encrypts the stored secrets again: those of second factors and of webhook endpoints.

    Responses stored for idempotency keys are not changed: they are deleted after a day.
    """

    def __init__(self, store: Store, cipher: SecretCipher) -> None:
        self._store = store
        self._cipher = cipher

    def run(self, progress: Progress = no_progress, batch: int = BATCH) -> list[Reencrypted]:
        """Encrypt with the present key whatever a former key encrypted; return the results by kind.

        Each batch is a transaction that locks its rows, so a concurrent change waits and is not overwritten. A run that
        is interrupted keeps its completed batches; the next one leaves them as they are. Secrets that no key decrypts
        are unchanged.
        """
        kinds: list[tuple[str, Callable[[int, int], _Batch]]] = [
            ("second factors", self._second_factors),
            ("webhook secrets", self._webhooks),
        ]
        results = []
        for kind, encrypt_batch in kinds:
            result, after = Reencrypted(kind), 0
            progress(kind, 0, None)
            while True:
                step = encrypt_batch(after, batch)
                result += step.done
                progress(kind, result.checked, result.checked if step.last is None else None)
                if step.last is None:
                    break
                after = step.last
            results.append(result)
        return results

    @retry_on(TransactionAborted)
    def _second_factors(self, after: int, limit: int) -> _Batch:
        seen = _Seen(self._cipher)
        with self._store.begin() as tx:
            factors = tx.second_factors.lock_after(AccountId(after), limit)
            changed = []
            for factor in factors:
                text = seen.encrypt(factor.encrypted_secret, factor.account_id)
                if text != factor.encrypted_secret:
                    changed.append(evolve(factor, encrypted_secret=text))
            tx.second_factors.put(changed)
        return _Batch(seen.result("second factors"), factors[-1].account_id if len(factors) == limit else None)

    @retry_on(TransactionAborted)
    def _webhooks(self, after: int, limit: int) -> _Batch:
        seen = _Seen(self._cipher)
        with self._store.begin() as tx:
            endpoints = tx.webhooks.lock_after(EndpointId(after), limit)
            changed = []
            for endpoint in endpoints:
                secrets = tuple(
                    WebhookSecret(seen.encrypt(secret.encrypted, endpoint.id), secret.valid_until)
                    for secret in endpoint.secrets
                )
                if secrets != endpoint.secrets:
                    endpoint.secrets = secrets
                    changed.append(endpoint)
            tx.webhooks.save(changed)
        return _Batch(seen.result("webhook secrets"), endpoints[-1].id if len(endpoints) == limit else None)


class _Seen:
    """Encrypts the secrets of one batch, and counts them."""

    def __init__(self, cipher: SecretCipher) -> None:
        self._cipher = cipher
        self._checked = self._changed = self._unreadable = 0
        self._owners: dict[int, None] = {}

    def encrypt(self, encrypted: str, owner: int) -> str:
        """The secret under the present key; the same text if it is so already, or cannot be decrypted."""
        self._checked += 1
        try:
            text = self._cipher.reencrypt(encrypted)
        except DecryptionFailed:
            self._unreadable += 1
            self._owners[owner] = None
            return encrypted
        self._changed += text != encrypted
        return text

    def result(self, kind: str) -> Reencrypted:
        return Reencrypted(kind, self._checked, self._changed, self._unreadable, tuple(self._owners))
