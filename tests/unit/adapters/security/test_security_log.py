import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import evolve

from adapters.security.security_log import (
    LINES_PER_ADDRESS,
    LINES_PER_PERIOD,
    LOGGER_NAME,
    PERIOD_SECONDS,
    LoggingSecurityLog,
)
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import SecurityEvent, SecurityEventKind

FAILED = SecurityEvent(SecurityEventKind.LOG_IN_FAILED, address="192.0.2.1")


class SummedCounters:
    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int]) -> None:
        self.sums.update(counts)


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def counters() -> SummedCounters:
    return SummedCounters()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def log(counters: SummedCounters, time: Time) -> Iterator[LoggingSecurityLog]:
    log = LoggingSecurityLog(counters, time)
    yield log
    log.close()


def fields(record: logging.LogRecord) -> dict[str, Any]:
    names = ("security_event", "account_id", "actor_id", "address", "detail", "count")
    return {name: getattr(record, name) for name in names if hasattr(record, name)}


def test_an_event_is_one_line_with_the_given_fields_only(
    log: LoggingSecurityLog, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        log.record(FAILED)
        log.record(
            SecurityEvent(SecurityEventKind.STAFF_APPOINTED, AccountId(7), actor_id=AccountId(1), detail="command")
        )
    assert [fields(record) for record in caplog.records] == [
        {"security_event": "log_in_failed", "address": "192.0.2.1"},
        {"security_event": "staff_appointed", "account_id": 7, "actor_id": 1, "detail": "command"},
    ]
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


def test_a_flood_of_events_is_counted_and_summed_up_in_one_line(
    log: LoggingSecurityLog, counters: SummedCounters, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        for number in range(LINES_PER_PERIOD + 25):
            log.record(evolve(FAILED, address=f"192.0.2.{number}"))
        log.record(SecurityEvent(SecurityEventKind.SIGN_UP))
        time.now += PERIOD_SECONDS
        log.flush()
    lines = [fields(record) for record in caplog.records]
    assert len([line for line in lines if "address" in line]) == LINES_PER_PERIOD
    assert lines[-2:] == [{"security_event": "sign_up"}, {"security_event": "log_in_failed", "count": 25}]
    assert counters.sums == {"log_in_failed": LINES_PER_PERIOD + 25, "sign_up": 1}


def test_a_flood_from_one_address_does_not_hide_the_others(
    log: LoggingSecurityLog, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        for _ in range(LINES_PER_PERIOD * 2):
            log.record(FAILED)
        log.record(evolve(FAILED, address="198.51.100.7"))
        time.now += PERIOD_SECONDS
        log.flush()
    lines = [fields(record) for record in caplog.records]
    assert [line.get("address") for line in lines] == ["192.0.2.1"] * LINES_PER_ADDRESS + ["198.51.100.7", None]
    assert lines[-1]["count"] == LINES_PER_PERIOD * 2 - LINES_PER_ADDRESS


def test_a_new_period_has_lines_again(log: LoggingSecurityLog, time: Time, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(LINES_PER_PERIOD):
        log.record(FAILED)
    time.now += PERIOD_SECONDS
    log.flush()
    caplog.clear()
    log.record(FAILED)
    assert len(caplog.records) == 1


def test_close_passes_on_the_remaining_counts(log: LoggingSecurityLog, counters: SummedCounters) -> None:
    log.record(FAILED)
    log.close()
    assert counters.sums == {"log_in_failed": 1}
