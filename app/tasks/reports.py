"""The report of what jobs, retries and dependencies did, made when somebody asks for it, and mailed."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, validate_call

from ..config import Settings
from ..queue.task import connection, current_job, task
from ..retry.failure import FailureType
from ..retry.markers import Permanent
from ..store.retry_report import report_days
from .mail.message import Recipients
from .origin import origin
from .report.mailing import mail_report
from .report.page import render_page
from .report.table import write_table

LONGEST = 366
"""Days of one report."""

PERIODS = {"day": 1, "week": 7, "month": 30}
"""Whole days, the last of which is yesterday."""

Period = Literal["day", "week", "month"]
Format = Literal["html", "csv", "both"]
First = Annotated[date | None, Field(alias="from", description="The first day, in UTC; in place of period.")]
Last = Annotated[date | None, Field(description="The last day; yesterday if it is not said.")]


def check(args: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """What is wrong with the days; their types are right."""
    del settings  # Another's checks look at them.
    first, last = (None if args.get(name) is None else date.fromisoformat(args[name]) for name in ("from", "to"))
    fault = _fault(*_days(args.get("period") or "day", first, last, today=datetime.now(UTC).date()))
    return {"from": fault} if fault else {}


def _is_mailed(args: Mapping[str, Any]) -> bool:
    return args.get("mail_to") is not None


@task(
    name="app.tasks.reports.generate_report",
    queue="reports",
    priority=5,
    task_type="report",
    http=True,
    outbound=_is_mailed,
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
    mailed_by = None
    if mail_to is not None:
        name = (await origin()).name
        mailed_by = await mail_report(mail_to, report, page=page, table=table, sent_by="generate_report", key=name)
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
    return first or date.fromordinal(max(1, last.toordinal() - PERIODS[period] + 1)), last


def _fault(first: date, last: date) -> str | None:
    if ends := {first, last} & {date.min, date.max}:
        return f"{min(ends)} is where the calendar ends"
    if first > last:
        return f"{first} is after {last}"
    days = (last - first).days + 1
    return f"{days:,} days; at most {LONGEST} are reported" if days > LONGEST else None
