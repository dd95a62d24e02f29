"""Policies of installed packages, and of the modules and files that PRICING_POLICIES and --load name."""

import json
import logging
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from entrypoints.policies import PolicyNotLoaded, load, load_all, load_named
from entrypoints.settings import SettingsError
from entrypoints.settings import load as load_settings
from scalecommerce_core.domain.identifiers import AccountId, PolicyId
from scalecommerce_core.pricing.decisions import decide
from scalecommerce_core.pricing.interface import State, registered_strategies
from scalecommerce_core.pricing.policy import PricingPolicy
from tests.unit.entrypoints.test_settings import GOOD
from tests.unit.support.pricing_signals import signals
from tests.unit.support.user_policies import temporarily_registered

POLICY = """
from typing import ClassVar

from attrs import frozen

from scalecommerce_core.pricing.interface import Proposal, Stateless, parameter, register

{decorator}
@frozen
class {kind}(Stateless):
    name: ClassVar[str] = "{name}"
    share: float = parameter(0.4, at_least=0, at_most=5, says="Share.")

    def propose(self, state, signals, epoch):
        return Proposal(signals.full_cost() * (1 + self.share))
"""

Write = Callable[..., Path]


def policy(name: str, kind: str = "Markup", decorator: str = "@register") -> str:
    return POLICY.format(name=name, kind=kind, decorator=decorator)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a file into the working directory, which is a new one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(file: str, text: str) -> Path:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    with temporarily_registered():
        yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("shop_markup.py", "shop_markup"),
        ("shop_markup.py", "shop_markup:Markup"),
        ("shop_markup.py", "shop_markup.py"),
        ("shop_markup.py", "./shop_markup.py:Markup"),
        ("shop_pricing/rules.py", "shop_pricing.rules"),
        ("shop_pricing/rules.py", "shop_pricing/rules.py"),
        ("json.py", "./json.py"),
    ],
)
def test_a_module_or_file_of_the_working_directory_can_be_loaded_twice(write: Write, file: str, source: str) -> None:
    write(file, policy("of_a_file"))
    for _ in range(2):
        load_named(f" {source} ,")
        assert registered_strategies()["of_a_file"].__name__ == "Markup"


def test_a_class_needs_no_decorator(write: Write) -> None:
    write("bare_markup.py", policy("bare", decorator=""))
    with pytest.raises(
        PolicyNotLoaded, match="bare_markup registers no policy: put @register above the class, or name"
    ):
        load("bare_markup")
    load("bare_markup:Markup")
    assert "bare" in registered_strategies()


@pytest.mark.parametrize(
    ("text", "source", "said"),
    [
        ("", "no_such_module", "there is no module no_such_module, neither in "),
        ("", "no_such_file.py", "there is no file no_such_file.py"),
        ("", "my-module", "'my-module' is neither a module such as my_shop.policies"),
        ("x = 1\nif x\n", "broken", r"broken cannot be imported: expected ':' (broken.py, line 2)"),
        ("x = 1\nif x\n", "broken.py", r"broken.py cannot be imported: expected ':' (broken.py, line 2)"),
        ("\nimport no_such_thing\n", "broken", "No module named 'no_such_thing' (broken.py, line 2)"),
        ("from math import tau_\n", "broken", "broken cannot be imported: cannot import name 'tau_'"),
        ("\n\n1 / 0\n", "broken", "broken cannot be imported: ZeroDivisionError: division by zero (broken.py, line 3)"),
        ("raise SystemExit(3)\n", "broken.py", "broken.py cannot be imported: SystemExit: 3 (broken.py, line 1)"),
        (policy("x"), "broken:Nothing", "has no class Nothing; it has Markup"),
        ("Markup = 5\n", "broken:Markup", "broken:Markup: TypeError: 5 is neither a class nor a module"),
        ("class Markup: ...\n", "broken:Markup", "TypeError: Markup is not an attrs class: put @register above"),
        (policy("hill_climb"), "broken", "ValueError: There is already a strategy 'hill_climb'"),
        (policy("learning"), "broken", "TypeError: Markup is named 'learning': the name of a strategy"),
        (policy("Mark-Up"), "broken", "TypeError: Markup is named 'Mark-Up': the name of a strategy"),
        (policy("static"), "broken", "and is not 'static' or 'learning' (broken.py, line 8)"),
        (policy("x").replace("share", "maxShare"), "broken", "a parameter's name has at most 50 lower-case"),
        (policy("x").replace("(0.4", "(float('nan')"), "broken", "its default nan is not valid: Must be"),
        (policy("x").replace("(0.4", "(9.5"), "broken", "Markup.share: its default 9.5 is not valid: Must be"),
        (policy("x").replace("(0.4", "(None"), "broken", "its default None must be a bool, an int, a float, a str"),
        (policy("x").replace("at_most=5", "at_most='5'"), "broken", "Markup.share: its bounds must be numbers"),
        (policy("x") + "\n    columns = ['epochs']\n", "broken", "Markup.columns names each column and how"),
        ("raise BaseException('a\\x00b')\n", "broken.py", "cannot be imported: BaseException: a\ufffdb (broken.py"),
        (policy("x") + "\n    more: int\n", "broken", "Markup.more has no default: declare it with parameter"),
    ],
)  # fmt: skip
def test_a_failed_load_reports_its_cause_and_source(write: Write, text: str, source: str, said: str) -> None:
    write("broken.py", text)
    with pytest.raises(PolicyNotLoaded) as caught:
        load(source)
    assert said in str(caught.value)
    with pytest.raises(SettingsError, match="PRICING_POLICIES: ") as refused:
        load_settings(GOOD | {"PRICING_POLICIES": source})
    assert said in str(refused.value)


def test_a_module_that_fails_registers_no_policy(write: Write) -> None:
    write("half_done.py", policy("first_half") + "\n1 / 0\n")
    for source in ("half_done", "half_done.py"):
        with pytest.raises(PolicyNotLoaded, match="division by zero"):
            load(source)
        assert "first_half" not in registered_strategies()


@pytest.mark.parametrize("source", ["talking", "talking.py"])
def test_output_and_numpy_settings_of_a_loaded_module_do_not_affect_commands(
    write: Write, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("talking.py", "import numpy\nprint('loading')\nnumpy.seterr(all='raise')\n" + policy("talking"))
    before = np.geterr()
    load(source)
    assert np.geterr() == before
    out, err = capsys.readouterr()
    assert (out, err) == ("", "loading\n"), "standard output is what `--json` is read from"


# --- installed packages


def install(write: Write, package: str, points: str) -> None:
    facts = f"{package.replace('-', '_')}-1.0.dist-info"
    write(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    write(f"{facts}/entry_points.txt", f"[scalecommerce.pricing_policies]\n{points}\n")


def test_policies_of_installed_packages_are_registered_except_broken_ones(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write("acme_prices.py", policy("acme", decorator=""))
    write("bad_prices.py", "\nif x\n")
    install(write, "acme-prices", "acme = acme_prices:Markup")
    install(write, "bad-prices", "bad = bad_prices:Markup")
    monkeypatch.syspath_prepend(str(tmp_path))
    for _ in range(2):
        caplog.clear()
        load_all("")
        assert "acme" in registered_strategies()
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.getMessage() == (
            "the pricing policy 'bad' of package bad-prices is not loaded: expected ':' (bad_prices.py, line 2)"
        )


def test_files_of_the_working_directory_do_not_hide_installed_modules(write: Write) -> None:
    write("attrs.py", "raise AssertionError\n")
    write("shop_markup2.py", policy("second"))
    load("shop_markup2")
    assert "second" in registered_strategies()


def test_the_documented_package_can_be_simulated_and_used_by_its_name(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs/pricing.md").read_text()
    module, _ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    project = tomllib.loads(textwrap.dedent(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0]))["project"]
    (points,) = project["entry-points"].values()
    assert list(project["entry-points"]) == ["scalecommerce.pricing_policies"]
    write("my_shop/policies.py", module)
    install(write, project["name"], "\n".join(f"{name} = {target}" for name, target in points.items()))
    monkeypatch.syspath_prepend(str(tmp_path))
    load_all("")
    assert points.keys() == {"markup"} <= registered_strategies().keys()
    (document,) = re.findall(r"-d '(\{\"name\": \"Cost plus\".*?\})'", page)
    chosen = PricingPolicy.from_document(
        json.loads(document), id=PolicyId(1), seller_id=AccountId(1), created_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    seen = signals(price=100_00, reference=100_00, cost=[90_00, -1])
    decisions = decide(chosen, State(), seen, 0)
    assert decisions.new.tolist() == [105_00, 100_00]
    assert [decisions[row].motive.value for row in (0, 1)] == ["other", "no_price"]
