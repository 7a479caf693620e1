"""The page of dead letters: how many there are and of which kinds, and those that fit the filters in its address."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from pydantic import ConfigDict, Field, model_validator

from ..queue.app import Afresh
from ..retry.failure import FailureType
from ..store.dead_letters import CAUSES, STATUSES, LetterFilter, list_letters
from ..web.letters import LetterQuery, Share, letter_filter, summarise
from ..web.reading import Queue, ReadingConnection
from .charts import Tone, stack
from .forms import moment_of
from .frame import WITHIN, render

PAGE_SIZE = 50
ADDRESS = "/dashboard/dead-letters"

MOST_SHARES = 8
"""Kinds that the distribution names of each property."""

TONES: Mapping[str, Tone] = {"pending": "bad", "retrying": "warn", "resolved": "good", "abandoned": "quiet"}

router = APIRouter(prefix="/dashboard")


class LetterView(LetterQuery):
    """What the page's address says; a form sends what was left empty as an empty text, and a time without its zone."""

    model_config = ConfigDict(extra="ignore")

    limit: int = Field(PAGE_SIZE, ge=1, le=PAGE_SIZE)
    within: Literal["1h", "24h", "7d", "30d"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_the_empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        said = {name: value for name, value in given.items() if value != ""}
        times = {name: moment_of(name, str(said[name])) for name in ("died_from", "died_to") if name in said}
        return said | {name: moment.isoformat() for name, moment in times.items()}

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if self.within and self.died_from:
            raise ValueError("died_from and within: only one of them")
        return self

    def filters(self) -> dict[str, str]:
        """Those that are set, as an address says them."""
        said = self.model_dump(mode="json", exclude_none=True, exclude={"limit", "offset", "cursor"})
        return {name: str(value) for name, value in said.items()}

    def moments(self) -> dict[str, datetime | None]:
        """The times among them."""
        return {"died_from": self.died_from, "died_to": self.died_to}

    def chosen(self, queue: Afresh, now: datetime) -> LetterFilter:
        """The same, as the store takes it."""
        chosen = letter_filter(queue, self)
        return replace(chosen, died_from=now - WITHIN[self.within]) if self.within else chosen


@router.get("/dead-letters")
async def show_letters(
    request: Request, wanted: Annotated[LetterView, Query()], conn: ReadingConnection, queue: Queue
) -> HTMLResponse:
    """The counts of all letters, and one page of those that fit, newest first."""
    page = await list_letters(
        conn, wanted.chosen(queue, datetime.now(UTC)), limit=wanted.limit, before=wanted.before, offset=wanted.offset
    )
    summary = await summarise(conn)
    given = wanted.filters()
    return render(
        request,
        "letters.html",
        "Dead letters",
        page=page,
        given=given,
        moments=wanted.moments(),
        narrowed={name: value for name, value in given.items() if name != "status"},
        paged=wanted.cursor,
        older=address(given, cursor=page.next_before) if page.next_before else None,
        address=address,
        summary=summary,
        distribution={
            "failure_type": drawn(summary.by_type),
            "task": drawn(summary.by_task),
            "cause": drawn(summary.by_cause),
        },
        statuses=STATUSES,
        choices={"failure_type": list(FailureType), "cause": CAUSES, "within": list(WITHIN)},
        tasks=[share.name for share in summary.by_task],
    )


def address(given: Mapping[str, str], **changes: str | int | None) -> str:
    """The page with these filters, some of them changed; None takes one away."""
    wanted = {name: value for name, value in {**given, **changes}.items() if value is not None}
    return f"{ADDRESS}?{urlencode(wanted)}" if wanted else ADDRESS


def drawn(shares: Sequence[Share]) -> list[tuple[Share, Markup]]:
    """The largest shares, each with its bar, all bars on one scale; those with pending letters before the others."""
    first = sorted(shares, key=lambda share: (-share.statuses.get("pending", 0), -share.total))[:MOST_SHARES]
    longest = max((share.total for share in first), default=0)
    return [(share, _bar(share, longest)) for share in first]


def _bar(share: Share, longest: int) -> Markup:
    counts = {status: share.statuses.get(status, 0) for status in TONES}  # type: ignore[call-overload]  # the same words
    parts = [(status, counts[status], tone) for status, tone in TONES.items() if counts[status]]
    return stack(parts, of=longest, label=share.name or "no type")
