"""Alerts: those that are open, those that were, and what is still to be told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load
from .paging import Listing, Page, Part, Row, fetch, fetch_page
from .steps import delete_in_steps

SQL = load("alerts")

LISTING = Listing(
    key="id",
    page=SQL["list_alerts"],
    count=SQL["count_alerts"],
    estimate=SQL["estimate_alerts"],
    conditions={
        "rule": "rule = %(rule)s::text",
        "subject": "subject = %(subject)s::text",
        "severity": "severity = %(severity)s::text",
        "is_open": "(resolved_at IS NULL) = %(is_open)s::boolean",
    },
)

MOST_GROUPS = 50
"""Failure groups that are looked at, the newest; where there are more, something else is wrong."""

MOST_EVENTS = 5_000
MOST_OPEN = 100

MESSAGES_KEPT = timedelta(days=30)
"""A message is sent within a day, or not at all."""

FORGOTTEN_AT_ONCE = 1_000


class WatchRow(NamedTuple):
    """A level of a rule that is not at rest."""

    rule: str
    subject: str
    severity: str
    active: bool
    since: datetime | None


class BreakerRow(NamedTuple):
    """A dependency that is not called, though nobody isolated it."""

    name: str
    state: str
    changed_at: datetime | None
    cause: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A failure group that is new, or has come back."""

    fingerprint: str
    failure_type: str
    exception_type: str | None
    message: str | None
    tasks: list[str]
    failures: int
    first_seen: datetime
    last_seen: datetime
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """An alert that opens, or is told and over at once.

    Attributes:
        resolved_at: None: it stays open.
    """

    rule: str
    subject: str
    severity: str
    at: datetime
    value: float
    threshold: float
    cause: str
    what_to_do: str
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Another severity of an alert that is open, or its end. What is None stays as it was."""

    rule: str
    subject: str
    severity: str
    at: datetime
    resolved_at: datetime | None = None
    value: float | None = None
    threshold: float | None = None
    cause: str | None = None


class Changed(NamedTuple):
    """The alert that was opened or changed."""

    id: int
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened to an alert and is still to be told."""

    id: int
    rule: str
    kind: str
    severity: str
    at: datetime
    line: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent to people."""

    rule: str
    severity: str
    title: str
    body: str
    made_at: datetime


class Waiting(NamedTuple):
    """A message that is still to be sent to an address, by a job."""

    job_id: int
    channel: str
    severity: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is open."""

    id: int
    rule: str
    subject: str
    severity: str
    opened_at: datetime
    cause: str
    what_to_do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Which alerts. None: any."""

    rule: str | None = None
    subject: str | None = None
    severity: str | None = None
    is_open: bool | None = None


async def find_open_breakers(conn: AsyncConnection[Any]) -> list[BreakerRow]:
    """Dependencies that are not called, though nobody isolated them."""
    return [BreakerRow(*row) for row in await (await conn.execute(SQL["find_open_breakers"])).fetchall()]


async def find_restless_groups(
    conn: AsyncConnection[Any], *, new_since: datetime, quiet_since: datetime, most: int = MOST_GROUPS
) -> list[GroupRow]:
    """Failure groups that are new since one time, or have come back, and were met since the other."""
    async with conn.cursor(row_factory=class_row(GroupRow)) as cursor:
        given = {"new_since": new_since, "quiet_since": quiet_since, "most": most}
        return await (await cursor.execute(SQL["find_restless_groups"], given, prepare=False)).fetchall()


async def list_watches(conn: AsyncConnection[Any]) -> list[WatchRow]:
    """Levels of rules that are not at rest."""
    return [WatchRow(*row) for row in await (await conn.execute(SQL["list_watches"])).fetchall()]


async def keep_watches(conn: AsyncConnection[Any], watches: Sequence[WatchRow]) -> None:
    """Replace them."""
    rules, subjects, severities, active, since = map(list, zip(*watches, strict=True)) if watches else ([],) * 5
    given = {"rules": rules, "subjects": subjects, "severities": severities, "active": active, "since": since}
    await conn.execute(SQL["keep_watches"], given)


async def open_alert(conn: AsyncConnection[Any], opening: Opening) -> Changed:
    """Open an alert; where one is open already, that takes over what is said now."""
    row = await (await conn.execute(SQL["open_alert"], asdict(opening))).fetchone()
    if row is None:
        raise AssertionError("an INSERT … RETURNING returns its row")
    return Changed(*row)


async def change_alert(conn: AsyncConnection[Any], change: Change) -> Changed | None:
    """Change or resolve the alert of that rule and subject; None: there is none that is open."""
    row = await (await conn.execute(SQL["change_alert"], asdict(change))).fetchone()
    return Changed(*row) if row else None


async def update_alerts(conn: AsyncConnection[Any], present: Sequence[tuple[str, str, float, str]]) -> None:
    """Give alerts that are open their present number and cause: rule, subject, value, cause."""
    if present:
        rules, subjects, values, causes = map(list, zip(*present, strict=True))
        given = {"rules": rules, "subjects": subjects, "values": list(map(float, values)), "causes": causes}
        await conn.execute(SQL["update_alerts"], given)


async def add_event(conn: AsyncConnection[Any], alert_id: int, event: Mapping[str, Any]) -> None:
    """Remember what has happened to an alert, to be told: rule, kind, severity, at, line, what_to_do."""
    await conn.execute(SQL["add_event"], {**event, "alert_id": alert_id})


async def find_untold(conn: AsyncConnection[Any], now: datetime) -> list[Event]:
    """What is still to be told of rules of which nothing was told for a minute, by rule."""
    async with conn.cursor(row_factory=class_row(Event)) as cursor:
        return await (await cursor.execute(SQL["find_untold"], {"now": now, "most": MOST_EVENTS})).fetchall()


async def add_message(conn: AsyncConnection[Any], message: Message, events: Sequence[int]) -> int:
    """Keep a message that tells these events; return its id."""
    given = {**asdict(message), "now": message.made_at, "events": list(events)}
    row = await (await conn.execute(SQL["add_message"], given)).fetchone()
    return int(row[0]) if row else 0


async def add_delivery(conn: AsyncConnection[Any], message_id: int, channel: str, job_id: int) -> None:
    """Remember the job that sends a message to an address."""
    await conn.execute(SQL["add_delivery"], {"message_id": message_id, "channel": channel, "job_id": job_id})


async def take_delivery(conn: AsyncConnection[Any], tried: Sequence[int], *, sending: timedelta) -> Waiting | None:
    """A message that is still to be sent, of which nobody else takes the job while the transaction lasts; None: none.

    Args:
        conn: In a transaction.
        tried: Jobs that are not meant.
        sending: A message that was made before that is no news any more.
    """
    async with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        return await (await cursor.execute(SQL["take_delivery"], {"tried": list(tried), "sending": sending})).fetchone()


async def end_delivery(conn: AsyncConnection[Any], job_id: int) -> None:
    """Let the job that was taken have succeeded: its message is sent."""
    await conn.execute(SQL["begin_delivery"], {"job_id": job_id})
    await conn.execute(SQL["end_delivery"], {"job_id": job_id})


async def list_messages(conn: AsyncConnection[Any], *, most: int) -> list[Row]:
    """The newest messages, each with its `deliveries`: channel, job_id, state, attempts, next_run_at, ended_at, reason.

    Where the state is None, the job is not kept any more.
    """
    return await fetch(conn, SQL["list_messages"], {"most": most})


async def find_message(conn: AsyncConnection[Any], message_id: int) -> Message | None:
    """A message; None where it is not kept any more."""
    async with conn.cursor(row_factory=class_row(Message)) as cursor:
        return await (await cursor.execute(SQL["find_message"], {"message_id": message_id})).fetchone()


async def list_milestones(conn: AsyncConnection[Any]) -> dict[str, float]:
    """The highest that was told of each count."""
    return dict(await (await conn.execute(SQL["list_milestones"])).fetchall())


async def keep_milestone(conn: AsyncConnection[Any], name: str, reached: float, now: datetime) -> bool:
    """Remember that a milestone is told; False if it was."""
    cursor = await conn.execute(SQL["keep_milestone"], {"name": name, "reached": reached, "now": now})
    return await cursor.fetchone() is not None


async def count_open(conn: AsyncConnection[Any]) -> dict[str, int]:
    """Alerts that are open, by severity."""
    return dict(await (await conn.execute(SQL["count_open"])).fetchall())


async def list_open(
    conn: AsyncConnection[Any], *, severity: str | None = None, most: int = MOST_OPEN
) -> list[OpenAlert]:
    """Alerts that are open, the worst first."""
    async with conn.cursor(row_factory=class_row(OpenAlert)) as cursor:
        return await (await cursor.execute(SQL["list_open"], {"severity": severity, "most": most})).fetchall()


async def list_alerts(
    conn: AsyncConnection[Any], chosen: AlertFilter, *, limit: int, before: int | None = None, offset: int = 0
) -> Page:
    """Return one page, newest first, each alert with what has happened to it."""
    page = await fetch_page(conn, LISTING, asdict(chosen), Part(limit, before, offset))
    events: dict[int, list[dict[str, Any]]] = {item["id"]: [] for item in page.items}
    for row in await fetch(conn, SQL["list_events"], {"ids": list(events)}):
        events[row.pop("alert_id")].append(row)
    for item in page.items:
        item["events"] = events[item["id"]]
    return page


async def forget_alerts(conn: AsyncConnection[Any], *, kept: timedelta) -> int:
    """Delete alerts that have been over for so long, and old messages, in small steps; return how many rows."""
    return sum(
        [
            await delete_in_steps(conn, SQL[name], {"kept": long}, most=FORGOTTEN_AT_ONCE)
            for name, long in (("forget_alerts", kept), ("forget_messages", MESSAGES_KEPT))
        ]
    )
