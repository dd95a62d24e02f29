"""The payment gateways that can be chosen: the sandbox and those of installed packages."""

import sys
from pathlib import Path

import pytest

from entrypoints.gateways import known_gateways, load_payment_gateway
from entrypoints.settings import SettingsError, load
from tests.unit.entrypoints.test_settings import GOOD


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package that offers a gateway on the module path."""
    (tmp_path / "acme.py").write_text("class Acme:\n    pass\n")
    facts = tmp_path / "acme_pay-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pay\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[scalecommerce.payment_gateways]\nacme = acme:Acme\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme", raising=False)


def test_the_sandbox_can_be_chosen_without_another_package() -> None:
    assert known_gateways() == ["sandbox"]
    with pytest.raises(SettingsError, match=r"PAYMENT_GATEWAY: there is no gateway 'acme'; known are sandbox\."):
        load(GOOD | {"PAYMENT_GATEWAY": "acme"})


@pytest.mark.usefixtures("installed")
def test_gateways_of_installed_packages_can_be_chosen() -> None:
    assert known_gateways() == ["sandbox", "acme"]
    assert load(GOOD | {"PAYMENT_GATEWAY": "acme"}).payment_gateway == "acme"
    assert type(load_payment_gateway("acme")).__name__ == "Acme"
