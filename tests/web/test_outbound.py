"""How many jobs of tasks that reach out one key may hand in."""

import pytest

from app.config import default_settings
from app.queue.app import create
from app.queue.catalog import TaskInfo
from app.tasks.email import send_email
from app.tasks.http_request import http_request
from app.tasks.jokes import fetch_and_cache_joke
from app.tasks.reports import generate_report
from app.web.errors import TooManyJobs
from app.web.outbound import MOST_BUCKETS, OutboundLimit

CATALOG = create(default_settings()).catalog
MAIL, HTTP = CATALOG.resolve(send_email.name), CATALOG.resolve(http_request.name)


class Clock:
    """Seconds, as a test says."""

    now = 0.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> OutboundLimit:
    """Six jobs in a minute."""
    return OutboundLimit(6, clock)


def spend(limit: OutboundLimit, jobs: int = 1, *, key: str = "shop", info: TaskInfo = MAIL) -> None:
    """Hand jobs in."""
    with limit.spending(key, info, [{}] * jobs):
        pass


def test_a_minutes_jobs(limit: OutboundLimit, clock: Clock):
    """After a rest a minute's jobs are let in at once, then as many in a minute; a refusal says how long to wait."""
    for _ in range(6):
        spend(limit)
    with pytest.raises(TooManyJobs) as caught:
        spend(limit)
    assert caught.value.seconds == pytest.approx(10)
    assert "6 jobs of send-email in a minute" in str(caught.value)
    clock.now += 10
    spend(limit)
    with pytest.raises(TooManyJobs):
        spend(limit)


def test_each_key_and_task(limit: OutboundLimit):
    """One key's mail limits neither its requests nor another key's mail."""
    spend(limit, 6)
    spend(limit, 6, info=HTTP)
    spend(limit, 6, key="billing")


def test_many_at_once(limit: OutboundLimit, clock: Clock):
    """A batch larger than a minute's worth is let in after a rest, and its time is then to be waited for."""
    spend(limit, 12)
    with pytest.raises(TooManyJobs) as caught:
        spend(limit)
    assert caught.value.seconds == pytest.approx(70)
    clock.now += 70
    spend(limit)


def test_what_is_refused_does_not_count(limit: OutboundLimit):
    """Jobs that were not made, because something refused them or they were there already, do not count."""
    with pytest.raises(LookupError), limit.spending("shop", MAIL, [{}] * 6):
        raise LookupError
    with limit.spending("shop", MAIL, [{}] * 6) as spent:
        spent.made = False
    spend(limit, 6)


def test_other_tasks(limit: OutboundLimit):
    """Tasks that do not reach out are not limited, and 0 limits nothing."""
    spend(limit, 1_000, info=CATALOG.resolve(fetch_and_cache_joke.name))
    spend(OutboundLimit(0), 1_000)


def test_by_its_arguments(limit: OutboundLimit):
    """Of a task that reaches out with some arguments alone, the jobs with these count."""
    report = CATALOG.resolve(generate_report.name)
    mailed = {"mail_to": ["boss@example.com"]}
    with limit.spending("shop", report, [{}, {"mail_to": None}, mailed] * 6):
        pass
    with limit.spending("shop", report, [{}]):
        pass
    with pytest.raises(TooManyJobs), limit.spending("shop", report, [mailed]):
        pass


def test_memory(limit: OutboundLimit):
    """However many keys there are, a bounded number is remembered."""
    for number in range(MOST_BUCKETS + 10):
        spend(limit, key=str(number))
    assert len(limit._buckets) == MOST_BUCKETS
