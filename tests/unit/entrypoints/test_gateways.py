"""Which payment gateways can be chosen: the sandbox, and what installed packages offer."""

import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from adapters.payments.sandbox import SandboxGateway
from entrypoints.gateways import create_payment_gateway, known_gateways
from entrypoints.settings import SettingsError, load
from tests.unit.entrypoints.test_settings import GOOD

NOWHERE = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that offers a gateway, on the path as pip would put it."""
    (tmp_path / "acme.py").write_text("class Acme:\n    pass\n")
    facts = tmp_path / "acme_pay-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pay\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[scalecommerce.payment_gateways]\nacme = acme:Acme\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme", raising=False)


def test_the_sandbox_is_there() -> None:
    assert known_gateways() == ["sandbox"]
    assert isinstance(create_payment_gateway("sandbox", NOWHERE), SandboxGateway)
    with pytest.raises(SettingsError, match=r"PAYMENT_GATEWAY: there is no gateway 'acme'; known are sandbox\."):
        load(GOOD | {"PAYMENT_GATEWAY": "acme"})


@pytest.mark.usefixtures("installed")
def test_installed_packages_offer_theirs() -> None:
    assert known_gateways() == ["sandbox", "acme"]
    assert load(GOOD | {"PAYMENT_GATEWAY": "acme"}).payment_gateway == "acme"
    assert type(create_payment_gateway("acme", NOWHERE)).__name__ == "Acme"
