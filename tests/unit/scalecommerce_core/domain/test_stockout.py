"""The times in which a product had no available units."""

from datetime import UTC, datetime, timedelta

from scalecommerce_core.domain.rollups import MOST_OUTAGES, OUTAGE_MEMORY, Stockout

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_ended_times_without_units_are_kept_for_four_weeks() -> None:
    stockout = Stockout().begin(NOW - 40 * DAY).end(NOW - 29 * DAY).begin(NOW - 20 * DAY).end(NOW - 19 * DAY)
    assert stockout.duration == 12 * DAY
    assert len(stockout.recent) == 2
    stockout = stockout.begin(NOW - 2 * DAY).end(NOW)
    assert stockout.recent == ((NOW - 20 * DAY, NOW - 19 * DAY), (NOW - 2 * DAY, NOW))
    assert stockout.total_until(NOW) == 14 * DAY
    assert stockout.total_between(NOW - OUTAGE_MEMORY, NOW) == 3 * DAY
    assert stockout.total_between(NOW - DAY, NOW) == DAY


def test_a_time_that_lasts_counts_up_to_now() -> None:
    lasting = Stockout().begin(NOW - 3 * DAY)
    assert lasting.total_between(NOW - 28 * DAY, NOW) == 3 * DAY
    assert lasting.total_between(NOW - DAY, NOW) == DAY


def test_an_end_before_its_beginning_is_no_time_without_units() -> None:
    assert Stockout().begin(NOW).end(NOW - DAY).recent == ()
    assert Stockout().end(NOW).recent == ()


def test_the_number_of_kept_times_is_limited() -> None:
    stockout = Stockout()
    for minute in range(0, 2 * MOST_OUTAGES + 2, 2):
        stockout = stockout.begin(NOW + timedelta(minutes=minute)).end(NOW + timedelta(minutes=minute + 1))
    assert len(stockout.recent) == MOST_OUTAGES
    assert stockout.recent[-1][0] == NOW + timedelta(minutes=2 * MOST_OUTAGES)
