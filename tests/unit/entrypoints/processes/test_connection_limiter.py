"""The decisions of the connection limiter, on sockets that exist only in a dictionary."""

import pytest
from attrs import define, evolve, field

from entrypoints.processes.connection_limiter import (
    IDLE,
    LOG_SECONDS,
    MAX_REPORTED,
    MIN_READ_RATE,
    PER_ADDRESS,
    SILENT,
    SLOW_READER,
    STATE_SECONDS,
    TOTAL,
    ConnectionLimiter,
    ConnectionLimits,
)
from entrypoints.processes.process_sockets import TcpState

QUIET = TcpState(idle=0.0, received=100, unsent=0, acknowledged=0)
PROXY = "10.0.0.1"


@define
class FakeSockets:
    """Sockets with the addresses and states that a test sets, by inode; the descriptor is the inode + 1000."""

    peers: dict[int, str | None] = field(factory=dict)
    states: dict[int, TcpState] = field(factory=dict)
    closed: list[int] = field(factory=list)
    listens: bool = True
    scans: int = 0

    def add(self, inode: int, peer: str | None, state: TcpState = QUIET) -> None:
        self.peers[inode], self.states[inode] = peer, state

    def change(self, inode: int, **state: int) -> None:
        self.states[inode] = evolve(self.states[inode], **state)

    def count_descriptors(self) -> int:
        return len(self.peers)

    def list_sockets(self) -> dict[int, int]:
        self.scans += 1
        return {inode: inode + 1000 for inode in self.peers}

    def find_ports(self, descriptors: dict[int, int]) -> bool:
        assert all(descriptor == inode + 1000 for inode, descriptor in descriptors.items())
        return self.listens

    def peer(self, descriptor: int) -> str | None:
        return self.peers[descriptor - 1000]

    def state(self, descriptor: int) -> TcpState | None:
        return self.states.get(descriptor - 1000)

    def shut_down(self, descriptor: int, inode: int) -> bool:
        assert descriptor == inode + 1000
        self.closed.append(inode)
        return self.peers.pop(inode, None) is not None


@define
class Limited:
    """A limiter on fake sockets, with a clock that the test sets."""

    sockets: FakeSockets
    limits: ConnectionLimits
    now: float = 0.0
    reports: list[tuple[str, str]] = field(factory=list)
    limiter: ConnectionLimiter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.limiter = ConnectionLimiter(
            self.limits,
            self.sockets,
            clients_of=lambda address: tuple(address.split("/")),
            is_exempt=lambda address: address == PROXY,
            on_limit=lambda limit, client: self.reports.append((limit, client)),
            clock=lambda: self.now,
        )

    def check(self, after: float = 0.0) -> list[int]:
        """The inodes that a check closes, `after` seconds later."""
        self.now += after
        self.sockets.closed.clear()
        self.limiter.check()
        return sorted(self.sockets.closed)


@pytest.fixture
def limited() -> Limited:
    return Limited(
        FakeSockets(),
        ConnectionLimits(total=8, per_address=3, silent_seconds=20, response_seconds=60, idle_seconds=100),
    )


def test_connections_of_one_address_over_the_limit_are_closed(limited: Limited) -> None:
    for inode in range(5):
        limited.sockets.add(inode, "a")
    limited.sockets.add(5, "b")
    assert len(limited.check()) == 2
    assert limited.check() == []
    assert limited.reports == [(PER_ADDRESS, "a")]


def test_connections_of_one_site_are_limited_at_ten_times_the_number_of_an_address(limited: Limited) -> None:
    limited = evolve(limited, limits=evolve(limited.limits, total=0))
    for inode in range(32):
        limited.sockets.add(inode, f"a{inode // 3}/site")
    limited.sockets.add(32, "b/other site")
    limited.sockets.add(33, "10.0.0.2")
    assert len(limited.check()) == 2
    assert limited.check() == []
    assert {limit for limit, _ in limited.reports} == {PER_ADDRESS}


def test_the_most_idle_connections_of_an_address_are_closed(limited: Limited) -> None:
    for inode, idle in enumerate([5.0, 1.0, 9.0, 0.0, 3.0]):
        limited.sockets.add(inode, "a", evolve(QUIET, idle=idle))
    assert limited.check() == [0, 2]


def test_addresses_with_the_same_key_share_a_limit(limited: Limited) -> None:
    for inode in range(5):
        limited.sockets.add(inode, f"network/{inode}")
    assert len(limited.check()) == 2


def test_proxies_have_no_limit_and_do_not_count(limited: Limited) -> None:
    for inode in range(20):
        limited.sockets.add(inode, PROXY)
    for inode in range(20, 28):
        limited.sockets.add(inode, f"visitor-{inode}")
    assert limited.check() == []


def test_the_most_idle_connections_are_closed_beyond_the_total(limited: Limited) -> None:
    for inode in range(12):
        limited.sockets.add(inode, f"visitor-{inode}", evolve(QUIET, idle=float(inode)))
    assert limited.check() == [8, 9, 10, 11]
    assert {limit for limit, _ in limited.reports} == {TOTAL}


def test_limits_of_zero_are_off() -> None:
    limited = Limited(
        FakeSockets(), ConnectionLimits(total=0, per_address=0, silent_seconds=0, response_seconds=0, idle_seconds=0)
    )
    for inode in range(500):
        limited.sockets.add(inode, "a", TcpState(idle=0.0, received=0, unsent=9, acknowledged=0))
    assert [limited.check(after=1000) for _ in range(3)] == [[], [], []]


def test_few_descriptors_are_not_inspected(limited: Limited) -> None:
    limited.sockets.add(1, "a")
    limited.check()
    assert limited.sockets.scans == 0
    limited.check(after=STATE_SECONDS)
    assert limited.sockets.scans == 1


def test_other_sockets_are_never_closed(limited: Limited) -> None:
    for inode in range(20):
        limited.sockets.add(inode, None, evolve(QUIET, received=0, unsent=9))
    assert [limited.check(after=100) for _ in range(3)] == [[], [], []]


def test_nothing_is_closed_before_the_server_listens(limited: Limited) -> None:
    limited.sockets.listens = False
    for inode in range(20):
        limited.sockets.add(inode, "a")
    assert limited.check(after=100) == []
    limited.sockets.listens = True
    assert len(limited.check()) == 17


def test_a_silent_connection_is_closed_after_its_time(limited: Limited) -> None:
    limited.sockets.add(1, "a", evolve(QUIET, received=0))
    limited.sockets.add(2, PROXY, evolve(QUIET, received=0))
    limited.sockets.add(3, "b")
    assert limited.check(after=STATE_SECONDS) == []
    assert limited.check(after=19) == []
    assert limited.check(after=2) == [1, 2]
    assert (SILENT, "a") in limited.reports


def test_a_connection_on_which_nothing_happens_is_closed(limited: Limited) -> None:
    limited.sockets.add(1, "a", evolve(QUIET, idle=99.0))
    limited.sockets.add(2, "b", evolve(QUIET, idle=500.0, unsent=5))
    limited.sockets.add(3, PROXY, evolve(QUIET, idle=100.0))
    assert limited.check(after=STATE_SECONDS) == [3]
    assert limited.reports == [(IDLE, PROXY)]


def test_a_client_that_reads_too_slowly_is_closed(limited: Limited) -> None:
    limited.sockets.add(1, "slow", evolve(QUIET, unsent=5))
    limited.sockets.add(2, "steady", evolve(QUIET, unsent=5))
    limited.sockets.add(3, "fast", evolve(QUIET, unsent=5))
    assert limited.check(after=STATE_SECONDS) == []
    limited.sockets.change(1, acknowledged=59 * MIN_READ_RATE)
    limited.sockets.change(2, acknowledged=61 * MIN_READ_RATE)
    limited.sockets.change(3, unsent=0)
    assert limited.check(after=57) == []
    assert limited.check(after=3) == [1]
    assert limited.reports == [(SLOW_READER, "slow")]
    # The next period begins; the client that read everything begins anew.
    limited.sockets.change(3, unsent=5)
    assert limited.check(after=58) == []
    assert limited.check(after=2) == [2]


def test_a_socket_that_takes_the_place_of_another_is_a_new_connection(limited: Limited) -> None:
    limited.sockets.add(1, "a", evolve(QUIET, received=0))
    limited.check(after=STATE_SECONDS)
    del limited.sockets.peers[1]
    limited.sockets.add(2, "a", evolve(QUIET, received=0))
    assert limited.check(after=19) == []
    assert limited.check(after=20) == [2]


def test_each_client_is_reported_once_per_interval_and_few_of_them(limited: Limited) -> None:
    for inode in range(3 * MAX_REPORTED):
        limited.sockets.add(inode, f"visitor-{inode}")
    limited.check()
    assert len(limited.reports) == MAX_REPORTED
    for inode in range(1000, 1010):
        limited.sockets.add(inode, "a")
    limited.check(after=LOG_SECONDS)
    limited.check(after=1)
    for inode in range(2000, 2010):
        limited.sockets.add(inode, "a")
    limited.reports.clear()
    limited.check()
    assert limited.reports == [(PER_ADDRESS, "a")]


def test_many_lasting_connections_are_not_listed_at_each_check(limited: Limited) -> None:
    for inode in range(50):
        limited.sockets.add(inode, PROXY)
    for _ in range(5):
        limited.check(after=STATE_SECONDS / 10)
    assert limited.sockets.scans == 1
    for inode in range(100, 110):
        limited.sockets.add(inode, "a")
    assert len(limited.check(after=STATE_SECONDS / 10)) == 7
