"""What people are told: lines of what has happened, and one message for all of a rule's. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from ...retry.words import duration
from ...store.alerts import Event, Message
from .judge import Transition
from .rule import Severity

LINES = 20
"""Events that one message spells out; the rest is a number."""

LONGEST_LINE = 500
LONGEST_TITLE = 120

VERBS = {
    "opened": "",
    "escalated": "worse: ",
    "eased": "better: ",
    "resolved": "over: ",
    "milestone": "",
}


def line_of(transition: Transition, opened_at: datetime) -> str:
    """What has happened, in one line with its cause."""
    heading = transition.rule.heading(transition.subject)
    cause = transition.reading.detail if transition.reading else "there is nothing left to judge it by"
    if transition.kind == "resolved":
        lasted = duration(max(1, round((transition.at - opened_at).total_seconds())))
        cause = f"after {lasted} · now {cause}" if transition.reading else f"after {lasted}"
    return f"{VERBS[transition.kind]}{heading} · {cause}"[:LONGEST_LINE]


def messages(events: Iterable[Event], now: datetime) -> list[tuple[Message, list[int]]]:
    """One message for each rule, with the ids of what it tells. Events come by rule, in their order."""
    return [_message(rule, list(found), now) for rule, found in groupby(events, key=lambda event: event.rule)]


def _message(rule: str, events: Sequence[Event], now: datetime) -> tuple[Message, list[int]]:
    severity = max((Severity(event.severity) for event in events if event.kind != "resolved"), default=None)
    shown = "resolved" if severity is None else severity.value
    first = events[0].line.partition(" · ")[0]
    more = f" and {len(events) - 1} more" if len(events) > 1 else ""
    lines = [f"{event.at:%H:%M} UTC  {event.line}" for event in events[:LINES]]
    if len(events) > LINES:
        lines.append(f"… and {len(events) - LINES} more")
    advice = dict.fromkeys(event.what_to_do for event in events if event.kind in {"opened", "escalated"})
    body = "\n".join([*lines, *(f"\nWhat to do: {each}" for each in advice if each)])
    message = Message(
        rule=rule,
        severity=(severity or Severity.INFO).value,
        title=f"[{shown}] {first[: LONGEST_TITLE - len(more)]}{more}",
        body=body,
        made_at=now,
    )
    return message, [event.id for event in events]
