"""`generate-report`: numbers of some days as a page and a table, kept as the job's result, and mailed once."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.config import MailSettings
from app.store.retry_report import WORST, RetryReport, report_days
from app.tasks.report.page import render_page, share, span
from app.tasks.report.table import HEAD, harmless, write_table

from ..application import Served, run_waiting_jobs, serving, settings_for
from ..store.history import fail, recover
from .mail_host import MailHost

pytestmark = pytest.mark.anyio


@pytest.fixture
def today() -> date:
    """As the test begins, and not when it was read: a run of all tests may see midnight."""
    return datetime.now(UTC).date()


@pytest.fixture
def now(today: date) -> dict[str, str]:
    """Arguments for a report of it."""
    return {"from": today.isoformat(), "to": today.isoformat()}


@pytest.fixture
async def mailing(database_url: str, post: MailHost) -> AsyncIterator[Served]:
    """A queue whose mail goes there."""
    given: dict[str, Any] = {"server": f"smtp://127.0.0.1:{post.port}", "sender": "shop@example.com"}
    async with serving(settings_for(database_url, mail=MailSettings(**given))) as both:
        yield both


async def made(served: Served, args: dict[str, Any]) -> dict[str, Any]:
    """The job that makes a report, when it has ended."""
    queue, client = served
    answer = await client.post("/tasks/generate-report", json={"args": args})
    assert answer.status_code == 202, answer.text
    await run_waiting_jobs(queue)
    job: dict[str, Any] = (await client.get(f"/jobs/{answer.json()['job_id']}")).json()
    assert job["state"] == "succeeded", job
    return job


def values(table: str) -> dict[tuple[str, str, str], str]:
    """The numbers of a table by section, name and measure."""
    head, *rows = csv.reader(io.StringIO(table))
    assert tuple(head) == HEAD
    return {(row[2], row[3], row[4]): row[5] for row in rows}


class Words(HTMLParser):
    """The text of a page, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and where it leads."""
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action"}]

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text.append(" ".join(data.split()))


async def test_a_report_on_demand(served: Served, conn: AsyncConnection, today: date, now: dict[str, str]):
    """It is stored as the job's result: the numbers, the page and the table, of the days that were asked for."""
    await recover(conn, failures=2, failure_type="TRANSIENT_NETWORK", fingerprint="a", message="refused by db")
    job = await made(served, now)
    result = job["result"]
    assert (job["queue"], job["priority"], job["task_type"]) == ("reports", 5, "report")
    assert (result["from"], result["to"], result["mailed_by"]) == (today.isoformat(), today.isoformat(), None)
    assert RetryReport.from_json(result["report"]).whole.retries == 2
    told = values(result["csv"])
    assert told["failure_type", "TRANSIENT_NETWORK", "failures"] == "2"
    assert told["failure_group", "a", "message"] == "refused by db"
    assert told["savings", "", "retries_ended_well"] == "1"
    assert {"TRANSIENT_NETWORK", "refused by db", "Succeeded"} <= set(Words(result["html"]).text)


@pytest.mark.parametrize(("period", "days"), [("day", 1), ("week", 7), ("month", 30)])
async def test_a_period_ends_yesterday(served: Served, period: str, days: int):
    """A period is so many whole days, and today is none of them."""
    result = (await made(served, {"period": period}))["result"]
    last = date.fromisoformat(result["to"])
    assert datetime.now(UTC).date() - last <= timedelta(days=2)
    assert last - date.fromisoformat(result["from"]) == timedelta(days=days - 1)


@pytest.mark.parametrize(("format_", "kept"), [("html", {"html"}), ("csv", {"csv"}), ("both", {"html", "csv"})])
async def test_the_format(served: Served, now: dict[str, str], format_: str, kept: set[str]):
    """What was asked for is kept, and nothing else."""
    result = (await made(served, now | {"format": format_}))["result"]
    assert set(result) & {"html", "csv"} == kept


@pytest.mark.parametrize(
    ("args", "field", "says"),
    [
        ({"from": "2026-02-02", "to": "2026-02-01"}, "from", "2026-02-02 is after 2026-02-01"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, "from", "732 days; at most 366 are reported"),
        ({"from": "yesterday"}, "from", "date"),
        ({"from": "2026-02-02T00:00:00"}, "from", "date"),
        ({"from": 1767225600}, "from", "date"),
        ({"to": "0001-01-01", "period": "week"}, "from", "0001-01-01 is where the calendar ends"),
        ({"from": "9999-12-31"}, "from", "9999-12-31 is where the calendar ends"),
        ({"period": "year"}, "period", "'day', 'week' or 'month'"),
        ({"format": "pdf"}, "format", "'html', 'csv' or 'both'"),
        ({"mail_to": ["nobody"]}, "mail_to", "not a mail address"),
    ],
)
async def test_what_is_refused(served: Served, args: dict[str, Any], field: str, says: str):
    """Days in the wrong order, too many of them, and what is no day, period, format or address make no job."""
    answer = await served[1].post("/tasks/generate-report", json={"args": args})
    assert answer.status_code == 422
    assert field in answer.text
    assert says in answer.text


async def test_by_mail(mailing: Served, post: MailHost, today: date, now: dict[str, str]):
    """The mail is text and the page, and both files go along; the result names the job that sends it."""
    job = await made(mailing, now | {"mail_to": ["boss@example.com"]})
    ((recipients, message),) = post.taken
    assert recipients == ["boss@example.com"]
    assert message["Subject"].startswith("Jobs and retries, ")
    files = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
    assert set(files) == {f"report-{today}.html", f"report-{today}.csv"}
    page, text = (message.get_body((kind,)) for kind in ("html", "plain"))
    assert page
    assert text
    assert page.get_content().replace("\r\n", "\n").strip() == job["result"]["html"].strip()
    assert "var(" not in page.get_content()  # Many mail programs know no variables in CSS, and drop what uses one.
    assert "Saved                0 jobs by a retry\n" in text.get_content().replace("\r\n", "\n")
    assert "PEAK_COST_PER_HOUR" not in page.get_content()  # Nobody has said what an hour costs.
    sent = (await mailing[1].get(f"/jobs/{job['result']['mailed_by']}")).json()
    assert (sent["task_name"], sent["state"]) == ("app.tasks.email.send_email", "succeeded")


async def test_one_mail(mailing: Served, post: MailHost, conn: AsyncConnection, now: dict[str, str]):
    """A report that is made again, as after a crash, is not mailed a second time."""
    job = await made(mailing, now | {"mail_to": ["boss@example.com"]})
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", [job["job_id"]])
    await conn.execute("UPDATE procrastinate_jobs SET status = 'todo' WHERE id = %s", [job["job_id"]])
    await run_waiting_jobs(mailing[0])
    again = (await mailing[1].get(f"/jobs/{job['job_id']}")).json()
    assert again["attempts"] == 2
    assert again["result"]["mailed_by"] == job["result"]["mailed_by"]
    assert len(post.taken) == 1


async def test_what_exceptions_say_is_text(conn: AsyncConnection, today: date):
    """What an exception said is no markup in the page and no formula in the table; the page loads nothing."""
    await fail(conn, message="=HYPERLINK(1)<script>alert(1)</script>", fingerprint="+f")
    report = await report_days(conn, today, today)
    words = Words(render_page(report, made_at=datetime.now(UTC)))
    assert "script" not in words.tags
    assert "=HYPERLINK(1)<script>alert(1)</script>" in words.text
    assert words.addresses == []
    assert values(write_table(report))["failure_group", "'+f", "message"].startswith("'=HYPERLINK(1)")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_formula(text: str):
    """Whatever a spreadsheet would reckon begins with an apostrophe."""
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("value", [0, -1, 2.5, None, "refused", "a=b", ""])
def test_others_stay(value: object):
    """Numbers, and text that is no formula, stay as they are."""
    assert harmless(value) == value


async def test_an_empty_period(conn: AsyncConnection):
    """Days on which nothing happened have a page and a table too."""
    report = await report_days(conn, date(2020, 1, 1), date(2020, 1, 7))
    words = Words(render_page(report, made_at=datetime.now(UTC)))
    assert {"1 January 2020 \N{EN DASH} 7 January 2020", "Nothing failed.", "None was met."} <= set(words.text)
    assert values(write_table(report))["jobs", "", "made"] == "0"


async def test_the_time_of_breakers(conn: AsyncConnection):
    """How long a breaker was open, held and on the ramp counts within the days, also where they began before."""
    await conn.execute(
        "INSERT INTO afresh.breaker_event (name, generation, before, after, at, cause) "
        "SELECT name, 1, before, after, at::timestamptz, 'c' FROM (VALUES "
        "('bank', 'closed', 'open', '2026-03-01 22:00Z'), ('bank', 'open', 'half_open', '2026-03-02 01:00Z'), "
        "('bank', 'half_open', 'open', '2026-03-02 01:30Z'), ('bank', 'open', 'half_open', '2026-03-02 02:00Z'), "
        "('bank', 'half_open', 'ramping', '2026-03-02 02:10Z'), ('bank', 'ramping', 'closed', '2026-03-02 02:15Z'), "
        "('bank', 'closed', 'open', '2026-03-02 23:00Z'), ('bank', 'open', 'half_open', '2026-03-03 05:00Z'), "
        "('post', 'closed', 'held', '2026-03-01 12:00Z'), ('post', 'held', 'ramping', '2026-03-02 12:00Z'), "
        "('post', 'ramping', 'closed', '2026-03-02 12:05Z'), "
        "('well', 'closed', 'open', '2026-03-04 12:05Z')) AS e (name, before, after, at)"
    )
    await conn.execute("INSERT INTO afresh.breaker (name, state, changed_at) VALUES ('old', 'isolated', '2026-01-01')")
    day = date(2026, 3, 2)
    found = {each.name: each for each in (await report_days(conn, day, day)).dependencies}
    assert list(found) == ["old", "post", "bank"]
    bank, post, old = found["bank"], found["post"], found["old"]
    assert (bank.openings, bank.open_seconds, bank.ramping_seconds) == (1, (2 * 60 + 10 + 60) * 60, 300)
    assert (bank.state, post.state, old.state) == ("open", "closed", "isolated")
    assert (post.openings, post.held_seconds, old.held_seconds) == (0, 12 * 3600, 24 * 3600)


async def test_many_hosts_in_trouble(mailing: Served, post: MailHost, conn: AsyncConnection, now: dict[str, str]):
    """Where thousands of hosts were in trouble the report names the worst, says how many there were, and is kept."""
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, changed_at) SELECT 'host-' || g || '.customers.example.com', "
        "'isolated', now() - g * interval '1 ms' FROM generate_series(1, 3000) g"
    )
    result = (await made(mailing, now | {"mail_to": ["boss@example.com"]}))["result"]
    report = RetryReport.from_json(result["report"])
    assert (report.troubled, len(report.dependencies)) == (3000, WORST)
    assert report.dependencies[0].name == "host-3000.customers.example.com"
    assert values(result["csv"])["dependencies", "", "troubled"] == "3000"
    assert any("3 000 were in trouble" in text for text in Words(result["html"]).text)
    text = post.taken[0][1].get_body(("plain",))
    assert text
    assert "host-3000.customers.example.com" in text.get_content()
    assert ", and 2,995 more" in text.get_content()


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "\N{EN DASH}"),
        (1, 2, "50\u202f%"),
        (999_999, 1_000_000, "99.9\u202f%"),
        (1, 100_000, "0.1\u202f%"),
        (3, 3, "100\u202f%"),
    ],
)
def test_shares(part: int, whole: int, text: str):
    """A share says all or nothing only of all or nothing."""
    assert share(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0\u202fs"), (2.5, "2.5\u202fs"), (60, "1 min"), (3725, "1 h 2 min"), (90_000, "1 d 1 h")]
)
def test_spans(seconds: float, text: str):
    """A time is told in its two largest units."""
    assert span(seconds) == text
