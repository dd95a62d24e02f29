"""`migrate`, `settings`, `createsuperuser`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import NotAuthenticated, TokenNotValid
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.results import unwrap_single
from tests.unit.adapters.cli.conftest import Cli, MemoryRuntime

EMAIL = "ada@example.com"
GOOD = "a long password"


def account(runtime: MemoryRuntime) -> Account:
    with runtime.market.store.begin() as tx:
        return tx.accounts.by_email([EMAIL])[EMAIL]


def test_migrate_names_the_revision(cli: Cli, runtime: MemoryRuntime) -> None:
    assert cli("migrate").out == "The database is up to date (revision 0045).\n"
    assert json.loads(cli("migrate", "--json", "--data", "here").out) == {"revision": "0045"}
    assert [options["data"] for _, options in runtime.ran] == [None, Path("here")]


def test_settings_are_listed_for_people_programs_and_the_documentation(cli: Cli) -> None:
    assert "│ LOG_LEVEL    │ INFO    │ How much. │" in cli("settings").out
    assert json.loads(cli("settings", "--json").out)[1] == {
        "variable": "LOG_LEVEL", "default": "INFO", "meaning": "How much.",
    }  # fmt: skip
    assert cli("settings", "--markdown").out.splitlines() == [
        "| variable | default | meaning |",
        "|---|---|---|",
        "| `DATABASE_URL` |  | Where. |",
        "| `LOG_LEVEL` | `INFO` | How much. |",
    ]


def test_a_script_creates_a_superuser(cli: Cli, runtime: MemoryRuntime) -> None:
    ended = cli("createsuperuser", "--email", "Ada@Example.com", "--password-stdin", "--json", stdin=f"{GOOD}\n")
    assert json.loads(ended.out) == {
        "id": 1, "email": EMAIL, "is_staff": True, "is_new": True, "password_changed": False, "sessions_revoked": False,
        "profile_emptied": False, "webhooks_disabled": False,
    }  # fmt: skip
    assert account(runtime).is_staff
    assert runtime.market.accounts.log_in(EMAIL, GOOD).access


def test_a_terminal_prompts_for_address_and_password(
    cli: Cli, runtime: MemoryRuntime, somebody: Callable[[], None]
) -> None:
    somebody()
    ended = cli("createsuperuser", stdin=f"{EMAIL}\n{GOOD}\n{GOOD}\n")
    assert ended.code == 0
    assert ended.out.endswith(f"{EMAIL} (account 1) is staff.\n")
    assert GOOD not in ended.err
    assert account(runtime).is_staff


def test_a_script_gets_no_prompts(cli: Cli) -> None:
    ended = cli("createsuperuser", "--email", EMAIL)
    assert (ended.code, ended.err) == (
        2,
        "There is no terminal for prompts: pass --email and --password-stdin.\n",
    )
    # A promotion sets a new password, which a script has to give.
    assert cli("createsuperuser", "--email", EMAIL, "--promote").code == 2


def test_invalid_addresses_and_passwords_are_reported(cli: Cli) -> None:
    short = cli("createsuperuser", "--email", EMAIL, "--password-stdin", stdin="short\n")
    assert (short.code, short.err) == (1, "password: At least 8 characters are required.\n")
    odd = cli("createsuperuser", "--email", "ada", "--password-stdin", stdin=f"{GOOD}\n")
    assert (odd.code, odd.err) == (1, "email: Enter an e-mail address such as name@example.com.\n")


def test_an_existing_account_can_be_made_staff(cli: Cli, runtime: MemoryRuntime, somebody: Callable[[], None]) -> None:
    unwrap_single(runtime.market.accounts.sign_up([SignUp(EMAIL, GOOD)]))
    scripted = cli("createsuperuser", "--email", EMAIL, "--password-stdin", stdin="another password\n")
    assert scripted.code == 1
    assert scripted.err == f"{EMAIL} already has an account. Add --promote to make it staff.\n"
    assert runtime.market.accounts.log_in(EMAIL, GOOD).access
    somebody()
    assert cli("createsuperuser", "--email", EMAIL, stdin="n\n").code == 1
    assert not account(runtime).is_staff
    stranger = runtime.market.accounts.log_in(EMAIL, GOOD)
    assert cli("createsuperuser", "--email", EMAIL, stdin="y\nanother password\nanother password\n").code == 0
    assert account(runtime).is_staff
    with pytest.raises(NotAuthenticated):
        runtime.market.accounts.log_in(EMAIL, GOOD)
    with pytest.raises(TokenNotValid):
        runtime.market.sessions.refresh(stranger.refresh)


def test_a_script_promotes_an_account_and_replaces_its_password(cli: Cli, runtime: MemoryRuntime) -> None:
    unwrap_single(runtime.market.accounts.sign_up([SignUp(EMAIL, GOOD, "Chief", "Officer")]))
    tokens = runtime.market.accounts.log_in(EMAIL, GOOD)
    refused = cli("createsuperuser", "--email", EMAIL, "--password-stdin", "--promote", stdin="short\n")
    assert (refused.code, refused.err) == (1, "password: At least 8 characters are required.\n")
    assert not account(runtime).is_staff
    ended = cli("createsuperuser", "--email", EMAIL, "--password-stdin", "--promote", stdin="another password\n")
    assert (ended.code, ended.out) == (
        0,
        (
            f"{EMAIL} (account 1) is staff.\n"
            "Its password was replaced, its sessions and API keys were ended: log in again.\n"
            "Anybody may have opened this account before: its names and biography were emptied, and its webhook"
            " endpoints disabled. Check its products, pricing policies and orders.\n"
        ),
    )
    assert account(runtime).is_staff
    assert (account(runtime).first_name, account(runtime).last_name) == ("", "")
    assert runtime.market.accounts.log_in(EMAIL, "another password").access
    with pytest.raises(TokenNotValid):
        runtime.market.sessions.refresh(tokens.refresh)


def test_an_account_that_is_staff_already_changes_only_with_a_new_password(cli: Cli, runtime: MemoryRuntime) -> None:
    unwrap_single(runtime.market.accounts.sign_up([SignUp(EMAIL, GOOD, "Ada", is_staff=True)]))
    tokens = runtime.market.accounts.log_in(EMAIL, GOOD)
    ended = cli("createsuperuser", "--email", EMAIL, "--password-stdin", "--json", stdin="another password\n")
    assert json.loads(ended.out) == {
        "id": 1, "email": EMAIL, "is_staff": True, "is_new": False, "password_changed": True, "sessions_revoked": True,
        "profile_emptied": False, "webhooks_disabled": False,
    }  # fmt: skip
    with pytest.raises(TokenNotValid):
        runtime.market.sessions.refresh(tokens.refresh)
    assert account(runtime).first_name == "Ada"


def test_a_terminal_leaves_an_account_that_is_staff_already_unchanged(
    cli: Cli, runtime: MemoryRuntime, somebody: Callable[[], None]
) -> None:
    somebody()
    unwrap_single(runtime.market.accounts.sign_up([SignUp(EMAIL, GOOD, is_staff=True)]))
    again = cli("createsuperuser", "--email", EMAIL, "--promote")
    assert (again.code, again.out) == (0, f"{EMAIL} (account 1) is already staff; nothing was changed.\n")
    assert runtime.market.accounts.log_in(EMAIL, GOOD).access


def test_an_unknown_address_is_not_promoted(cli: Cli) -> None:
    ended = cli("createsuperuser", "--email", EMAIL, "--promote", "--password-stdin", stdin=f"{GOOD}\n")
    assert (ended.code, ended.err) == (
        1,
        f"{EMAIL} has no account. Run this command without --promote to create one.\n",
    )
