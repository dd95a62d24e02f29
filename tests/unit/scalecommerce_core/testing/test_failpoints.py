"""Fail-points: every seam is reported, a crash there has the effects of a killed process, and plans are repeatable."""

import subprocess
import sys
from pathlib import Path

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.ports import WorkNotifier
from scalecommerce_core.services.ordering import Ordering
from scalecommerce_core.testing import CountingWorkNotifier
from scalecommerce_core.testing.failpoints import (
    GRACE_SEAMS,
    Crash,
    FailPoints,
    InjectedFailure,
    Seams,
    crash,
    parse_failpoints,
    seams,
)
from tests.unit.support.shop import Shop, line


def dying_at(seam: str) -> tuple[Seams, list[str]]:
    """Seams that crash at one name, and the list of the seams that were passed."""
    reached: list[str] = []

    def strikes(name: str) -> bool:
        reached.append(name)
        return name == seam

    return Seams(FailPoints(strikes, crash)), reached


def test_every_port_call_of_a_use_case_is_reported(shop: Shop, seller: Account, buyer: Account) -> None:
    shop.place(buyer, line(shop.list(seller)))
    safe, reached = dying_at("")
    Ordering(safe.store(shop.store), shop.clock).decide()
    calls = ["orders.claim_undecided", "stock.lock", "orders.quota_facts", "orders.save", "stock.save", "commit"]
    assert reached == ["begin:before", *(f"{call}:{when}" for call in calls for when in ("before", "after"))]
    assert set(reached) <= set(seams())


@pytest.mark.parametrize("seam", ["orders.save:after", "stock.save:before", "commit:before"])
def test_a_crash_before_the_commit_leaves_nothing(shop: Shop, seller: Account, buyer: Account, seam: str) -> None:
    order = shop.place(buyer, line(shop.list(seller)))
    fatal, _ = dying_at(seam)
    with pytest.raises(Crash, match=seam):
        Ordering(fatal.store(shop.store), shop.clock).decide()
    assert shop.order(order.id) == order
    assert shop.ordering.decide().reserved == 1


def test_a_crash_after_the_commit_leaves_everything(shop: Shop, seller: Account, buyer: Account) -> None:
    order = shop.place(buyer, line(shop.list(seller)))
    fatal, _ = dying_at("commit:after")
    with pytest.raises(Crash):
        Ordering(fatal.store(shop.store), shop.clock).decide()
    assert shop.order(order.id).expires_at is not None
    assert shop.ordering.decide().total == 0


def test_a_rollback_reaches_no_commit_seam(shop: Shop) -> None:
    safe, reached = dying_at("")
    with pytest.raises(ValueError, match="bad"), safe.store(shop.store).begin():
        raise ValueError("bad")
    assert reached == ["begin:before"]


def test_other_attributes_of_a_port_are_passed_through() -> None:
    class Sender(CountingWorkNotifier):
        def close(self) -> str:
            return "closed"

    fatal, reached = dying_at("notifier.orders_placed:after")
    notifier: WorkNotifier = (sender := fatal.port("notifier", Sender()))
    with pytest.raises(Crash):
        notifier.orders_placed()
    assert (sender.placed, sender.close(), len(reached)) == (1, "closed", 2)


# --- the setting


def struck(setting: str, process: str, passes: int) -> list[int]:
    """The passes of one seam at which the process would crash."""
    plan = parse_failpoints(setting, process)._points._strikes
    return [number for number in range(1, passes + 1) if plan("commit:after")]


def test_random_crashes_depend_on_seed_and_process() -> None:
    first = struck("7:0.01", "api", 2_000)
    assert first == struck("7:0.01", "api", 2_000)
    assert first[0] > GRACE_SEAMS
    assert len({tuple(first), *(tuple(struck(each, "worker", 2_000)) for each in ("7:0.01", "8:0.01"))}) == 3


def test_a_counted_seam_strikes_at_the_nth_pass() -> None:
    assert struck("commit:after@3", "api", 9) == [3]
    assert struck("commit:*@1, orders.*@2, commit:after@5", "api", 9) == [1, 5]


def test_an_armed_seam_strikes_once_among_all_processes(tmp_path: Path) -> None:
    (tmp_path / "commit:after").touch()
    assert struck(f"arm={tmp_path}", "api", 3) == [1]
    assert struck(f"arm={tmp_path}", "worker", 3) == []
    assert [file.name for file in tmp_path.iterdir()] == ["commit:after.struck"]


def test_a_failing_seam_raises_in_every_process_until_its_file_is_removed(tmp_path: Path) -> None:
    points = {name: parse_failpoints(f"fail={tmp_path}", name)._points for name in ("api", "worker")}
    failing = tmp_path / "gateway.find:before"
    failing.write_text("The bank answers 503\n")
    for each in points.values():
        for _ in range(2):
            with pytest.raises(InjectedFailure, match=r"^The bank answers 503$"):
                each.reach("gateway.find:before")
        each.reach("gateway.find:after")
    failing.write_text("")
    with pytest.raises(InjectedFailure, match=r"^fail-point gateway\.find:before$"):
        points["api"].reach("gateway.find:before")
    failing.unlink()
    for each in points.values():
        each.reach("gateway.find:before")


@pytest.mark.parametrize(
    "setting",
    ["often", "7:often", "7:0", "7:2", "commit:after@0", "commit:after@x", "comit@1", "arm=here", "fail=here"],
)
def test_an_invalid_setting_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_failpoints(setting, "api")


def test_a_real_process_is_killed_and_says_where() -> None:
    program = (
        "from scalecommerce_core.testing import CountingWorkNotifier\n"
        "from scalecommerce_core.testing.failpoints import parse_failpoints\n"
        "notifier = parse_failpoints('notifier.*:before@2', 'api').port('notifier', CountingWorkNotifier())\n"
        "notifier.orders_placed()\n"
        "print('once', flush=True)\n"
        "notifier.orders_placed()\n"
        "print('twice')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (-9, "once\n")
    assert ended.stderr == "fail-point notifier.orders_placed:before in api: killed\n"
