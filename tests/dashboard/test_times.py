"""Times within sentences, as a browser is given them."""

from datetime import UTC, datetime

import pytest

from app.dashboard.times import with_times

EVENING = datetime(2030, 1, 31, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2030-01-31 18:00 UTC", "2030-01-31T18:00:00+00:00"),
        ("2030-01-31 18:00:05 UTC", "2030-01-31T18:00:05+00:00"),
        ("2030-01-31T18:00:05Z", "2030-01-31T18:00:05+00:00"),
        ("2030-01-31T18:00:05.123456+02:00", "2030-01-31T18:00:05.123456+02:00"),
    ],
)
def test_with_its_day(said: str, moment: str):
    """A time with its day and zone is told as it is, until a browser tells it otherwise."""
    told = f'stopped until <time datetime="{moment}" data-clock>{said}</time>: moving'
    assert with_times(f"stopped until {said}: moving") == told


@pytest.mark.parametrize(
    ("clock", "day"), [("12:03:00", "31"), ("23:59:59", "31"), ("00:00:01", "01"), ("00:03:04", "01")]
)
def test_without_its_day(clock: str, day: str):
    """A time of a decision is told with its zone, and is of the day that it was nearest to."""
    month = "01" if day == "31" else "02"
    element = f'<time datetime="2030-{month}-{day}T{clock}+00:00" data-clock="medium">{clock} UTC</time>'
    assert with_times(f"open until {clock}", EVENING) == f"open until {element}"
    assert with_times(f"given back → {clock} · waits", EVENING) == f"given back → {element} · waits"


def test_line_of_a_message():
    """A line of what was sent begins with a time, which may be of the day before."""
    midnight = EVENING.replace(hour=0, minute=1)
    told = '<time datetime="2030-01-30T23:59:00+00:00" data-clock="short">23:59 UTC</time>  over: Queue a is long'
    assert with_times("23:59 UTC  over: Queue a is long", midnight) == told


@pytest.mark.parametrize(
    "text",
    [
        "12:03:00 is what somebody wrote",
        "retry-after: Wed, 21 Oct 2015 until 07:28:00 GMT",
        "until 25:00:00",
        "2030-02-31 18:00 UTC",
        "2030-01-31 18:00",
        "ratio 10:20 of 2030",
    ],
)
def test_no_time(text: str):
    """What is no time, or does not say of which zone, stays as it is."""
    assert with_times(text, EVENING) == text


def test_nobody_knows_when():
    """Where it is not known when a sentence was written, a time without its day stays as it is."""
    assert with_times("open until 12:03:00 → 12:03:04") == "open until 12:03:00 → 12:03:04"


def test_text_is_text():
    """Markup beside a time is shown, not obeyed."""
    told = str(with_times("<b> until 2030-01-31 18:00 UTC <i>"))
    assert told.startswith("&lt;b&gt; until <time ")
    assert told.endswith("</time> &lt;i&gt;")
