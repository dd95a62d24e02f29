"""The output and the exit codes of `simulate` and `pricing evaluate`."""

import gzip
import itertools
import json
import math
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from adapters.cli.failures import ExitCode
from scalecommerce_core.simulation import scenarios
from scalecommerce_core.simulation.linear_market import LinearMarket
from tests.unit.adapters.cli.conftest import Cli
from tests.unit.support.user_policies import temporarily_registered

SMALL = ("--worlds", "10", "--epochs", "8", "--seeds", "1")


def test_simulation_results_are_a_table(cli: Cli) -> None:
    ended = cli("simulate", *SMALL)
    assert ended.code == 0
    for words in ("seed 1", "hill_climb", "elasticity_learning", "static", "log-linear, steady", "mean of 6"):
        assert words in ended.out


def test_forged_signals_are_percentages_of_the_profit_without_the_attack(cli: Cli) -> None:
    assert "forged-signals" in cli("simulate", "--help").out
    ended = cli("simulate", "forged-signals", "--policy", "hill_climb", *SMALL)
    assert "forged-signals, seed 1: percentages of the profit without the attack" in ended.out
    assert "this run" in ended.out


def test_all_markets_are_simulated_as_json(cli: Cli) -> None:
    small = (*SMALL, "--seed", "3", "--json")
    ended = cli("simulate", "all", *small)
    document = json.loads(ended.out)
    assert (ended.code, document["seed"], document["complete"]) == (0, 3, True)
    markets = {figure["market"] for figure in document["figures"]}
    assert markets == set(scenarios.SCENARIOS)
    assert (document["failed"], document["unpriced"]) == ([], [])
    assert {figure["passed"] for figure in document["figures"]} == {None}
    assert cli("simulate", "all", *small).out == ended.out


@pytest.mark.parametrize("again", ["learning", 'elasticity_learning:{"caution": 0}'])
def test_a_policy_is_given_once(cli: Cli, again: str) -> None:
    ended = cli("simulate", "base", "--policy", "elasticity_learning", "--policy", again, *SMALL)
    assert ended.code == ExitCode.USAGE
    assert "elasticity_learning is given more than once" in ended.err


def test_chosen_policies_are_simulated_also_under_former_names(cli: Cli) -> None:
    chosen = ("--policy", "static", "--policy", 'learning:{"caution": 0}')
    ended = cli("simulate", "limited-stock", *chosen, *SMALL, "--json")
    policies = dict.fromkeys(figure["policy"] for figure in json.loads(ended.out)["figures"])
    assert [*policies] == ["static", "elasticity_learning"]
    assert ended.err == "Warning: learning is now elasticity_learning; the old name will be removed.\n"


def test_several_seeds_are_compared_with_fixed_prices(cli: Cli) -> None:
    chosen = ("simulate", "competent-seller", "--policy", "hill_climb", *SMALL[:4], "--seeds", "3")
    document = json.loads(cli(*chosen, "--json").out)
    figures = {(figure["policy"], figure["measure"]): figure for figure in document["figures"]}
    static = figures["static", "competent-seller"]
    above = figures["hill_climb", "competent-seller, uplift over fixed prices"]
    # Differences within a world vary less than profits do.
    assert 0 < above["half_width"] < static["half_width"]
    assert {figure["seeds"] for figure in figures.values()} == {3}
    (lowest,) = (measure for _, measure in figures if measure.startswith("lowest of 3 cells (competent-seller, seed "))
    assert figures["hill_climb", lowest]["ours"] < above["ours"]
    assert "competent-seller, seeds 1 to 3: percentages" in cli(*chosen).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simulate", "mars"), "zip-recruiter, linear, marketplace"),
        (("simulate", "--policy", "astrology"), "hill_climb"),
        (("simulate", "--policy", "elasticity_learning:{"), "not a JSON object"),
        (("simulate", "--policy", "elasticity_learning:[]"), "not a JSON object"),
        (("simulate", "--policy", 'elasticity_learning:{"caution": 9}'), "parameters.caution"),
        (("simulate", "--load", "no_such_module_of_yours"), "there is no module no_such_module_of_yours"),
        (("simulate", "--plot", "picture.gif"), ".png or .svg"),
        (("simulate", "--plot", "no/such/folder/picture.png"), "there is no directory no/such/folder"),
        (("simulate", "--policy", 'elasticity_learning:{"caution": NaN}'), "parameters.caution"),
    ],
)
def test_invalid_simulations_are_reported(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    ended = cli(*arguments, *SMALL)
    assert ended.code == ExitCode.USAGE
    assert said in " ".join(ended.err.split())


def test_modules_with_strategies_are_loaded(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_shop_policies", ModuleType("my_shop_policies"))
    assert cli("simulate", "limited-stock", "--load", "my_shop_policies", *SMALL).code == 0


@pytest.mark.parametrize("name", ["picture.png", "picture.svg"])
def test_a_plot_is_drawn(cli: Cli, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    ended = cli("simulate", "limited-stock", *SMALL, "--plot", str(file))
    assert ended.code == 0
    assert f"The plot was written to {file}." in ended.out
    assert file.read_bytes()[:5] in {b"\x89PNG\r", b"<?xml"}


def test_a_plot_without_matplotlib_names_the_extra(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adapters.cli.drawing", None)
    ended = cli("simulate", "limited-stock", *SMALL, "--plot", "picture.png")
    assert ended.code == ExitCode.USAGE
    assert "scalecommerce[plot]" in ended.err


def test_a_short_simulation_of_the_linear_market_has_figures(cli: Cli) -> None:
    ended = cli("simulate", "linear", "--worlds", "5", "--epochs", "10")
    assert ended.code == 0
    assert "linear_demand" in ended.out
    assert "10 periods" in ended.out


def test_the_share_of_a_seasonal_bound_never_exceeds_100_percent(cli: Cli) -> None:
    """No strategy earns more than the fluid bound, in a season of any length, even if stock is left at its end."""
    for epochs in (3, 12, 26):
        ended = cli("simulate", "limited-stock", "--worlds", "200", "--epochs", str(epochs), "--json")
        assert all(figure["ours"] < 100 for figure in json.loads(ended.out)["figures"])


def test_names_and_columns_fit_a_terminal_of_80_columns(cli: Cli) -> None:
    ended = cli("simulate", "all", *SMALL, width=80)
    for name in ("controlled_variance", "greedy_least_squares", "all visitors, worst world", "log-linear, drifting"):
        assert name in ended.out
    assert "…" not in ended.out


# --- policies of users


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with temporarily_registered():
        yield tmp_path


POLICY = """
from typing import ClassVar
import numpy as np
from attrs import frozen
from scalecommerce_core.pricing.interface import Proposal, Stateless, register

@register
@frozen
class Mine(Stateless):
    name: ClassVar[str] = "mine"

    def propose(self, state, signals, epoch):
        return {answer}
"""


def test_strategies_are_loaded_from_the_working_directory(cli: Cli, in_folder: Path) -> None:
    (in_folder / "mine_a.py").write_text(POLICY.format(answer="Proposal(signals.price * 1.01)"))
    ended = cli("simulate", "limited-stock", "--load", "mine_a.py", "--policy", "mine", *SMALL)
    assert ended.code == 0
    assert "mine" in ended.out


def test_a_failed_strategy_is_named_with_its_line_and_the_others_continue(cli: Cli, in_folder: Path) -> None:
    (in_folder / "mine_b.py").write_text(POLICY.format(answer="Proposal(signals.colour)"))
    chosen = ("--load", "mine_b", "--policy", "mine", "--policy", "static")
    ended = cli("simulate", "limited-stock", *chosen, *SMALL)
    assert ended.code == ExitCode.PROBLEM
    said = "The pricing strategy 'mine' failed in propose: AttributeError: 'Signals' object has no attribute 'colour'"
    assert f"{said} (mine_b.py, line 13)." in ended.err
    assert "static" in ended.out
    document = json.loads(cli("simulate", "limited-stock", *chosen, *SMALL, "--json").out)
    assert {figure["policy"] for figure in document["figures"]} == {"static"}
    assert {(failed["policy"], failed["seed"]) for failed in document["failed"]} == {("mine", 1)}


def test_unusable_prices_are_counted(cli: Cli, in_folder: Path) -> None:
    (in_folder / "mine_c.py").write_text(POLICY.format(answer="Proposal(np.full(len(signals), np.nan))"))
    chosen = ("--load", "mine_c", "--policy", "mine")
    ended = cli("simulate", "limited-stock", *chosen, *SMALL)
    assert ended.code == 0
    assert "proposed no usable price (NaN, infinite, zero or negative) in 160 of 160 decisions" in ended.err
    document = json.loads(cli("simulate", "limited-stock", *chosen, *SMALL, "--json").out)
    assert document["unpriced"] == [
        {"market": "limited-stock", "place": place, "policy": "mine", "seed": 1, "decided": 80, "unpriced": 80}
        for place in ("one season", "seasons of their own")
    ]


def test_a_missed_target_exits_with_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    judged_as_full = evolve(scenarios.SCENARIOS["marketplace"], worlds=1, epochs=1)
    monkeypatch.setitem(scenarios.SCENARIOS, "marketplace", judged_as_full)
    ended = cli("simulate", "--policy", 'learning:{"caution": 2}', *SMALL, "--json")
    assert ended.code == ExitCode.PROBLEM
    assert [f["passed"] for f in json.loads(ended.out)["figures"] if f["measure"] == "mean of 6"] == [False]


def test_an_interrupted_simulation_shows_its_results(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = itertools.count()
    sell = LinearMarket.sell

    def interrupted(market: LinearMarket, prices: Any) -> Any:
        if next(epochs) == 20:
            raise KeyboardInterrupt
        return sell(market, prices)

    monkeypatch.setattr(LinearMarket, "sell", interrupted)
    ended = cli("simulate", "linear", "--worlds", "5", "--epochs", "12")
    assert ended.code == ExitCode.INTERRUPTED
    assert "Results so far are shown" in ended.err
    assert "8 periods" in ended.out


# --- pricing evaluate


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    """40 weeks in 30 shops with the prices of both brands in every row, as Dominick's data have it."""
    rng = np.random.default_rng(1)
    lines = ["shop,brand,week,logmove,price1,price2"]
    for shop in range(30):
        for week in range(40):
            prices = 0.05 * np.exp(rng.normal(0, 0.12, 2))
            for brand in (1, 2):
                log_units = 6 - 2.5 * (prices[brand - 1] / 0.05 - 1) + rng.normal(0, 0.2)
                lines.append(f"{shop},{brand},{week},{log_units},{prices[0]},{prices[1]}")
    file = tmp_path / "panel.csv.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    return file


WIDE = (
    "--cell",
    "shop,brand",
    "--group",
    "brand",
    "--period",
    "week",
    "--units",
    "logmove",
    "--log-units",
    "--price",
    "price{brand}",
)


def test_a_wide_panel_is_evaluated(cli: Cli, panel: Path) -> None:
    ended = cli("pricing", "evaluate", str(panel), *WIDE)
    assert ended.code == 0
    assert "These data are suitable" in ended.out
    document = json.loads(cli("pricing", "evaluate", str(panel), *WIDE, "--json").out)
    assert (document["cells"], document["groups"], document["periods"]) == (60, 2, 40)
    assert document["elasticity_median"] == pytest.approx(-2.5, abs=0.2)
    assert document["supports_learning"] is True
    assert document["forecast"]["shrunk"]["log_rmse"] < 0.25


def orders(tmp_path: Path, *, discount: float) -> Path:
    """Order lines with times, some of them returns and gifts."""
    rng = np.random.default_rng(2)
    lines = ["product,period,units,price"]
    for _ in range(4_000):
        units = math.ceil(math.exp(rng.normal(1, 1)))
        price = 9.0 * units**-discount * math.exp(rng.normal(0, 0.1))
        lines.append(
            f"p{rng.integers(20)},2026-0{rng.integers(1, 7)}-{rng.integers(10, 28)} 09:30:00,{units},{price:.4f}"
        )
    lines += ["p1,2026-01-10,-3,9.00", "p1,2026-01-11,3,0"]
    file = tmp_path / "orders.csv"
    file.write_text("\n".join(lines))
    return file


def test_order_lines_with_discounts_are_refused(cli: Cli, tmp_path: Path) -> None:
    ended = cli("pricing", "evaluate", str(orders(tmp_path, discount=0.2)), "--bucket", "7")
    assert ended.code == ExitCode.PROBLEM
    assert "Prices depend on the quantity bought" in " ".join(ended.out.split())
    assert "4,000, 2" not in ended.out
    assert ", 2 " in ended.out


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            "product,period,units\n1,1,1\n",
            (),
            "has no column 'price' (name yours with --price). Its columns are product, period, units.",
        ),
        (
            "sku,week,qty,price\n1,1,1,2\n",
            ("--cell", "sku,shop", "--period", "week"),
            "has no column 'shop' (name yours with --cell) and no column 'units' (name yours with --units).",
        ),
        ("product,period,units,price\n1,1,x,2\n", (), "line 2: units: 'x' is not a number such as 12, 9.99"),
        ("product,period,units,price\n1,1,1,$10.00\n", (), "line 2: price: '$10.00' is not a number such as 12, 9.99"),
        ("product,period,units,price\n1,1,1,\n", (), "line 2: price: '' is not a number"),
        ("product,period,units,price\n1,soon,1,2\n", (), "line 2: period: 'soon' is neither a whole number nor a date"),
        ("product,period,units,price\n1,9223372036854775807,1,2\n", (), "beyond the periods that can be counted"),
        ("product,period,units,price7\n1,1,1,2\n", ("--price", "price{units}"), "line 2: there is no column 'price1'"),
        ("product,period,units,price\n1,1,1,2\n1,soon,1,2\n", (), "line 3"),
        ("product,period,units,price\n1,2026-13-01,1,2\n", (), "line 2"),
        ("product,period,units,price\n1,1,1\n", (), "line 2"),
        ("product,period,units,price\n1,1,1000,2\n", ("--log-units",), "line 2"),
        ("product,period,units,price\n1,1,0,2\n", (), "no row in which something was sold"),
        ("", (), "no row"),
        ("product,period,units,price\n1,1,1,2\n", ("--price", "price{brand}"), "has no column 'brand'"),
        (
            "product,period,units,price\n1,1,1,2\n",
            ("--price", "price{"),
            "--price price{: { and } must enclose the name of a column.",
        ),
    ],
)
def test_invalid_panels_are_reported_by_line(
    cli: Cli, tmp_path: Path, text: str, options: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "panel.csv"
    file.write_text(text)
    ended = cli("pricing", "evaluate", str(file), *options)
    assert ended.code == ExitCode.PROBLEM
    assert said in " ".join(ended.err.split())


def test_a_panel_with_flat_prices_shows_no_elasticity(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "flat.csv"
    lines = [f"p{cell},{week},{3 + (cell * week) % 5},10.00" for cell in range(10) for week in range(20)]
    file.write_text("\n".join(["product,period,units,price", *lines]))
    ended = cli("pricing", "evaluate", str(file))
    assert ended.code == ExitCode.PROBLEM
    assert ended.out.count("unknown: prices hardly change") == 2
    assert "-2.4" not in ended.out
    document = json.loads(cli("pricing", "evaluate", str(file), "--json").out, parse_constant=pytest.fail)
    for name in ("elasticity_median", "elasticity_quartiles", "negative_share"):
        assert document[name] is None


def test_periods_in_seconds_are_evaluated_within_the_memory_of_their_rows(cli: Cli, tmp_path: Path) -> None:
    """240 rows in 60 categories, half a year in seconds: an array for each category and second would take 11 GiB."""
    rng = np.random.default_rng(5)
    lines = ["product,kind,period,units,price"]
    for cell in range(60):
        for _ in range(4):
            price = 10 * math.exp(rng.normal(0, 0.1))
            units = math.ceil(50 * (price / 10) ** -2.5)
            lines.append(f"p{cell},k{cell},{1_700_000_000 + rng.integers(0, 15_000_000)},{units},{price:.4f}")
    file = tmp_path / "seconds.csv"
    file.write_text("\n".join(lines))
    tracemalloc.start()
    try:
        ended = cli("pricing", "evaluate", str(file), "--group", "kind")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ended.code == 0, ended
    assert "The periods are far apart: only 240 of 1" in ended.out
    assert "--bucket 86400" in ended.out
    assert peak < 50_000_000
    weekly = cli("pricing", "evaluate", str(file), "--group", "kind", "--bucket", "604800")
    assert weekly.code == 0
    assert "far apart" not in weekly.out


def test_a_damaged_archive_is_reported(cli: Cli, panel: Path) -> None:
    panel.write_bytes(panel.read_bytes()[:-50])
    assert cli("pricing", "evaluate", str(panel), *WIDE).code == ExitCode.PROBLEM
