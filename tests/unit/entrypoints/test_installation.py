"""The check that Redis serves one installation."""

import logging
from uuid import UUID, uuid4

import pytest

from entrypoints.installation import InstallationCheck
from scalecommerce_core.domain.errors import Unavailable

OURS = uuid4()


class FakeLease:
    """A lease whose holder a test sets; None: Redis does not answer."""

    seconds = 30

    def __init__(self) -> None:
        self.holder: str | None = ""
        self.renewals = 0

    def renew(self) -> str:
        self.renewals += 1
        if self.holder is None:
            raise Unavailable("Redis does not answer.")
        return self.holder


@pytest.fixture
def lease() -> FakeLease:
    return FakeLease()


def test_another_installation_is_refused_until_its_lease_ends(lease: FakeLease) -> None:
    made: list[UUID] = []

    def make(installation: UUID) -> FakeLease:
        made.append(installation)
        return lease

    check = InstallationCheck(lambda: OURS, make)
    check.check()
    lease.holder = "shop on db1"
    with pytest.raises(Unavailable) as refused:
        check.check()
    assert str(refused.value) == (
        "Redis at REDIS_URL serves another installation (shop on db1): give each installation a Redis database of its"
        " own, as in redis://host:6379/1. If the other installation has ended, its lease ends within 30 seconds."
    )
    lease.holder = ""
    check.check()
    assert (made, lease.renewals) == ([OURS], 3), "the id is read once"


def test_servers_that_do_not_answer_are_no_reason_to_refuse(lease: FakeLease) -> None:
    errors = [Unavailable("PostgreSQL does not answer.")]

    def read() -> UUID:
        if errors:
            raise errors.pop()
        return OURS

    check = InstallationCheck(read, lambda _: lease)
    check.check()
    assert lease.renewals == 0
    lease.holder = None
    check.check()
    assert lease.renewals == 1


def test_a_refusal_is_logged_once_by_the_thread(
    lease: FakeLease, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = InstallationCheck(lambda: OURS, lambda _: lease)
    holders = iter(["a", "a", "", "b"])

    def next_holder(_seconds: float) -> bool:
        lease.holder = next(holders, None)
        if lease.holder is None:
            check.stop()
        return False

    monkeypatch.setattr("entrypoints.installation.RENEWAL_SECONDS", 0)
    monkeypatch.setattr(check._stopped, "wait", next_holder)
    with caplog.at_level(logging.ERROR):
        check._run()
    assert [record.message.partition("(")[2][0] for record in caplog.records] == ["a", "b"]
