"""Test doubles of the ports around the store: exact, deterministic, without I/O."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from attrs import evolve

from scalecommerce_core.domain.errors import TokenNotValid
from scalecommerce_core.domain.identifiers import CommandId
from scalecommerce_core.domain.order import RejectionReason
from scalecommerce_core.domain.price_quote import PriceQuote
from scalecommerce_core.domain.webhook import VERIFICATION, WebhookAnswer, challenge_of
from scalecommerce_core.ports import (
    Claims,
    DecryptionFailed,
    Email,
    EmailFailure,
    OutgoingWebhook,
    SecurityEvent,
    SecurityEventKind,
)
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.runs import RunStatus


class SettableClock:
    """A clock that moves only by `advance`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, **duration: float) -> datetime:
        """Move the clock, for example by `advance(minutes=5)`; return the new time."""
        self._now += timedelta(**duration)
        return self._now


class CountingIds:
    """Identifiers 1, 2, 3, …, the same in every run."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def command(self) -> CommandId:
        return CommandId(UUID(int=next(self._numbers)))

    def token(self) -> str:
        return f"token-{next(self._numbers)}"


class RecordedMeasurements:
    """Keeps the batches of the intake and all times to a verdict, and adds up the other figures."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.intake_batches: list[tuple[int, timedelta]] = []
        self.reserved: list[timedelta] = []
        self.rejected: list[timedelta] = []
        self.reasons: Counter[RejectionReason] = Counter()
        self.deferred = 0
        self.decisions = 0
        self.guardrails: Counter[Guardrail] = Counter()
        self.runs: Counter[RunStatus] = Counter()

    def orders_received(self, answers: Mapping[str, int], duration: timedelta) -> None:
        self.answers.update(answers)
        self.intake_batches.append((sum(answers.values()), duration))

    def orders_decided(self, reserved: Sequence[timedelta], rejected: Sequence[timedelta]) -> None:
        self.reserved += reserved
        self.rejected += rejected

    def orders_rejected(self, reasons: Mapping[RejectionReason, int]) -> None:
        self.reasons.update(reasons)

    def order_deferred(self) -> None:
        self.deferred += 1

    def prices_decided(self, decisions: int, guardrails: Mapping[Guardrail, int]) -> None:
        self.decisions += decisions
        self.guardrails.update(guardrails)

    def run_ended(self, status: RunStatus) -> None:
        self.runs[status] += 1


class SeededRandomness:
    """Random numbers of a seed, the same in every run; a real adapter must not repeat its numbers."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(seed)  # noqa: S311 - must be repeatable

    def fraction(self) -> float:
        return self._random.random()

    def secret(self, count: int) -> bytes:
        return self._random.randbytes(count)


class ReversingCipher:
    """`ports.SecretCipher` for tests: reverses the bytes after the name of the key, which protects nothing."""

    def __init__(self, key: str = "encrypted", *former: str) -> None:
        self._key = key
        self._keys = {key, *former}

    def encrypt(self, content: bytes) -> str:
        return f"{self._key}:{content[::-1].hex()}"

    def decrypt(self, encrypted: str) -> bytes:
        key, colon, content = encrypted.partition(":")
        if not colon or key not in self._keys:
            raise DecryptionFailed
        return bytes.fromhex(content)[::-1]

    def reencrypt(self, encrypted: str) -> str:
        return self.encrypt(self.decrypt(encrypted))


class RememberedQuotes:
    """`ports.QuoteSigner` for tests: the text is the number of the quote."""

    def __init__(self) -> None:
        self._quotes: list[PriceQuote] = []

    def sign(self, quote: PriceQuote) -> str:
        self._quotes.append(quote)
        return f"quote-{len(self._quotes)}"

    def verify(self, text: str) -> PriceQuote | None:
        numbered = {f"quote-{number}": quote for number, quote in enumerate(self._quotes, 1)}
        return numbered.get(text)


OK_ANSWER = WebhookAnswer(timedelta(milliseconds=5), status=200, body=b"thanks")


def return_challenge(message: OutgoingWebhook) -> WebhookAnswer | None:
    """The answer of a receiver that agrees to a verification message; None for other messages."""
    document = json.loads(message.body)
    if document.get("type") != VERIFICATION:
        return None
    return evolve(OK_ANSWER, body=challenge_of(message.body.decode()).encode())


class RecordingSender:
    """Records messages instead of sending them; `answer` makes the answer to each.

    Verification messages are answered with their challenge and not recorded, unless `verifies` is false.
    """

    def __init__(
        self,
        answer: Callable[[OutgoingWebhook], WebhookAnswer] = lambda _message: OK_ANSWER,
        *,
        verifies: bool = True,
    ) -> None:
        self.answer = answer
        self.verifies = verifies
        self.sent: list[OutgoingWebhook] = []

    def send(self, messages: Sequence[OutgoingWebhook]) -> Sequence[WebhookAnswer]:
        return [(return_challenge(message) if self.verifies else None) or self._record(message) for message in messages]

    def _record(self, message: OutgoingWebhook) -> WebhookAnswer:
        self.sent.append(message)
        return self.answer(message)


class RecordingEmailSender:
    """Records e-mails instead of sending them; `answer` makes the result of each."""

    def __init__(self, answer: Callable[[Email], EmailFailure | None] = lambda _email: None) -> None:
        self.answer = answer
        self.sent: list[Email] = []

    def send(self, emails: Sequence[Email]) -> Sequence[EmailFailure | None]:
        self.sent += emails
        return [self.answer(email) for email in emails]


class CountingOneTimePasswords:
    """The code of each step of 30 seconds is its number, modulo a million; the clock may be wrong by one step."""

    def find_step(self, secret: bytes, code: str, now: datetime, *, after: int) -> int | None:  # noqa: ARG002
        present = int(now.timestamp()) // 30
        return next((s for s in range(present - 1, present + 2) if s > after and self.code(s * 30) == code), None)

    def code(self, seconds: float) -> str:
        """The code that is valid at this time in seconds since 1970."""
        return f"{int(seconds) // 30 % 1_000_000:06}"

    def uri(self, secret: bytes, account_name: str, issuer: str) -> str:
        return f"otpauth://totp/{issuer}:{account_name}?secret={self.text(secret)}"

    def text(self, secret: bytes) -> str:
        return secret.hex()


class PlainPasswords:
    """Stores passwords in plain text; a real adapter must not. `cost` stands for the parameters of a hash."""

    def __init__(self, cost: int = 1) -> None:
        self._cost = cost

    def hash(self, password: str) -> str:
        return f"plain:{self._cost}:{password}"

    def verify(self, password_hash: str | None, password: str) -> bool:
        return password_hash is not None and password_hash.split(":", 2)[2:] == [password]

    def needs_rehash(self, password_hash: str) -> bool:
        return password_hash.split(":", 2)[1] != str(self._cost)

    def find_violations(self, password: str, *, about: Iterable[str]) -> list[str]:
        violations = []
        if len(password) < 8:
            violations.append("At least 8 characters are required.")
        if password in {word for word in about if word}:
            violations.append("This password is too similar to the e-mail address or a name.")
        return violations


class RememberedTokens:
    """Opaque tokens; a token is valid because this object issued it."""

    def __init__(self) -> None:
        self._issued: dict[str, Claims] = {}

    def issue(self, claims: Claims, now: datetime) -> str:  # noqa: ARG002 - a signed token contains it
        token = f"{claims.kind}:{claims.id}"
        self._issued[token] = claims
        return token

    def read(self, token: str, now: datetime) -> Claims:
        claims = self._issued.get(token)
        if claims is None or claims.expires_at <= now:
            raise TokenNotValid("The token has expired.")
        return claims


class RecordedSecurityEvents:
    """`ports.SecurityLog` that keeps the events in `events`."""

    def __init__(self) -> None:
        self.events: list[SecurityEvent] = []

    def record(self, event: SecurityEvent) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[SecurityEventKind]:
        return [event.kind for event in self.events]


class CountingWorkNotifier:
    """Counts its calls in `placed`."""

    def __init__(self) -> None:
        self.placed = 0

    def orders_placed(self) -> None:
        self.placed += 1
