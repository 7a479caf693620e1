"""Dead letters as they are spoken of from outside: which are meant, and what is to be done about them."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..queue.app import Afresh
from ..queue.letters import AHEAD, Changes
from ..retry.failure import FailureType, Remediation
from ..store.dead_letters import PROPERTIES, LetterFilter, find_letter, find_oldest, sum_letters
from ..store.paging import Row
from .fields import Cause, Duration, JobQueue, LetterStatus, Moment, Priority, QueueName, SearchText, Text, Time
from .keyring import Caller
from .paging import BIGGEST_ID, PageQuery
from .permitted import deferrable

FASTEST = 10_000.0
"""Letters in a second; more than any database will do."""

FASTEST_UNASKED = 50.0
HIGHEST_SHARE = 0.5


class LetterQuery(PageQuery):
    """Which letters, and which part of them."""

    status: LetterStatus | None = None
    task: QueueName | None = Field(None, description="Slug or full name.")
    queue: QueueName | None = None
    failure_type: FailureType | None = None
    group: Text | None = Field(None, description="Fingerprint of the failure.")
    dependency: Text | None = Field(None, description="Of the job, or of its task.")
    cause: Cause | None = None
    bulk: int | None = Field(None, ge=1, le=BIGGEST_ID, description="The bulk action that was the last to touch them.")
    died_from: Moment | None = Field(None, description="Died at this time or later; ISO 8601 with an offset.")
    died_to: Moment | None = Field(None, description="Died before.")
    text: SearchText | None = Field(
        None,
        description="Occurs in the name of the task or queue, in the exception or the note, in upper or lower case. "
        "Arguments are not searched.",
    )


class ReplayBody(BaseModel):
    """What is to be different this time. What is not said is as it was."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "the token is renewed", "ahead": True}]}
    )

    args: dict[str, Any] | None = Field(
        None, description="All arguments, in place of the old ones. What is masked in them stays as it was."
    )
    queue: JobQueue | None = None
    priority: Priority | None = Field(None, description="1 to 10, higher first; or low, normal, high, critical.")
    ahead: bool = Field(default=False, strict=True, description="Before every other job of its queue.")
    run_at: Moment | None = Field(None, description="Not before then; ISO 8601 with an offset.")
    run_in: Duration | None = Field(None, description="Not before this has passed: seconds, or 30s, 5m, 2h, 7d.")
    reason: Text | None = Field(None, description="Why; it goes into the audit.")

    @model_validator(mode="after")
    def _no_contradiction(self) -> "ReplayBody":
        if self.run_at and self.run_in:
            raise ValueError("run_at and run_in: only one of them")
        if self.ahead and self.priority:
            raise ValueError("ahead and priority: only one of them")
        return self

    def changes(self, now: datetime) -> Changes:
        """The same, as the queue takes it."""
        return Changes(
            args=self.args,
            queue=self.queue,
            priority=AHEAD if self.ahead else self.priority,
            run_at=now + self.run_in if self.run_in else self.run_at,
        )


class Share(BaseModel):
    """Letters that have something in common."""

    name: str | None = Field(examples=["TRANSIENT_NETWORK"])
    total: int = Field(examples=[12])
    statuses: dict[LetterStatus, int] = Field(examples=[{"pending": 9, "resolved": 3}])


class Summary(BaseModel):
    """How many dead letters there are, and of which kinds."""

    total: int = Field(examples=[150])
    statuses: dict[LetterStatus, int] = Field(examples=[{"pending": 120, "resolved": 30}])
    oldest_pending_at: Time | None = Field(description="Since when the oldest pending one has been waiting.")
    by_type: list[Share]
    by_task: list[Share]
    by_cause: list[Share]
    by_remediation: list[Share]


async def summarise(conn: AsyncConnection[Any]) -> Summary:
    """How many letters there are by status, type, task, cause and remediation. Costs the same for a million."""
    counts = await sum_letters(conn, {name: PROPERTIES[name] for name in PROPERTIES if name != "day"})
    statuses: defaultdict[LetterStatus, int] = defaultdict(int)
    for row in counts["cause"]:
        statuses[row["status"]] += row["letters"]
    return Summary(
        total=sum(statuses.values()),
        statuses=dict(statuses),
        oldest_pending_at=await find_oldest(conn),
        **{f"by_{name}": shares_of(rows) for name, rows in counts.items()},
    )


def letter_filter(queue: Afresh, wanted: Any) -> LetterFilter:
    """What a `LetterQuery`, or a part of it, asks for; tasks by any of their names, also names of the past."""
    given: dict[str, Any] = {name: getattr(wanted, name, None) for name in LetterFilter.__dataclass_fields__}
    given["task_name"] = queue.catalog.full_name(wanted.task)
    given["tasks_of_dependency"] = queue.catalog.relying_on(wanted.dependency)
    return LetterFilter(**given)


def what_helps(first: str | None, actions: Iterable[Remediation]) -> list[str]:
    """First things first. A dead letter does not retry itself."""
    others = [each for each in actions if each not in {first, Remediation.AUTO_RETRY}]
    return [first, *others] if first else list(others)


def shares_of(rows: Iterable[Row]) -> list[Share]:
    """Rows of name, status and letters as one share for each name, the largest first."""
    found: defaultdict[str | None, dict[LetterStatus, int]] = defaultdict(dict)
    for row in rows:
        found[row["name"]][row["status"]] = row["letters"]
    shares = [Share(name=name, total=sum(by.values()), statuses=by) for name, by in found.items()]
    return sorted(shares, key=lambda share: -share.total)


async def refuse_own_task(conn: AsyncConnection[Any], queue: Afresh, letter_id: int, caller: Caller) -> None:
    """Other arguments for a task make it another request: it is refused to whoever could not make that."""
    letter = await find_letter(conn, letter_id)
    if letter is not None and queue.catalog.find(letter["task_name"]) is not None:
        deferrable(queue, letter["task_name"], caller)


class BulkFilter(BaseModel):
    """Which pending letters; at least one of these."""

    model_config = ConfigDict(extra="forbid")

    task: QueueName | None = Field(None, description="Slug or full name.")
    queue: QueueName | None = None
    failure_type: FailureType | None = None
    group: Text | None = Field(None, description="Fingerprint of the failure.")
    dependency: Text | None = Field(None, description="Of the job, or of its task.")
    cause: Cause | None = None
    bulk: int | None = Field(None, ge=1, le=BIGGEST_ID, strict=True, description="Touched last by this bulk action.")
    died_from: Moment | None = Field(None, description="Died at this time or later; ISO 8601 with an offset.")
    died_to: Moment | None = Field(None, description="Died before.")
    text: SearchText | None = Field(None, description="As in the list.")


class BulkBody(BaseModel):
    """Confirms a preview."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"token": "…", "reason": "the API is back", "rate_per_second": 20}]},
    )

    token: Text = Field(description="Of the preview.")
    reason: Text = Field(description="Why; it goes into the audit, and becomes the note of what is abandoned.")
    rate_per_second: float = Field(
        FASTEST_UNASKED, gt=0, le=FASTEST, description="Letters. It begins with a tenth of it, and rises for 10 s."
    )
    stop_share: float = Field(
        HIGHEST_SHARE,
        ge=0,
        le=1,
        description="It stops by itself when more than this share of its jobs have failed again: of the last 200 that "
        "ended or failed, at least 10. A failure counts at once, also where a retry follows.",
    )


def progress_of(bulk: Row) -> Row:
    """How far a bulk action is, as ``percent``, and its ``filter`` in the words in which it was asked for."""
    looked_at = bulk["acted"] + bulk["skipped"]
    over = bulk["state"] == "done" or bulk["previewed"] == 0
    wanted = {"task" if name == "task_name" else name: value for name, value in bulk["filter"].items()}
    wanted.pop("tasks_of_dependency", None)
    return {
        "percent": 100.0 if over else round(min(100.0, 100 * looked_at / bulk["previewed"]), 1),
        "filter": wanted,
    }
