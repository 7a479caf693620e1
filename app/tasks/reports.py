"""The report of what jobs, retries and dependencies did, made when somebody asks for it, and mailed."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, validate_call

from ..config import Settings
from ..queue.submit import Submission, submit_once
from ..queue.task import connection, current_job, task
from ..retry.failure import FailureType
from ..retry.markers import Permanent
from ..store.idempotency import Claim
from ..store.retry_report import RetryReport, report_days
from .email import send_email
from .mail.message import Recipients
from .origin import origin
from .report.page import days_of, render_page, share
from .report.table import write_table

LONGEST = 366
"""Days of one report."""

PERIODS = {"day": 1, "week": 7, "month": 30}
"""Whole days, the last of which is yesterday."""

Period = Literal["day", "week", "month"]
Format = Literal["html", "csv", "both"]
First = Annotated[date | None, Field(alias="from", description="The first day, in UTC; in place of period.")]
Last = Annotated[date | None, Field(description="The last day; yesterday if it is not said.")]

REMEMBERED = timedelta(days=30)
"""How long it is known that a report's mail is on its way, so that a try again sends no second one."""


def check(args: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """What is wrong with the days; their types are right."""
    del settings  # Another's checks look at them.
    first, last = (None if args.get(name) is None else date.fromisoformat(args[name]) for name in ("from", "to"))
    fault = _fault(*_days(args.get("period") or "day", first, last, today=datetime.now(UTC).date()))
    return {"from": fault} if fault else {}


@task(
    name="app.tasks.reports.generate_report",
    queue="reports",
    priority=5,
    task_type="report",
    http=True,
    outbound=True,
    check=check,
    timeout=timedelta(minutes=5),
)
@validate_call(config=ConfigDict(hide_input_in_errors=True))
async def generate_report(
    period: Period = "day",
    from_: First = None,
    to: Last = None,
    format: Format = "both",  # noqa: A002  An argument of the job.
    mail_to: Annotated[Recipients | None, Field(description="Who gets it by mail.")] = None,
) -> dict[str, Any]:
    """Make the report of jobs, retries, failures and dependencies of some days, and mail it if asked.

    Returns:
        The days; the numbers, as `RetryReport` has them; `html` and `csv` as asked for; and the job that mails them.

    Raises:
        Permanent: The days are in the wrong order, or too many.
    """
    now = datetime.now(UTC)
    first, last = _days(period, from_, to, today=now.date())
    if fault := _fault(first, last):
        raise Permanent(fault, type=FailureType.PERMANENT_VALIDATION)
    async with connection() as conn:
        cost = current_job().app.settings.off_peak.cost_per_hour
        report = await report_days(conn, first, last, peak_cost_per_hour=cost)
    page, table = render_page(report, made_at=now), write_table(report)
    written = {name: text for name, text in (("html", page), ("csv", table)) if format in {name, "both"}}
    mailed_by = None if mail_to is None else await _mail(mail_to, report, page, table)
    return {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "report": report.as_json(),
        **written,
        "mailed_by": mailed_by,
    }


def _days(period: str, first: date | None, last: date | None, *, today: date) -> tuple[date, date]:
    """The first and the last day."""
    last = last or max(today - timedelta(days=1), first or date.min)
    return first or last - timedelta(days=PERIODS[period] - 1), last


def _fault(first: date, last: date) -> str | None:
    if first > last:
        return f"{first} is after {last}"
    days = (last - first).days + 1
    return f"{days:,} days; at most {LONGEST} are reported" if days > LONGEST else None


async def _mail(to: list[str], report: RetryReport, page: str, table: str) -> int | None:
    """Have the report mailed, once for all attempts of this job; return the job that does it."""
    name = (await origin()).name
    stem = f"report-{report.day}" + (f"-to-{report.last_day}" if report.last_day != report.day else "")
    mail = Submission(
        task_name=send_email.name,
        args={
            "to": to,
            "subject": f"Jobs and retries, {days_of(report)}",
            "text": summary(report),
            "html": page,
            "attachments": [
                _file(f"{stem}.html", page, "text/html"),
                _file(f"{stem}.csv", table, "text/csv"),
            ],
        },
        queue=send_email.queue,
        priority=3,
        task_type="email",
    )
    claim = Claim(
        actor="generate_report",
        route="mail",
        key=name,
        body_hash=hashlib.sha256(name.encode()).digest(),
        ttl=REMEMBERED,
    )
    async with connection() as conn:
        made = await submit_once(conn, mail, claim)
    return made if isinstance(made, int) else made.job_id


def _file(name: str, content: str, content_type: str) -> dict[str, str]:
    return {"name": name, "content": base64.b64encode(content.encode()).decode(), "content_type": content_type}


def summary(report: RetryReport) -> str:
    """The report in a few lines, for whoever reads no HTML."""
    jobs, whole = report.jobs, report.whole
    return (
        f"Jobs and retries, {days_of(report)} (UTC)\n\n"
        f"Jobs that ended      {jobs.ended:,}, of which {share(jobs.succeeded, jobs.ended)} succeeded\n"
        f"Retries              {whole.retries:,}; of those that ended, "
        f"{share(whole.retries_succeeded, whole.retries_ended)} ended well\n"
        f"Failure groups       {report.groups:,}, {report.new_groups:,} of them new\n"
        f"Dead letters         {report.letters.died:,}; {report.letters.pending:,} wait for somebody now\n"
        f"Dependencies in trouble  {', '.join(each.name for each in report.dependencies) or 'none'}\n\n"
        "Everything is in the two files that come with this mail.\n"
    )
