"""A report by mail: the page to look at, with page and table as files, handed to `send-email` once for each key."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import timedelta

from ...queue.submit import Submission, submit_once
from ...queue.task import connection
from ...store.idempotency import Claim
from ...store.retry_report import RetryReport, Savings
from ..email import send_email
from .page import days_of, share

REMEMBERED = timedelta(days=30)
"""How long it is known that a report's mail is on its way, so that a try again sends no second one."""

_NAMED = 5
"""Dependencies in the lines of text."""


async def mail_report(  # noqa: PLR0913  What, to whom, by whom, and what keeps it from being sent twice.
    to: Sequence[str], report: RetryReport, *, page: str, table: str, sent_by: str, key: str
) -> int | None:
    """Have a report mailed, once for each key; return the job that does it."""
    stem = f"report-{report.day}" + (f"-to-{report.last_day}" if report.last_day != report.day else "")
    mail = Submission(
        task_name=send_email.name,
        args={
            "to": list(to),
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
    # Made again, a report has another time on it, and is the same mail.
    body = hashlib.sha256(key.encode()).digest()
    claim = Claim(actor=sent_by, route="mail", key=key, body_hash=body, ttl=REMEMBERED)
    async with connection() as conn:
        made = await submit_once(conn, mail, claim)
    return made if isinstance(made, int) else made.job_id


def _file(name: str, content: str, content_type: str) -> dict[str, str]:
    return {"name": name, "content": base64.b64encode(content.encode()).decode(), "content_type": content_type}


def _named(report: RetryReport) -> str:
    names = [each.name for each in report.dependencies[:_NAMED]]
    more = report.troubled - len(names)
    return (", ".join(names) or "none") + (f", and {more:,} more" if more else "")


def _saved(savings: Savings) -> str:
    """Money only where there was some: without a price an hour has none."""
    jobs = f"{savings.retries_ended_well:,} jobs by a retry"
    return f"{jobs}; {savings.saved:,.2f} by runs put off to quiet hours" if savings.saved else jobs


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
        f"Dependencies in trouble  {_named(report)}\n"
        f"Saved                {_saved(report.savings)}\n\n"
        "Everything is in the two files that come with this mail.\n"
    )
