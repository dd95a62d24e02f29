"""Rotation of the encryption key on PostgreSQL, beside a process that changes secrets."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from entrypoints import settings
from entrypoints.wiring import Engine, wire
from scalecommerce_core.domain.identifiers import AccountId, EndpointId
from scalecommerce_core.services.reencryption import Reencrypted
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import ActOnEndpoint, CreateEndpoint
from tests.unit.support.shop import PASSWORD, MarketActions

OLD, NEW = "o" * 40, "n" * 40
PEOPLE = 6


@contextmanager
def engine(database: str, redis_url: str, secret: str, former: str = "") -> Iterator[Engine]:
    environment = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "JWT_SECRET": "j" * 40,
        "ENCRYPTION_SECRET": secret,
        "ENCRYPTION_PREVIOUS_SECRETS": former,
    }
    with closing(wire(settings.load(environment))) as wired:
        yield wired


def test_a_former_key_is_not_needed_after_a_rotation(database: str, redis_url: str) -> None:
    with engine(database, redis_url, OLD) as old:
        actions = MarketActions(old.market)
        people = [actions.person(f"person{number}").id for number in range(PEOPLE)]
        for person in people:
            old.market.second_factors.begin(person, PASSWORD)
        endpoints = [create_endpoint(old, person) for person in people]
    with engine(database, redis_url, NEW) as too_early:
        assert [each.unreadable for each in too_early.market.reencryption.run()] == [PEOPLE, PEOPLE]
    stop = threading.Event()
    with engine(database, redis_url, NEW, OLD) as new, engine(database, redis_url, NEW, OLD) as other:

        def change() -> None:
            number = 0
            while not stop.is_set():
                person, endpoint = people[number % PEOPLE], endpoints[number % PEOPLE]
                unwrap_single(other.market.webhooks.rotate([ActOnEndpoint(endpoint, person)]))
                other.market.second_factors.begin(person, PASSWORD)
                number += 1

        busy = threading.Thread(target=change)
        busy.start()
        try:
            factors, webhooks = new.market.reencryption.run(batch=2)
        finally:
            stop.set()
            busy.join()
        assert (factors.checked, factors.unreadable, webhooks.unreadable) == (PEOPLE, 0, 0)
    with engine(database, redis_url, NEW) as only_new:
        factors, webhooks = only_new.market.reencryption.run()
        assert factors == Reencrypted("second factors", checked=PEOPLE)
        assert (webhooks.changed, webhooks.unreadable) == (0, 0)
        assert webhooks.checked >= PEOPLE


def create_endpoint(of: Engine, owner: AccountId) -> EndpointId:
    return unwrap_single(of.market.webhooks.create([CreateEndpoint(owner, "https://hooks.example/")])).endpoint.id
