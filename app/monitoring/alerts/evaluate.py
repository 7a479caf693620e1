"""One evaluation: look, judge, store what has changed, and have it told. One transaction, by one process at a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from ...queue.app import Afresh
from ...queue.letters import AHEAD
from ...queue.submit import Submission, submit
from ...retry.offpeak import saved
from ...store import alerts
from ...store.adaptation import sum_put_off, sum_retries_ended_well
from ...store.alerts import Change, Opening, WatchRow
from ...store.monitoring import lock_monitoring, note_evaluation
from .channels import channel_of
from .judge import Judgement, Key, Transition, Watch, judge
from .message import line_of, messages
from .milestones import Milestone, milestones
from .observe import observe
from .rule import Severity
from .rules import MILESTONE, rules

SEND_TASK = "app.tasks.monitoring.send_alert"
QUEUE = "monitoring"
"""What a message is sent by, by name: tasks are above this room."""

SENDING = timedelta(hours=24)
"""A message that could not be sent for so long is no news any more."""

MILESTONES_FROM = timedelta(days=30)
"""How far back savings are summed up."""


async def evaluate(app: Afresh, conn: AsyncConnection[Any], *, now: datetime) -> dict[str, Any]:
    """Judge what there is now, and say what came of it. Nothing while monitoring is stopped, or somebody else is at it.

    Returns:
        Either `skipped`, with the reason; or how many alerts were `opened`, `changed` and `resolved`, and how many
        `messages` are on their way.
    """
    async with conn.transaction():
        monitoring = await lock_monitoring(conn)
        if monitoring is None:
            return {"skipped": "another evaluation is under way"}
        if monitoring.is_stopped(now):
            return {"skipped": f"monitoring is stopped until {monitoring.stopped_until}"}
        resumed, last = monitoring.resumed_at(now), monitoring.evaluated_at
        if resumed is not None and last is not None and last < resumed:
            last = None  # Nobody looked meanwhile, however short it was.
        readings = await observe(app, conn, now=now, looked=monitoring.evaluated_at, resumed=resumed)
        watches = {
            Key(row.rule, row.subject, Severity(row.severity)): Watch(row.active, row.since)
            for row in await alerts.list_watches(conn)
        }
        judgement = judge(rules(app.settings), readings, watches, now=now, last=last)
        await _store(conn, judgement)
        told = [(each.rule, each.subject, each.value, each.detail) for each in readings if not each.keeps]
        await alerts.update_alerts(conn, told)
        if monitoring.evaluated_at is None or monitoring.evaluated_at < _hour(now):
            await _tell_milestones(app, conn, now)  # They add up a month, and are news for longer than an hour.
        sent = await _send(app, conn, now)
        await note_evaluation(conn, now)
    return _told(judgement, sent)


async def _store(conn: AsyncConnection[Any], judgement: Judgement) -> None:
    rows = [
        WatchRow(key.rule, key.subject, key.severity.value, watch.active, watch.since)
        for key, watch in judgement.watches.items()
    ]
    await alerts.keep_watches(conn, rows)
    for transition in judgement.transitions:
        changed = await _apply(conn, transition)
        if changed is not None:
            await alerts.add_event(conn, changed.id, _event(transition, changed.opened_at))


async def _apply(conn: AsyncConnection[Any], transition: Transition) -> alerts.Changed | None:
    reading = transition.reading
    if transition.kind == "opened" and reading is not None:
        opening = Opening(
            rule=transition.rule.name,
            subject=transition.subject,
            severity=transition.severity.value,
            at=transition.at,
            value=reading.value,
            threshold=transition.rule.level(transition.severity).opens,
            cause=reading.detail,
            what_to_do=transition.rule.what_to_do,
        )
        return await alerts.open_alert(conn, opening)
    change = Change(
        rule=transition.rule.name,
        subject=transition.subject,
        severity=transition.severity.value,
        at=transition.at,
        resolved_at=transition.at if transition.after is None else None,
        threshold=None if transition.after is None else transition.rule.level(transition.severity).opens,
    )
    return await alerts.change_alert(conn, change)


def _event(transition: Transition, opened_at: datetime) -> dict[str, Any]:
    return {
        "rule": transition.rule.name,
        "kind": transition.kind,
        "severity": transition.severity.value,
        "at": transition.at,
        "line": line_of(transition, opened_at),
        "what_to_do": transition.rule.what_to_do,
    }


async def _tell_milestones(app: Afresh, conn: AsyncConnection[Any], now: datetime) -> None:
    since = _hour(now) - MILESTONES_FROM
    put_off = await sum_put_off(conn, since)
    totals = {
        "retries_ended_well": float(await sum_retries_ended_well(conn, since)),
        "off_peak_saved": saved(put_off.spent, app.settings.off_peak.cost_per_hour),
    }
    for found in milestones(totals, await alerts.list_milestones(conn)):
        if await alerts.keep_milestone(conn, found.name, found.reached, now):
            await _tell_milestone(conn, found, now)


def _hour(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


async def _tell_milestone(conn: AsyncConnection[Any], found: Milestone, now: datetime) -> None:
    severity = Severity.INFO.value
    opening = Opening(
        rule=MILESTONE,
        subject=found.name,
        severity=severity,
        at=now,
        resolved_at=now,
        value=found.reached,
        threshold=found.reached,
        cause=found.text,
        what_to_do="",
    )
    told = await alerts.open_alert(conn, opening)
    event = {"rule": MILESTONE, "kind": "milestone", "severity": severity, "at": now, "line": found.text}
    await alerts.add_event(conn, told.id, {**event, "what_to_do": ""})


async def _send(app: Afresh, conn: AsyncConnection[Any], now: datetime) -> int:
    """Make a message of each rule that has something to tell and told nothing for a minute, and a job per address."""
    made = messages(await alerts.find_untold(conn, now), now)
    for message, events in made:
        message_id = await alerts.add_message(conn, message, events)
        for url in dict.fromkeys(app.settings.alert.urls):
            channel = channel_of(url)
            args = {"message_id": message_id, "channel": channel}
            job = Submission(task_name=SEND_TASK, args=args, queue=QUEUE, priority=AHEAD, deadline=now + SENDING)
            await alerts.add_delivery(conn, message_id, channel, await submit(conn, job))
    return len(made) if app.settings.alert.urls else 0


def _told(judgement: Judgement, sent: int) -> dict[str, Any]:
    kinds = [transition.kind for transition in judgement.transitions]
    return {
        "opened": kinds.count("opened"),
        "changed": kinds.count("escalated") + kinds.count("eased"),
        "resolved": kinds.count("resolved"),
        "messages": sent,
    }
