"""Attacks on log-ins, sign-ups, passwords and promotions, in a short form, on an API without worker."""

import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from adapters.embedded.redis import EmbeddedRedis
from tests.attacks.attack import Attack, AttackReport, Phase, Usage
from tests.attacks.scripts.ended_access import EndedAccess
from tests.attacks.scripts.lock_outs import LockedNetwork, LockedSeller
from tests.attacks.scripts.password_guesses import PasswordGuesses
from tests.attacks.scripts.password_hashing import SignUpFlood
from tests.attacks.scripts.promotion import PromotedStranger
from tests.attacks.target import Account, Target
from tests.integration.deployment import PASSWORD, Deployment

NOBODY = Phase({}, Usage(0.0, 0.0, 0, 0, 0, 0))
"""A phase without honest clients: these tests check what the attacker achieved."""
ACCOUNTS = 3


@pytest.fixture(scope="module")
def target(
    tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedRedis, make_database: Callable[[], str]
) -> Iterator[Target]:
    api = Deployment(
        tmp_path_factory.mktemp("credentials"), make_database(), redis_server.url, SIGN_UPS_PER_ADDRESS="20"
    )
    api.start("serve")
    try:
        api.find()
        emails = [api.person(f"buyer-{number}").get("/users/api/v1/me/").json()["email"] for number in range(ACCOUNTS)]
        where = urlsplit(api.url)
        assignments = [f"{name}={text}" for name, text in api.settings.items()]
        yield Target(
            str(where.hostname),
            int(where.port or 80),
            buyers=[Account(email, PASSWORD) for email in emails],
            seconds=1.5,
            command=["/usr/bin/env", *assignments, sys.executable, "-P", "-m", "entrypoints.cli"],
        )
    finally:
        api.end()


@pytest.mark.parametrize(
    "attack",
    [LockedSeller(), PasswordGuesses(), PromotedStranger(), EndedAccess(), LockedNetwork(), SignUpFlood()],
    ids=lambda each: each.name,
)
def test_an_attack_does_not_achieve_its_aim(target: Target, attack: Attack) -> None:
    figures = attack.run(target)
    assert figures.requests > 0
    assert attack.check(AttackReport(attack.name, attack.topic, figures, NOBODY, NOBODY, NOBODY)) == []


def test_an_honest_client_logs_in_after_all_of_this(target: Target) -> None:
    assert target.log_in(target.buyers[0], "127.0.4.1")
