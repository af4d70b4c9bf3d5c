"""Windows of time in UTC: where they begin and end, how they are written, for how long totals are kept."""

from __future__ import annotations

from calendar import timegm
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leasegate import InvalidRequest
from leasegate.windows import (
    DEFAULT_PLAN,
    LAST_MS,
    MAX_RETENTION_DAYS,
    WINDOWS,
    UsagePlan,
    Window,
    check_window,
    count_windows,
    read_start,
    to_ms,
    to_time,
    window_end_ms,
    window_start_ms,
    write_start,
)

DAY_MS = 86_400_000
windows = st.sampled_from(WINDOWS)
times = st.integers(0, LAST_MS)


def at(*moment: int) -> int:
    """Return a moment of UTC in ms, by another way than the one that is tested."""
    year, month, day, *rest = (*moment, *(1, 1)[: max(0, 3 - len(moment))])
    return timegm((year, month, day, *rest, *(0,) * (3 - len(rest)))) * 1000


@pytest.mark.parametrize(
    ("window", "start_ms", "end_ms"),
    [
        ("minute", at(2026, 11, 21, 22, 39), at(2026, 11, 21, 22, 40)),
        ("hour", at(2026, 11, 21, 22), at(2026, 11, 21, 23)),
        ("day", at(2026, 11, 21), at(2026, 11, 22)),
        ("month", at(2026, 11, 1), at(2026, 12, 1)),
    ],
)
def test_a_time_lies_in_one_window_of_each_length(window: Window, start_ms: int, end_ms: int) -> None:
    now_ms = at(2026, 11, 21, 22, 39, 20) + 123
    assert window_start_ms(window, now_ms) == start_ms
    assert window_end_ms(window, start_ms) == end_ms


@pytest.mark.parametrize(
    ("year", "month", "days"),
    [
        *[(2026, 1, 31), (2026, 2, 28), (2028, 2, 29), (2100, 2, 28), (2000, 2, 29)],
        *[(2026, 4, 30), (2026, 7, 31), (2026, 8, 31), (2026, 12, 31), (1970, 1, 31), (9999, 12, 31)],
    ],
)
def test_months_are_as_long_as_they_are(year: int, month: int, days: int) -> None:
    start_ms = at(year, month, 1)
    end_ms = window_end_ms("month", start_ms)
    assert end_ms - start_ms == days * DAY_MS
    assert window_start_ms("month", end_ms - 1) == start_ms
    if end_ms <= LAST_MS:
        assert window_start_ms("month", end_ms) == end_ms


@given(windows, times)
def test_every_time_lies_between_the_start_and_the_end_of_its_window(window: Window, at_ms: int) -> None:
    start_ms = window_start_ms(window, at_ms)
    end_ms = window_end_ms(window, start_ms)
    assert start_ms <= at_ms < end_ms
    assert window_start_ms(window, start_ms) == window_start_ms(window, end_ms - 1) == start_ms


@given(windows, times)
def test_the_last_ms_of_a_window_and_the_first_of_the_next_lie_in_two(window: Window, at_ms: int) -> None:
    end_ms = window_end_ms(window, window_start_ms(window, at_ms))
    if end_ms <= LAST_MS:
        assert window_start_ms(window, end_ms) == end_ms
        assert window_start_ms(window, end_ms - 1) < end_ms


@given(windows, times)
def test_what_was_written_of_a_start_is_read_back(window: Window, at_ms: int) -> None:
    start_ms = window_start_ms(window, at_ms)
    assert read_start(write_start(start_ms)) == start_ms


@given(times, times)
def test_texts_of_starts_sort_as_their_times(one_ms: int, other_ms: int) -> None:
    one, other = window_start_ms("minute", one_ms), window_start_ms("minute", other_ms)
    assert (write_start(one) < write_start(other)) == (one < other)


def test_a_start_is_written_by_the_minute_in_utc() -> None:
    assert write_start(at(2026, 11, 21, 22)) == "2026-11-21T22:00Z"


@pytest.mark.parametrize(
    "text", ["", "2026-11-21", "2026-11-21T22:00", "2026-11-21T22:00:00Z", "2026-13-01T00:00Z"]
)
def test_what_is_no_start_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not match|unconverted"):
        read_start(text)


@given(windows, st.integers(0, 4_102_444_800_000), st.integers(0, 40 * DAY_MS))
def test_windows_are_counted_as_they_follow_each_other(window: Window, at_ms: int, span_ms: int) -> None:
    start_ms = window_start_ms(window, at_ms)
    if window == "minute":
        span_ms //= 400
    end_ms, number, each = start_ms + 1 + span_ms, 0, start_ms
    while each < end_ms:
        number, each = number + 1, window_end_ms(window, each)
    assert count_windows(window, start_ms, end_ms) == number


@given(times)
def test_times_become_ms_again(at_ms: int) -> None:
    assert to_ms(to_time(at_ms)) == at_ms


def test_a_time_of_another_zone_is_the_same_time() -> None:
    assert to_ms(datetime.fromisoformat("2026-11-21T23:39:20+01:00")) == at(2026, 11, 21, 22, 39, 20)
    assert to_time(at(2026, 11, 21)) == datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize("value", ["week", "", "Hour", None, 1])
def test_other_windows_are_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest) as error:
        check_window(value)
    assert error.value.field == "window"


# --- plans -------------------------------------------------------------------------------------------


def test_by_default_hours_are_kept_for_35_days_and_days_for_400() -> None:
    assert DEFAULT_PLAN.windows == ("hour", "day")
    hour_ms, day_ms = at(2026, 11, 21, 22), at(2026, 11, 21)
    assert DEFAULT_PLAN.expires_at_ms("hour", hour_ms) == hour_ms + 3_600_000 + 35 * DAY_MS
    assert DEFAULT_PLAN.expires_at_ms("day", day_ms) == day_ms + 401 * DAY_MS


def test_a_month_is_kept_from_its_end_on() -> None:
    plan = UsagePlan({"month": 1})
    assert plan.expires_at_ms("month", at(2028, 2, 1)) == at(2028, 3, 2)
    assert plan.expires_at_ms("month", at(9999, 12, 1)) == LAST_MS + 1 + DAY_MS


def test_a_plan_names_its_windows_from_the_shortest() -> None:
    assert UsagePlan({"month": 1, "minute": 2, "day": 3}).windows == ("minute", "day", "month")


@pytest.mark.parametrize(
    ("retention", "field"),
    [
        ({}, "windows"),
        ({"week": 1}, "window"),
        ({"hour": 0}, "retention_days.hour"),
        ({"hour": MAX_RETENTION_DAYS + 1}, "retention_days.hour"),
        ({"hour": True}, "retention_days.hour"),
    ],
)
def test_a_plan_that_cannot_be_kept_to_is_refused_by_field(retention: dict[Window, int], field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        UsagePlan(retention)
    assert error.value.field == field
