"""Stored secrets are encrypted with the present key, in batches, beside concurrent changes."""

import pytest
from attrs import evolve

from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import AccountId, EndpointId
from scalecommerce_core.domain.second_factor import SecondFactor
from scalecommerce_core.domain.webhook import WebhookEndpoint
from scalecommerce_core.ports import DecryptionFailed
from scalecommerce_core.services.reencryption import Reencrypted, Reencryption
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import ActOnEndpoint, CreateEndpoint
from scalecommerce_core.testing import MemoryStore, ReversingCipher, SettableClock, in_memory_market
from tests.unit.support.shop import PASSWORD, MarketActions

NEW = ReversingCipher("new", "encrypted")
NEW_ONLY = ReversingCipher("new")


class Stored:
    """A market whose secrets are encrypted with the former key: five second factors and three endpoints."""

    def __init__(self) -> None:
        self.clock, self.memory = SettableClock(), MemoryStore()
        self.market = in_memory_market(self.clock, memory=self.memory)
        actions = MarketActions(self.market)
        self.people = [actions.person(f"person{number}").id for number in range(5)]
        for person in self.people:
            self.market.second_factors.begin(person, PASSWORD)
        self.endpoints = [self._endpoint(person) for person in self.people[:3]]
        # Two secrets: the former one is valid for a day.
        unwrap_single(self.market.webhooks.rotate([ActOnEndpoint(self.endpoints[0], self.people[0])]))
        self.plain = self.decrypted(ReversingCipher())

    def _endpoint(self, owner: AccountId) -> EndpointId:
        made = self.market.webhooks.create([CreateEndpoint(owner, "https://hooks.example/")])
        return unwrap_single(made).endpoint.id

    def factors(self) -> dict[AccountId, SecondFactor]:
        with self.memory.begin() as tx:
            return dict(tx.second_factors.get_many(self.people))

    def hooks(self) -> dict[EndpointId, WebhookEndpoint]:
        with self.memory.begin() as tx:
            return dict(tx.webhooks.get_many(self.endpoints))

    def decrypted(self, cipher: ReversingCipher) -> list[bytes]:
        """All secrets in plain text; raise `DecryptionFailed` if the cipher does not read one."""
        webhooks = [secret.encrypted for hook in self.hooks().values() for secret in hook.secrets]
        factors = [each.encrypted_secret for each in self.factors().values()]
        return [cipher.decrypt(each) for each in (*factors, *webhooks)]


@pytest.fixture
def stored() -> Stored:
    return Stored()


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_afterwards_the_former_key_is_not_needed(stored: Stored, batch: int) -> None:
    versions = {id_: hook.version for id_, hook in stored.hooks().items()}
    with pytest.raises(DecryptionFailed):
        stored.decrypted(NEW_ONLY)
    reencryption = Reencryption(stored.memory, NEW)
    assert reencryption.run(batch=batch) == [
        Reencrypted("second factors", checked=5, changed=5),
        Reencrypted("webhook secrets", checked=4, changed=4),
    ]
    assert stored.decrypted(NEW_ONLY) == stored.plain
    # Clients edit endpoints by their versions, and see no secrets.
    assert {id_: hook.version for id_, hook in stored.hooks().items()} == versions
    assert [each.changed for each in reencryption.run(batch=batch)] == [0, 0]


def test_secrets_that_no_key_decrypts_are_reported_and_unchanged(stored: Stored) -> None:
    before = stored.factors()
    lost = evolve(before[stored.people[1]], encrypted_secret="lost:00")
    with stored.memory.begin() as tx:
        tx.second_factors.put([lost])
    factors, webhooks = Reencryption(stored.memory, NEW).run(batch=2)
    assert factors == Reencrypted("second factors", 5, 4, 1, (stored.people[1],))
    assert webhooks.unreadable == 0
    assert stored.factors()[stored.people[1]] == lost
    without_key = Reencryption(stored.memory, ReversingCipher("third")).run()
    assert [(each.changed, each.unreadable) for each in without_key] == [(0, 5), (0, 4)]
    # An endpoint with two secrets is named once.
    assert without_key[1].owners == tuple(stored.endpoints)


def test_an_interrupted_run_keeps_its_batches_and_the_next_one_completes(stored: Stored) -> None:
    def interrupt(_kind: str, done: int, _total: int | None) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Reencryption(stored.memory, NEW).run(interrupt, batch=2)
    assert stored.decrypted(NEW) == stored.plain
    assert [each.changed for each in Reencryption(stored.memory, NEW).run(batch=2)] == [1, 4]
    assert stored.decrypted(NEW_ONLY) == stored.plain


def test_a_failed_batch_changes_nothing_of_it(stored: Stored) -> None:
    class Failing(ReversingCipher):
        def reencrypt(self, encrypted: str) -> str:
            if encrypted == last:
                raise Unavailable("The database went away.")
            return super().reencrypt(encrypted)

    before = stored.factors()
    last = before[stored.people[4]].encrypted_secret
    with pytest.raises(Unavailable):
        Reencryption(stored.memory, Failing("new", "encrypted")).run()
    assert stored.factors() == before


def test_changes_between_batches_are_kept(stored: Stored) -> None:
    """Somebody sets up another app while the run is in progress; the process has the new key already."""

    def change(kind: str, done: int, _total: int | None) -> None:
        if kind == "second factors" and done == 2:
            with stored.memory.begin() as tx:
                for number, content in ((0, b"before"), (4, b"after")):
                    factor = tx.second_factors.lock([stored.people[number]])[stored.people[number]]
                    tx.second_factors.put([evolve(factor, encrypted_secret=NEW.encrypt(content), last_step=7)])

    factors, _ = Reencryption(stored.memory, NEW).run(change, batch=2)
    assert (factors.checked, factors.changed) == (5, 4)
    found = stored.factors()
    assert [NEW_ONLY.decrypt(found[stored.people[n]].encrypted_secret) for n in (0, 4)] == [b"before", b"after"]
    assert [found[stored.people[n]].last_step for n in (0, 4)] == [7, 7]
