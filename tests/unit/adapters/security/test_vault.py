"""What is stored sealed is of no use without the secret that its key is made of."""

import pytest

from adapters.security.vault import DerivedVault
from scalecommerce_core.ports import Unsealable

SECRET, OTHER = "s" * 32, "o" * 32


def test_what_was_sealed_can_be_opened() -> None:
    vault = DerivedVault(SECRET)
    sealed = vault.seal(b"whsec_\x00\xff")
    assert vault.open(sealed) == b"whsec_\x00\xff"
    assert "whsec" not in sealed
    assert vault.seal(b"whsec_\x00\xff") != sealed


def test_an_old_secret_opens_what_it_sealed() -> None:
    sealed = DerivedVault(OTHER).seal(b"content")
    assert DerivedVault(SECRET, [OTHER]).open(sealed) == b"content"
    with pytest.raises(Unsealable):
        DerivedVault(SECRET).open(sealed)


@pytest.mark.parametrize("sealed", ["", "x", "gAAAAA", "ü" * 100])
def test_what_was_never_sealed_is_refused(sealed: str) -> None:
    with pytest.raises(Unsealable):
        DerivedVault(SECRET).open(sealed)


def test_what_was_changed_is_refused() -> None:
    vault = DerivedVault(SECRET)
    sealed = vault.seal(b"content")
    with pytest.raises(Unsealable):
        vault.open(sealed[:-5] + ("A" if sealed[-5] != "A" else "B") + sealed[-4:])
