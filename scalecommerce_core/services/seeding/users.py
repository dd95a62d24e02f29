"""Seeded users; the domain of their e-mail addresses identifies them and their seed."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from scalecommerce_core.domain.account import Account, normal_email
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.services.seeding.randomness import Source, Stream, generator, pick

# .example is reserved (RFC 2606): no mail can be sent to these addresses.
_SEEDED: Final = re.compile(r"@seed-\d+\.example\Z")


def is_seeded(email: str) -> bool:
    """Whether the address belongs to a seeded user."""
    return bool(_SEEDED.search(email))


def email_of(first_name: str, last_name: str, number: int, rng_seed: int) -> str:
    """E-mail address of seeded user number `number`."""
    return normal_email(f"{_ascii(first_name)}.{_ascii(last_name)}.{number}@seed-{rng_seed}.example")


def make_users(ids: Sequence[AccountId], start: int, source: Source, password_hash: str) -> list[Account]:
    """Make users number `start + 1` and following; they signed up in the three years before the first products."""
    rng_seed, words, base = source.rng_seed, source.words, source.base
    count = len(ids)
    rng = generator(rng_seed, Stream.USERS, start)
    first_names, last_names = pick(rng, words.first_names, count), pick(rng, words.last_names, count)
    days_ago = rng.uniform(720, 1_800, count).tolist()
    made = []
    for place, account_id in enumerate(ids):
        first, last = first_names[place], last_names[place]
        email = email_of(first, last, start + place + 1, rng_seed)
        account = Account(account_id, email, password_hash, base - timedelta(days=days_ago[place]))
        account.edit(first_name=first, last_name=last)
        made.append(account)
    return made


def _ascii(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:20].strip("-") or "user"
