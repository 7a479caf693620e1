"""The page of alerts: what is open and what to do about it, what was, whom it was told, and the maintenance window."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ConfigDict, Field, model_validator

from ..config import Settings
from ..monitoring.alerts import rules as names
from ..monitoring.alerts.rule import Level, Rule
from ..monitoring.alerts.rules import rules
from ..store import alerts
from ..store.alerts import AlertFilter
from ..store.monitoring import read_monitoring
from ..store.paging import Row
from ..web import maintenance
from ..web.errors import InvalidInput
from ..web.fields import Text
from ..web.paging import PageQuery
from ..web.reading import Queue, ReadingConnection
from .forms import OperatorsForm, done
from .frame import render

ADDRESS = "/dashboard/alerts"
PAGE_SIZE = 25

MOST_MESSAGES = 10
MOST_OPEN = 100
AT_FIRST = 10
"""Open alerts that are told; the others are folded away, so that what follows is found."""

WINDOWS = ("15m", "1h", "4h", "12h", "1d", "3d", "7d")
"""How long a maintenance window may be, as the page offers it."""

LOOK_AT: Mapping[str, tuple[str, str]] = {
    names.ERROR_RATE: ("What fails", "/dashboard/failures"),
    names.SUCCESS_RATE: ("Dead letters", "/dashboard/dead-letters?status=pending"),
    names.DEAD_LETTERS: ("Dead letters", "/dashboard/dead-letters?status=pending"),
    names.FAILURE_GROWTH: ("Its failures", "/dashboard/failures?task={subject}"),
    names.FAILURE_GROUP: ("The failure group", "/dashboard/failures/groups/{subject}"),
    names.BREAKER_OPEN: ("The dependency", "/dashboard/dependencies/{subject}"),
    names.WORKER_LOST: ("The workers", "/dashboard/workers"),
    names.WORKER_OVERLOADED: ("The workers", "/dashboard/workers"),
    names.MEMORY: ("The workers", "/dashboard/workers"),
    names.DISK: ("The workers", "/dashboard/workers"),
    names.QUEUE_SIZE: ("Its ready jobs", "/dashboard/jobs?queue={subject}&state=ready&own=yes"),
}
"""Where to look, by rule."""

router = APIRouter(prefix="/dashboard")


class AlertView(PageQuery):
    """What the page's address says; a form sends what was left empty as an empty text."""

    model_config = ConfigDict(extra="ignore")

    limit: int = Field(PAGE_SIZE, ge=1, le=PAGE_SIZE)
    rule: Text | None = None
    severity: Literal["info", "warning", "critical"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_the_empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if value != ""}

    def filters(self) -> dict[str, str]:
        """Those that are set, as an address says them."""
        said = {"rule": self.rule, "severity": self.severity}
        return {name: value for name, value in said.items() if value is not None}


@router.get("/alerts")
async def show_alerts(
    request: Request, wanted: Annotated[AlertView, Query()], conn: ReadingConnection, queue: Queue
) -> HTMLResponse:
    """What is open, the worst first; one page of what is over, newest first; and what was told."""
    now_open = await alerts.list_alerts(conn, AlertFilter(is_open=True), limit=MOST_OPEN)
    over = await alerts.list_alerts(
        conn,
        AlertFilter(rule=wanted.rule, severity=wanted.severity, is_open=False),
        limit=wanted.limit,
        before=wanted.before,
        offset=wanted.offset,
    )
    known, given = {rule.name: rule for rule in rules(queue.settings)}, wanted.filters()
    return render(
        request,
        "alerts.html",
        "Alerts",
        monitoring=await read_monitoring(conn),
        windows=WINDOWS,
        open=list(_advised(sorted(now_open.items, key=_urgency))),
        open_total=now_open.total,
        at_first=AT_FIRST,
        page=over,
        given=given,
        paged=wanted.cursor,
        older=address(given, cursor=over.next_before) if over.next_before else None,
        address=address,
        messages=await alerts.list_messages(conn, most=MOST_MESSAGES),
        sent_somewhere=bool(queue.settings.alert.urls),
        watched=_watched(queue.settings),
        heading=lambda row: _heading(row, known),
        unit=lambda row: known[row["rule"]].unit if row["rule"] in known else "",
        look_at=_look_at,
    )


@router.post("/alerts/stop")
async def stop(request: Request, form: OperatorsForm, queue: Queue) -> Response:
    """Open a maintenance window."""
    duration = form.duration("duration")
    if duration is None:
        raise InvalidInput("duration", "is missing")
    async with queue.connection() as conn:
        until = await maintenance.stop(conn, duration, actor=form.caller.name, reason=form.needed("reason"))
    word = f"Monitoring is stopped until {until:%Y-%m-%d %H:%M} UTC; then it goes on by itself."
    return done(request, ADDRESS, word)


@router.post("/alerts/start")
async def start(request: Request, form: OperatorsForm, queue: Queue) -> Response:
    """End the maintenance window before its time."""
    async with queue.connection() as conn:
        await maintenance.start(conn, actor=form.caller.name, reason=form.text("reason"))
    return done(request, ADDRESS, "Monitoring goes on. What happened in the window opens no alert.")


def address(given: Mapping[str, str], **changes: str | int | None) -> str:
    """The page with these filters, some of them changed; None takes one away."""
    wanted = {name: value for name, value in {**given, **changes}.items() if value is not None}
    return f"{ADDRESS}?{urlencode(wanted)}" if wanted else ADDRESS


def _urgency(row: Row) -> tuple[int, float]:
    return -["info", "warning", "critical"].index(row["severity"]), -row["opened_at"].timestamp()


def _advised(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """Each with what to do, which is said once of each rule."""
    said: set[str] = set()
    for row in rows:
        yield row, "" if row["rule"] in said else row["what_to_do"]
        said.add(row["rule"])


def _heading(row: Row, known: Mapping[str, Rule]) -> str:
    """What an alert is about, in a few words; of a milestone its cause says it all."""
    rule = known.get(row["rule"])
    if rule is not None:
        return rule.heading(row["subject"])
    return "Good news" if row["rule"] == names.MILESTONE else f"{row['rule']} {row['subject']}".rstrip()


def _look_at(row: Row) -> tuple[str, str] | None:
    """Where to look: a word, and an address."""
    found = LOOK_AT.get(row["rule"])
    return found and (found[0], found[1].format(subject=quote(row["subject"], safe="")))


def _watched(settings: Settings) -> list[tuple[Rule, str]]:
    """Each rule that is in force, with its thresholds in words."""
    return [(rule, " · ".join(_threshold(rule, level) for level in rule.levels)) for rule in rules(settings)]


def _threshold(rule: Rule, level: Level) -> str:
    if not rule.unit:
        return level.severity
    beyond = "below" if rule.below else "at least" if rule.name == names.FAILURE_GROWTH else "over"
    return f"{level.severity} {beyond} {level.opens:g} {rule.unit}"
