"""The course of a job, for its page: what it did and how long it waited, to scale; and why it runs when it runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from .charts import Stretch, timeline
from .frame import length

Row = Mapping[str, Any]

QUARTERS = 4
INSTANT = timedelta(milliseconds=1)


def drawn_course(job: Row, attempts: Sequence[Row], now: datetime) -> Markup | None:
    """The runs of a job and the waits between them, to scale; None: nothing has happened and nothing is to come.

    Args:
        job: As the store has it.
        attempts: Its ended runs, oldest first; where older ones are left out, it begins with the first of these.
        now: Where what goes on is drawn to.
    """
    pieces = _pieces(job, attempts, now)
    if not pieces:
        return None
    begin, end = pieces[0][0], max(until for _, until, _, _ in pieces)
    whole = max(end - begin, INSTANT)
    stretches = [
        Stretch((since - begin) / whole, (until - begin) / whole, kind, text) for since, until, kind, text in pieces
    ]
    words = [length(whole.total_seconds() * quarter / QUARTERS) for quarter in range(1, QUARTERS + 1)]
    return timeline(
        stretches, label=f"Runs and waits to scale, {length(whole.total_seconds())} in all", across=["0", *words]
    )


def why_then(job: Row, attempts: Sequence[Row]) -> list[str]:
    """Why a waiting job runs at its time, step by step."""
    last = attempts[-1] if attempts else None
    if last is None:
        return ["asked for when it was handed in"]
    if last["next_run_at"] != job["scheduled_at"]:
        return ["moved since its last attempt"]
    steps = [step["text"] for step in last["explanation"] or []]
    return steps or [last["reason"] or "decided by its last attempt"]


def _pieces(job: Row, attempts: Sequence[Row], now: datetime) -> list[tuple[datetime, datetime, str, str]]:
    """From, to, kind and words of each run and wait, one after the other, without the waits that took no time."""
    at: datetime | None = None if attempts and attempts[0]["attempt"] > 1 else job["created_at"]
    pieces: list[tuple[datetime, datetime, str, str]] = []

    def wait(until: datetime, kind: str, word: str) -> None:
        if at is not None and until - at >= INSTANT:
            pieces.append((at, until, kind, f"{word} {length((until - at).total_seconds())}"))

    for each in attempts:
        begun, ended = each["started_at"], each["ended_at"]
        if begun is None or ended is None:
            continue  # An event that has been cleared away.
        begun = max(begun, at or begun)
        ended = max(ended, begun)
        wait(begun, "wait", "waited")
        text = f"attempt {each['attempt']} {each['outcome']} after {length((ended - begun).total_seconds())}"
        pieces.append((begun, ended, each["outcome"], text))
        at = ended
    if job["status"] == "doing" and job["started_at"] is not None:
        begun = max(job["started_at"], at or job["started_at"])
        wait(begun, "wait", "waited")
        pieces.append(
            (begun, max(now, begun), "running", f"runs for {length(max(now - begun, INSTANT).total_seconds())}")
        )
    elif job["status"] == "todo":
        wait(now, "wait", "has waited")
        at = max(now, at or now)
        if job["scheduled_at"] is not None and job["scheduled_at"] > at:
            wait(job["scheduled_at"], "ahead", "runs in")
    return pieces
