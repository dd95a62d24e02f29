"""`users export`, `users delete` and `users reset-second-factor`."""

import json

from scalecommerce_core.testing import CountingOneTimePasswords
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime
from tests.unit.support.shop import PASSWORD, MarketActions, line


def test_export_prints_a_document(cli: Cli, runtime: MemoryRuntime) -> None:
    MarketActions(runtime.market).person("kara")
    # More often than the owner may.
    for _ in range(7):
        document = json.loads(cli("users", "export", "kara@example.com").out)
        assert document["account"]["email"] == "kara@example.com"


def test_delete_is_refused_with_open_orders_and_says_what_to_do(cli: Cli, runtime: MemoryRuntime) -> None:
    actions = MarketActions(runtime.market)
    kara = actions.person("kara")
    order = actions.place(kara, line(actions.list(actions.person("seller"))))
    ended = cli("users", "delete", "kara@example.com", "--reason", "Asked by letter.")
    assert ended.code == 1
    assert f"Orders {order.id}" in ended.err
    assert "cancel" in ended.err
    runtime.market.ordering.decide()
    actions.pay(order.id, kara)
    ended = cli("users", "delete", str(kara.id), "--reason", "Asked by letter.")
    assert (ended.code, ended.out) == (0, f"Account {kara.id} is deleted.\n")
    for command in ("delete", "reactivate"):
        ended = cli("users", command, str(kara.id), "--reason", "By mistake.")
        assert (ended.code, "cannot be undone" in ended.err) == (1, True)


def test_a_second_factor_is_reset(cli: Cli, runtime: MemoryRuntime) -> None:
    market = runtime.market
    kara = MarketActions(market).person("kara")
    who = market.sessions.identify(market.accounts.log_in(kara.email, PASSWORD).access)
    market.second_factors.begin(kara.id, PASSWORD)
    market.second_factors.confirm(who, CountingOneTimePasswords().code(market.clock.now().timestamp()))
    ended = cli("users", "reset-second-factor", kara.email)
    assert ended.code == 0
    assert "Its sessions were ended." in ended.out
    market.accounts.log_in(kara.email, PASSWORD)
    ended = cli("users", "reset-second-factor", kara.email)
    assert (ended.code, "no second factor" in ended.err) == (1, True)
