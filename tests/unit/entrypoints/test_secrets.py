"""The `repr` of types that hold secrets does not show them."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import attrs
import msgspec
import pytest

import adapters
import entrypoints
import scalecommerce_core
from entrypoints import redaction, settings
from scalecommerce_core.domain.secret import Secret, as_optional_secret, as_secret
from scalecommerce_core.services.accounts import SignUp

PACKAGES = (adapters, entrypoints, scalecommerce_core)
NAMES = re.compile(r"(^|_)(password|passwords|password_hash|secret|secrets|token|access|refresh|settings|\w+_url)$")
NO_SECRETS = {
    # These fields are durations, adapters or access levels.
    "Lifetimes.access", "Lifetimes.refresh", "Lifetimes.staff_refresh",
    "OpenMarket.passwords", "Engine.passwords", "Operation.access",
    "OperationSpec.access", "PageSpec.access", "Page.access",
    # It does not show its token.
    "BrowserSession.access",
    # The URL of the shop.
    "EmailRules.public_url", "Settings.public_url",
    # Its fields are of the type `Secret`.
    "Engine.settings", "_Target.settings",
}  # fmt: skip


def kinds() -> Iterator[type]:
    """Every class that the packages define."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # Migrations can be imported only by Alembic, and `drawing` needs an extra.
            if ".migrations." not in module.name and not module.name.endswith(".drawing"):
                content = vars(importlib.import_module(module.name)).values()
                yield from (each for each in content if isinstance(each, type) and each.__module__ == module.name)


def shown_secrets() -> list[str]:
    found = []
    for kind in kinds():
        if issubclass(kind, msgspec.Struct):
            names = kind.__struct_fields__ if kind.__repr__ is msgspec.Struct.__repr__ else ()
        elif attrs.has(kind) and "attrs generated" in str(kind.__repr__.__code__.co_filename):
            names = tuple(each.name for each in attrs.fields(kind) if each.repr and "Secret" not in str(each.type))
        else:
            continue
        found += [f"{kind.__name__}.{name}" for name in names if NAMES.search(name)]
    return found


def test_no_repr_shows_a_field_named_like_a_secret() -> None:
    assert set(shown_secrets()) == NO_SECRETS


def test_a_secret_is_shown_only_by_reveal() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", "%s %r" % (secret, [secret])):  # noqa: UP031 - as logging does
        assert "hunter2" not in text
    assert (secret == Secret("hunter2"), secret == Secret("other"), bool(Secret(""))) == (True, False, False)
    assert as_secret(secret) is secret
    assert as_secret("hunter2") == secret
    assert as_optional_secret(None) is None
    with pytest.raises(TypeError):
        secret + "x"  # type: ignore[operator]


def test_settings_and_commands_show_no_secret() -> None:
    environment = {
        "DATABASE_URL": "postgresql://me:hunter2@host/name",
        "REDIS_URL": "redis://:hunter2@host:6379/0",
        "JWT_SECRET": "hunter2" * 5,
        "JWT_PREVIOUS_SECRETS": "hunter2" * 5,
        "ENCRYPTION_SECRET": "hunter2" * 6,
        "ENCRYPTION_PREVIOUS_SECRETS": "hunter2" * 7,
    }
    chosen = settings.load(environment)
    assert "hunter2" not in repr(chosen)
    assert "hunter2" not in repr(chosen.previous_secrets)
    assert sorted(chosen.secret_texts()) == sorted(environment.values())
    assert settings.to_environment(chosen)["JWT_SECRET"] == "hunter2" * 5
    secrets = [default for name, default, _ in settings.describe_settings() if name in redaction.SECRETS]
    assert secrets == [""] * len(redaction.SECRETS)
    assert "hunter2" not in repr(SignUp("a@example.com", "hunter2"))


def test_every_secret_setting_is_named() -> None:
    kept = {each.name.upper() for each in attrs.fields(settings.Settings) if each.type is Secret}
    assert kept == set(redaction.SECRETS)
