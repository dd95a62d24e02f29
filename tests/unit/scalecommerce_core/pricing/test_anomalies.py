"""The anomaly filter: which views, units and refunds it replaces, and for how long it holds a price."""

from typing import Any

import numpy as np
import pytest

from scalecommerce_core.pricing.anomalies import (
    LARGEST_ELASTICITY,
    LASTING_EPOCHS,
    Baseline,
    filter_anomalies,
    release_waiting,
)
from scalecommerce_core.pricing.decisions import decide
from scalecommerce_core.pricing.explaining import explain_inputs
from scalecommerce_core.pricing.replay import pack_inputs, replay
from scalecommerce_core.pricing.signals import Signals
from tests.unit.support.pricing_signals import policy, signals

VIEWS, UNITS = 1_000.0, 25.0


class Epochs:
    """A product with 1,000 views and 25 sales a week unless an epoch differs."""

    def __init__(self, *, most_holds: int = 2, usual: int = 20, **product: Any) -> None:
        self.baseline, self.most_holds, self.product = Baseline.unknown(1), most_holds, product
        self.last = signals()
        for _ in range(usual):
            self.see()

    def see(self, **more: Any) -> Signals:
        seen = signals(**{"views": VIEWS, "units": UNITS, **self.product, **more})
        self.baseline, self.last = filter_anomalies(self.baseline, seen, most_holds=self.most_holds)
        return self.last

    def release(self, *, sold: float, refunded: float, returned: float | None = None) -> list[tuple[Any, ...]]:
        """Price, views, units and orders of the epoch that waited; `returned` is `refunded` by default."""
        here = refunded if returned is None else returned
        self.baseline, found = release_waiting(
            self.baseline, sold=np.array([sold]), refunded=np.array([refunded]), returned=np.array([here])
        )
        return list(zip(found.price.tolist(), found.views, found.units, found.orders, strict=True))


def counts(seen: Signals) -> tuple[float, float, float]:
    return seen.views.item(), seen.units.item(), seen.weight.item()


def test_usual_counts_are_not_changed() -> None:
    rng = np.random.default_rng(1)
    epochs = Epochs()
    for _ in range(100):
        views = float(rng.poisson(VIEWS * np.exp(rng.normal(0, 0.2))))
        units = float(rng.poisson(views * 0.025))
        seen = epochs.see(views=views, units=units)
        assert counts(seen) == (views, units, 1.0)
        assert seen.counted_views.item() == -1
        assert not seen.is_held.item()


def test_forged_views_are_replaced_by_usual_ones() -> None:
    seen = Epochs().see(views=10 * VIEWS)
    assert seen.views.item() == pytest.approx(VIEWS, rel=0.01)
    assert seen.units.item() == UNITS
    assert 0 < seen.weight.item() < 1
    assert seen.counted_views.item() == 10 * VIEWS


def test_views_that_sales_follow_are_no_anomaly() -> None:
    assert counts(Epochs().see(views=5 * VIEWS, units=5 * UNITS))[:1] == (5 * VIEWS,)


def test_a_baseline_of_a_short_time_excludes_nothing() -> None:
    epochs = Epochs(usual=0)
    # An eighth of an epoch, while traffic was beginning.
    epochs.see(views=3, units=0, days=7 / 8)
    for _ in range(10):
        assert counts(epochs.see(units=250)) == (VIEWS, 250.0, 1.0)
    assert np.exp(epochs.baseline.traffic.item()) * 7 == pytest.approx(VIEWS, rel=0.05)
    assert np.exp(epochs.baseline.conversion.item()) == pytest.approx(0.25, rel=0.05)


def test_a_baseline_of_one_epoch_excludes_less_than_a_long_one() -> None:
    after_one, after_many = Epochs(usual=1), Epochs(usual=20)
    assert after_one.see(views=3 * VIEWS).weight.item() == 1.0
    assert after_many.see(views=3 * VIEWS).weight.item() < 1.0
    assert Epochs(usual=1).see(views=10 * VIEWS).weight.item() < 1.0


def test_a_long_pause_between_runs_does_not_fix_the_baseline() -> None:
    epochs = Epochs()
    epochs.see(views=100 * VIEWS, units=100 * UNITS, days=700)
    for _ in range(20):
        epochs.see(views=2 * VIEWS, units=2 * UNITS)
    assert np.exp(epochs.baseline.traffic.item()) * 7 == pytest.approx(2 * VIEWS, rel=0.05)


@pytest.mark.parametrize("units", [2, 25, 250])
def test_honest_traffic_that_grows_sevenfold_counts_at_once(units: int) -> None:
    epochs = Epochs(units=units)
    for _ in range(20):
        assert counts(epochs.see(views=7 * VIEWS, units=7 * units)) == (7 * VIEWS, 7.0 * units, 1.0)
    assert epochs.baseline.accepted.item() == 0.0


def test_few_sales_are_evidence_together() -> None:
    epochs = Epochs(units=0.2)
    seen = [epochs.see(views=7 * VIEWS, units=week % 2 + 1) for week in range(12)]
    assert seen[0].views.item() == pytest.approx(VIEWS, rel=0.02)
    assert all(counts(each) == (7 * VIEWS, week % 2 + 1.0, 1.0) for week, each in enumerate(seen) if week >= 8)


def test_views_are_no_longer_divided_when_sales_follow_them() -> None:
    epochs = Epochs()
    for _ in range(20):
        epochs.see(views=7 * VIEWS)
    assert epochs.last.views.item() == pytest.approx(VIEWS, rel=0.02)
    # Honest visitors replace the forged views.
    for _ in range(5):
        assert counts(epochs.see(views=7 * VIEWS, units=7 * UNITS)) == (7 * VIEWS, 7 * UNITS, 1.0)


def test_forged_views_stay_divided() -> None:
    rng = np.random.default_rng(3)
    epochs = Epochs()
    for _ in range(LASTING_EPOCHS):
        epochs.see(views=7 * VIEWS)
    for _ in range(200):
        seen = epochs.see(views=float(rng.poisson(7 * VIEWS)), units=float(rng.poisson(UNITS)))
        assert seen.views.item() == pytest.approx(VIEWS, rel=0.1)


def test_sales_that_a_price_cut_explains_are_no_anomaly() -> None:
    epochs = Epochs()
    for price in (90_00, 80_00, 70_00, 60_00):
        units = UNITS * (100_00 / price) ** LARGEST_ELASTICITY
        assert counts(epochs.see(price=price, units=units)) == (VIEWS, units, 1.0)
    at_once = UNITS * (100 / 60) ** LARGEST_ELASTICITY
    assert counts(Epochs().see(price=60_00, units=at_once)) == (VIEWS, at_once, 1.0)
    # Without a change of the price the same sales are an anomaly.
    assert Epochs().see(units=at_once).weight.item() == 0.0


def test_missing_sales_that_a_price_rise_explains_are_no_anomaly() -> None:
    fewer = UNITS / (170 / 100) ** LARGEST_ELASTICITY
    assert counts(Epochs().see(price=170_00, units=fewer)) == (VIEWS, fewer, 1.0)
    assert Epochs().see(units=fewer).weight.item() == 0.0


def test_views_that_are_used_are_never_fewer_than_the_units() -> None:
    epochs = Epochs(views=20, units=15)
    for _ in range(LASTING_EPOCHS + 2):
        seen = epochs.see(views=400, units=45)
        assert seen.views.item() >= seen.units.item()


def test_missing_views_are_replaced_too() -> None:
    assert Epochs().see(views=VIEWS / 10).views.item() == pytest.approx(VIEWS, rel=0.01)


def test_a_lasting_level_of_views_continues_the_conversion_rate() -> None:
    epochs = Epochs()
    for _ in range(LASTING_EPOCHS):
        epochs.see(views=10 * VIEWS)
    for _ in range(30):
        seen = epochs.see(views=10 * VIEWS)
        assert seen.views.item() == pytest.approx(VIEWS, rel=0.02)
        assert seen.weight.item() == 1.0
    # The forged views end.
    for _ in range(LASTING_EPOCHS):
        assert epochs.see().views.item() == pytest.approx(VIEWS, rel=0.02)
    assert epochs.see().views.item() == pytest.approx(VIEWS, rel=0.02)
    assert epochs.last.weight.item() == 1.0


def test_an_epoch_with_forged_purchases_counts_as_one_without_data() -> None:
    seen = Epochs().see(units=10 * UNITS)
    assert counts(seen) == (0.0, 0.0, 0.0)
    assert seen.days.item() == 0.0
    assert seen.counted_units.item() == 10 * UNITS


def test_a_lasting_level_of_sales_is_accepted() -> None:
    epochs = Epochs()
    for _ in range(LASTING_EPOCHS):
        assert epochs.see(units=6 * UNITS).weight.item() == 0.0
    assert counts(epochs.see(units=6 * UNITS)) == (VIEWS, 6 * UNITS, 1.0)


def test_purchases_count_when_their_refunds_are_known() -> None:
    epochs = Epochs()
    forged = 9 * UNITS
    assert epochs.see(units=UNITS + forged, views=VIEWS + forged, orders=UNITS + forged).weight.item() == 0.0
    for _ in range(20):
        # Ten times the usual purchases, and the refunds of those of the epoch before.
        assert epochs.release(sold=UNITS + forged, refunded=forged) == [(100_00, VIEWS, UNITS, UNITS)]
        more = {"units": UNITS, "views": VIEWS + forged, "refunded": forged, "orders": UNITS + forged}
        assert counts(epochs.see(**more)) == (0.0, 0.0, 0.0)
    # The last refunds come when nothing is forged any more.
    assert epochs.release(sold=UNITS, refunded=forged) == [(100_00, VIEWS, UNITS, UNITS)]
    assert counts(epochs.see(units=UNITS - forged, refunded=forged)) == (VIEWS, UNITS, 1.0)
    assert epochs.release(sold=UNITS, refunded=0) == []
    assert counts(epochs.see()) == (VIEWS, UNITS, 1.0)
    assert np.exp(epochs.baseline.conversion.item()) == pytest.approx(UNITS / VIEWS, rel=0.05)


def test_many_purchases_without_refunds_count_one_epoch_later() -> None:
    epochs = Epochs()
    assert counts(epochs.see(units=3 * UNITS, price=95_00)) == (0.0, 0.0, 0.0)
    assert epochs.release(sold=UNITS, refunded=0) == [(95_00, VIEWS, 3 * UNITS, -1)]
    # Without another such epoch, nothing waits.
    assert counts(epochs.see()) == (VIEWS, UNITS, 1.0)
    assert epochs.release(sold=UNITS, refunded=0) == []


def test_an_anomaly_that_is_not_refunded_does_not_count() -> None:
    epochs = Epochs()
    epochs.see(units=10 * UNITS)
    assert epochs.release(sold=UNITS, refunded=0) == []
    assert np.isnan(epochs.baseline.waiting_price.item())


def suspect() -> Epochs:
    """After purchases that were refunded after a change of the price: refunds of earlier prices are late units."""
    epochs = Epochs()
    epochs.see(views=VIEWS + 9 * UNITS, units=10 * UNITS)
    assert len(epochs.release(sold=UNITS, refunded=9 * UNITS)) == 1
    assert counts(epochs.see(price=103_00, late_units=-9 * UNITS)) == (VIEWS, UNITS, 1.0)
    return epochs


def test_less_is_needed_to_wait_after_unusual_refunds() -> None:
    usual = Epochs()
    usual.see(price=103_00)
    assert usual.see(units=1.5 * UNITS).weight.item() == 1.0
    assert suspect().see(units=1.5 * UNITS).weight.item() == 0.0
    assert counts(suspect().see()) == (VIEWS, UNITS, 1.0)


def test_a_suspect_product_waits_for_refunds_for_four_epochs() -> None:
    epochs = suspect()
    epochs.see(units=3 * UNITS)
    for _ in range(2):
        assert epochs.release(sold=UNITS, refunded=0) == []
        assert counts(epochs.see()) == (VIEWS, UNITS, 1.0)
    assert epochs.release(sold=UNITS, refunded=2 * UNITS) == [(100_00, pytest.approx(VIEWS - 2 * UNITS), UNITS, -1)]
    # Without refunds, they never count.
    epochs = suspect()
    for _ in range(4):
        epochs.see(units=3 * UNITS)
        assert epochs.release(sold=UNITS, refunded=0) == []
    assert np.isnan(epochs.baseline.waiting_price.item())


def test_refunds_of_other_prices_do_not_reduce_the_sales_that_wait() -> None:
    epochs = suspect()
    epochs.see(units=3 * UNITS)
    assert epochs.release(sold=UNITS, refunded=9 * UNITS, returned=0) == []
    assert epochs.baseline.waiting_units.item() == 3 * UNITS


def test_suspicion_ends() -> None:
    epochs = suspect()
    for _ in range(14):
        epochs.see()
    assert counts(epochs.see(units=1.5 * UNITS)) == (VIEWS, 1.5 * UNITS, 1.0)


def test_usual_refunds_are_no_anomaly() -> None:
    # A quarter of the sales at first, later more.
    epochs = Epochs(units=18, refunded=7)
    for _ in range(9):
        epochs.see(units=15, refunded=10)
    assert counts(epochs.see(units=14, refunded=11)) == (VIEWS, 14.0, 1.0)


def test_net_units_are_never_negative() -> None:
    epochs = Epochs(usual=0)
    assert epochs.see(units=-3, refunded=5).units.item() == 0
    assert epochs.see(units=-1, refunded=1).units.item() == 0


@pytest.mark.parametrize(("most_holds", "first"), [(0, 0), (1, 1), (2, 2), (4, 4)])
def test_holds_are_limited(most_holds: int, first: int) -> None:
    epochs = Epochs(most_holds=most_holds)
    held = [bool(epochs.see(units=10 * UNITS if week % 2 else 0).is_held.item()) for week in range(80)]
    assert sum(held[:first]) == first
    assert sum(held) <= most_holds + 80 / 8


def test_an_epoch_out_of_stock_changes_nothing() -> None:
    epochs = Epochs()
    before = epochs.baseline
    seen = epochs.see(views=0, units=0, days=0)
    assert counts(seen) == (0.0, 0.0, 1.0)
    for name, column in epochs.baseline.columns().items():
        assert column.tolist() == pytest.approx(getattr(before, name).tolist(), abs=0, nan_ok=True)


def test_products_are_filtered_independently() -> None:
    seen = signals(product=[1, 2, 3], views=[VIEWS, VIEWS, 0.0], units=[UNITS, UNITS, 0.0])
    baseline, _ = filter_anomalies(Baseline.unknown(3), seen, most_holds=2)
    later = seen.with_columns(views=np.array([10 * VIEWS, VIEWS, VIEWS]))
    _, filtered = filter_anomalies(baseline, later, most_holds=2)
    assert filtered.weight[0] < 1
    assert filtered.weight[1:].tolist() == [1.0, 1.0]
    assert filtered.is_held.tolist() == [True, False, False]


def test_a_hold_is_named_explained_and_replayed() -> None:
    seen = Epochs().see(views=10 * VIEWS)
    chosen = policy()
    state = chosen.strategy().start(seen, {})
    decisions = decide(chosen, state, seen, 3)
    assert decisions[0].guardrails == ("anomaly_hold",)
    assert decisions[0].sentence == (
        "Kept at 100.00: views, sales or refunds jumped by more than a change of the price explains."
    )
    inputs = pack_inputs(chosen, state, seen, 3)
    assert replay(inputs)[0] == decisions[0]
    assert explain_inputs(inputs)["demand"].startswith(
        "10,000 views and 25 units sold, net of refunds; unusual for this product, and used as 1,000 views and 25.0"
    )
    free = policy(guardrails={"anomaly_epochs": 0})
    assert "anomaly_hold" not in decide(free, state, seen, 3)[0].guardrails
