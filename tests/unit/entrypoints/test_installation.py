"""The check that Redis serves one installation."""

import logging
import os

import pytest

from entrypoints.installation import InstallationCheck
from scalecommerce_core.domain.errors import SchemaMismatch, Unavailable

OURS = "7d2e 16384 16390"


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
    made: list[str] = []

    def make(installation: str) -> FakeLease:
        made.append(installation)
        return lease

    check = InstallationCheck(lambda: OURS, make)
    check.check()
    lease.holder = "shop on db1"
    with pytest.raises(Unavailable) as refused:
        check.check()
    assert str(refused.value) == (
        "Redis at REDIS_URL serves another installation (shop on db1): give each installation a Redis database of its"
        " own, as in redis://host:6379/1. If the other installation has ended, this one begins within 80 seconds."
    )
    lease.holder = ""
    check.check()
    assert (made, lease.renewals) == ([OURS], 3), "the identity is read once"


def test_servers_that_do_not_answer_are_no_reason_to_refuse(lease: FakeLease) -> None:
    errors = [Unavailable("PostgreSQL does not answer.")]

    def read() -> str:
        if errors:
            raise errors.pop()
        return OURS

    check = InstallationCheck(read, lambda _: lease)
    check.check()
    assert lease.renewals == 0
    lease.holder = None
    check.check()
    assert lease.renewals == 1


def test_a_database_without_an_id_is_refused(lease: FakeLease) -> None:
    def read() -> str:
        raise SchemaMismatch("The table `installation` of the database has no row.")

    with pytest.raises(SchemaMismatch, match="has no row"):
        InstallationCheck(read, lambda _: lease).check()
    assert lease.renewals == 0


def test_the_lease_counts_as_held_for_its_duration_after_a_renewal(lease: FakeLease) -> None:
    now = [100.0]
    check = InstallationCheck(lambda: OURS, lambda _: lease, clock=lambda: now[0])
    assert not check.is_leased(), "nothing has been renewed"
    check.check()
    assert check.is_leased()
    lease.holder = None
    now[0] += lease.seconds - 1
    check.check()
    assert check.is_leased(), "Redis has not answered, but the lease goes on"
    now[0] += 1
    assert not check.is_leased()
    lease.holder = ""
    check.check()
    assert check.is_leased()
    lease.holder = "shop on db1"
    with pytest.raises(Unavailable):
        check.check()
    assert not check.is_leased()


def test_a_forked_process_sees_the_renewals_of_its_parent(lease: FakeLease) -> None:
    check = InstallationCheck(lambda: OURS, lambda _: lease)
    (asked, ask), (answered, answer) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        try:
            os.read(asked, 1)
            os.write(answer, b"1" if check.is_leased() else b"0")
        finally:
            os._exit(0)
    try:
        check.check()
        os.write(ask, b"?")
        assert os.read(answered, 1) == b"1"
    finally:
        os.waitpid(child, 0)
        for each in (asked, ask, answered, answer):
            os.close(each)


def test_the_thread_leases_redis_for_the_database_that_replaced_the_first(
    lease: FakeLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = iter([OURS, OURS, "restored", "restored"])
    made: list[str] = []

    def read() -> str:
        found = next(identities, None)
        if found is None:
            check.stop()
            raise Unavailable("PostgreSQL does not answer.")
        return found

    def make(installation: str) -> FakeLease:
        made.append(installation)
        return lease

    check = InstallationCheck(read, make)
    monkeypatch.setattr("entrypoints.installation.RENEWAL_SECONDS", 0)
    check._run()
    assert made == [OURS, "restored"]
    assert lease.renewals == 3


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
