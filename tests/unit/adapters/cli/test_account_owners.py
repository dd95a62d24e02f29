"""`users export`, `users delete` and `users reset-second-factor`."""

import json
from collections.abc import Callable

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.services.accounts import SignUp
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
    ended = cli("users", "delete", "kara@example.com", "--reason", "Asked by letter.", "--yes")
    assert ended.code == 1
    assert f"Order {order.id} of this account is not paid" in ended.err
    assert "cancel" in ended.err
    runtime.market.ordering.decide()
    actions.pay(order.id, kara)
    ended = cli("users", "delete", str(kara.id), "--reason", "Asked by letter.", "--yes")
    assert (ended.code, ended.out) == (0, f"Account {kara.id} is deleted.\n")
    assert f"(account {kara.id}) is deleted." in cli("users", "show", str(kara.id)).out
    for command in ("delete", "reactivate"):
        ended = cli("users", command, str(kara.id), "--reason", "By mistake.")
        assert (ended.code, "cannot be undone" in ended.err) == (1, True)


def test_delete_asks_for_a_confirmation(cli: Cli, runtime: MemoryRuntime, somebody: Callable[[], None]) -> None:
    actions = MarketActions(runtime.market)
    kara = actions.person("kara")
    actions.list(kara)
    arguments = ("users", "delete", kara.email, "--reason", "Asked by letter.")
    ended = cli(*arguments)
    assert (ended.code, ended.err) == (2, "There is no terminal to confirm the deletion: pass --yes.\n")
    somebody()
    ended = cli(*arguments, stdin="n\n")
    assert ended.code == 1
    assert f"{kara.email} (account {kara.id}) has 1 product, 0 orders and 0 sales." in ended.err
    assert cli(*arguments, "--json", stdin="y\n").code == 2, "a program cannot answer"
    details = runtime.market.queries.account_details(kara.id)
    assert details is not None
    assert not details.is_deleted
    assert cli(*arguments, stdin="y\n").out.endswith(f"Account {kara.id} is deleted.\n")
    assert cli(*arguments).code == 1, "the address is free"


def test_show_names_actors_second_factor_and_verified_address(cli: Cli, runtime: MemoryRuntime) -> None:
    market = runtime.market
    kara, omar = (MarketActions(market).person(name) for name in ("kara", "omar"))
    market.account_administration.deactivate(kara.id, "Sells counterfeits.", Actor(omar.id))
    out = cli("users", "show", kara.email).out
    for said in ("is deactivated.", omar.email, "is not verified.", "Log-ins need no second factor."):
        assert said in out
    (action,) = json.loads(cli("users", "show", kara.email, "--json").out)["actions"]
    assert (action["actor"], action["actor_email"]) == (omar.id, omar.email)


def test_an_action_that_changes_nothing_says_so(cli: Cli, runtime: MemoryRuntime) -> None:
    kara = MarketActions(runtime.market).person("kara")
    name, reason = f"{kara.email} (account {kara.id})", ("--reason", "A test.")
    assert cli("users", "reactivate", kara.email, *reason).out == f"{name} was already active; nothing changed.\n"
    assert cli("users", "deactivate", kara.email, *reason).out == f"{name} is deactivated.\n"
    again = cli("users", "deactivate", kara.email, *reason)
    assert again.out == f"{name} was already deactivated; nothing changed.\n"


def test_the_last_staff_account_names_the_command_that_appoints_another(cli: Cli, runtime: MemoryRuntime) -> None:
    (staff,) = runtime.market.accounts.sign_up([SignUp("staff@example.com", PASSWORD, is_staff=True)])
    assert isinstance(staff, Account)
    ended = cli("users", "dismiss-staff", staff.email, "--reason", "Left.")
    assert (ended.code, "appoint another one first with scalecommerce createsuperuser." in ended.err) == (1, True)


def test_a_second_factor_is_reset(cli: Cli, runtime: MemoryRuntime) -> None:
    market = runtime.market
    kara = MarketActions(market).person("kara")
    who = market.sessions.identify(market.accounts.log_in(kara.email, PASSWORD).access)
    market.second_factors.begin(kara.id, PASSWORD)
    market.second_factors.confirm(who, CountingOneTimePasswords().code(market.clock.now().timestamp()))
    reset = ("users", "reset-second-factor", kara.email, "--reason", "Lost the telephone.")
    assert "need a second factor" in cli("users", "show", kara.email).out
    ended = cli(*reset)
    assert ended.code == 0
    assert "Its sessions were ended." in ended.out
    market.accounts.log_in(kara.email, PASSWORD)
    ended = cli(*reset)
    assert (ended.code, ended.err) == (1, "There is no second factor to remove.\n")
    assert "Lost the telephone." in cli("users", "show", kara.email).out
