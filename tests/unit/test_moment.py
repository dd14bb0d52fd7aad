from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.errors import MalformedError
from evidence_store.moment import Moment, Precision, in_utc

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "precision", "earliest"),
    [
        ("2026Z", Precision.YEAR, datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-03+01:00", Precision.MONTH, datetime(2026, 2, 28, 23, tzinfo=UTC)),
        ("2026-03-14Z", Precision.DAY, datetime(2026, 3, 14, tzinfo=UTC)),
        ("2026-03-14T10:22+01:00", Precision.MINUTE, datetime(2026, 3, 14, 9, 22, tzinfo=UTC)),
        ("2026-03-14T10:22:05Z", Precision.SECOND, datetime(2026, 3, 14, 10, 22, 5, tzinfo=UTC)),
        (
            "2026-03-14T10:22:05.25-05:30",
            Precision.FRACTION,
            datetime(2026, 3, 14, 15, 52, 5, 250000, tzinfo=UTC),
        ),
    ],
)
def test_a_moment_is_as_exact_as_it_is_written(
    text: str, precision: Precision, earliest: datetime
) -> None:
    moment = Moment.parse(text)
    assert (moment.precision, moment.earliest, str(moment)) == (precision, earliest, text)


def test_unknown_is_a_moment_and_is_never_in_the_future() -> None:
    moment = Moment.parse("unknown").not_after(NOW)
    assert moment.is_unknown
    assert moment.earliest is None


@pytest.mark.parametrize(
    "text",
    ["2026", "2026-03", "2026-03-14", "2026-03-14T10:22:05", "2026-03-14 10:22"],
)
def test_a_moment_without_a_zone_is_refused_with_advice(text: str) -> None:
    with pytest.raises(MalformedError, match="zone"):
        Moment.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "14.3.2026",
        "2026-02-30Z",
        "2026-13Z",
        "2026-03-14T25:00Z",
        "2026-03-14T10:22+15:00",
        "2026-03-14T10:22+01:75",
        "0000Z",
        "2026-03-14T10:22:05Z\n",
        "9" * 100,
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Moment.parse(text)


def test_a_moment_in_the_future_is_refused() -> None:
    with pytest.raises(MalformedError, match="future"):
        Moment.parse("2026-03-15Z").not_after(NOW)


def test_a_clock_that_is_a_little_ahead_is_forgiven() -> None:
    assert Moment.parse("2026-03-14T12:04:00Z").not_after(NOW).precision is Precision.SECOND


def test_today_and_this_year_are_not_in_the_future() -> None:
    for text in ("2026Z", "2026-03Z", "2026-03-14Z"):
        assert Moment.parse(text).not_after(NOW).text == text


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001 - the zone is drawn
    st.integers(-14 * 60, 14 * 60),
)
def test_any_time_with_a_zone_names_the_instant_it_says(when: datetime, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    moment = Moment.parse(when.isoformat(timespec="microseconds") + zone)
    assert moment.earliest == when.replace(tzinfo=UTC) - timedelta(minutes=minutes)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(MalformedError):
        in_utc(datetime(2026, 3, 14))  # noqa: DTZ001 - this is what must be refused
