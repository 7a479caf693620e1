"""The page of policies: who decides about a failure, what retries have taught, and what they cost and save."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from ..queue import decide
from ..queue.app import Afresh
from ..queue.task import options_of
from ..retry.failure import FailureType
from ..retry.learning import FLOOR_SAMPLES, Samples, is_seldom_worth_it, learned_factor
from ..retry.offpeak import saved
from ..retry.policy import RetryPolicy, schedule
from ..retry.taxonomy import TAXONOMY, Meaning
from ..retry.words import duration
from ..store.adaptation import GLANCED_AT, RetrySample, read_samples, sum_put_off
from ..store.failures import first_hour
from ..store.trends import Tally, find_trends
from ..web.reading import Queue, ReadingConnection
from .frame import render

router = APIRouter(prefix="/dashboard")

HOURS = 24
"""That retries and savings are told of."""

WAITS = 6
"""Of a policy that are told; the others follow the same curve."""

LEARNED = 50
"""Pairs of task and failure type on the page, those with the most retries."""


@dataclass(frozen=True, slots=True)
class TypeLine:
    """A failure type: its policy in force, and how it went."""

    kind: FailureType
    meaning: Meaning
    policy: RetryPolicy
    waits: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task, and who decides about its failures."""

    ruling: decide.Ruling
    waits: str
    timeout: float
    dependency: str | None
    tally: Tally


@dataclass(frozen=True, slots=True)
class LearnedLine:
    """How retries of one task after one failure type went, and what follows."""

    sample: RetrySample
    samples: Samples
    factor: float
    one_fewer: bool


@router.get("/policies")
async def show_policies(request: Request, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """The policies in force, what was learned, and what failing cost."""
    since = first_hour(datetime.now(UTC), HOURS)
    trends = await find_trends(conn, since)
    put_off = await sum_put_off(conn, since, most=GLANCED_AT)
    off_peak, engine = queue.settings.off_peak, queue.engine
    return render(
        request,
        "policies.html",
        "Policies",
        hours=HOURS,
        whole=trends.whole,
        put_off=put_off,
        saved=saved(put_off.spent, off_peak.cost_per_hour),
        peak=off_peak,
        bound=engine.by_type.max_retries_bound,
        types=[_type_line(queue, kind, trends.by_type.get(kind, Tally())) for kind in engine.by_type.policies],
        tasks=_task_lines(queue, trends.by_task),
        adaptive=queue.settings.retry.adaptive,
        least_samples=FLOOR_SAMPLES,
        learned=[_learned_line(each) for each in await read_samples(conn, most=LEARNED)],
        most_learned=LEARNED,
    )


def told_waits(policy: RetryPolicy) -> str:
    """The first waits, without jitter: ``60 s, 2 min, 4 min``."""
    waits = schedule(policy, WAITS + 1)
    words = [duration(each.total_seconds()) for each in waits[:WAITS]]
    return ", ".join([*words, "…"] if len(waits) > WAITS else words)


def _type_line(queue: Afresh, kind: FailureType, tally: Tally) -> TypeLine:
    policy = queue.engine.policy_of(kind)
    return TypeLine(kind, TAXONOMY[kind], policy, told_waits(policy), tally)


def _task_lines(queue: Afresh, tallies: dict[str, Tally]) -> list[TaskLine]:
    tasks: dict[str, Any] = {task.name: task for task in queue.tasks.values()}  # Aliases stand there, too.
    return [_task_line(queue, task, tallies.get(name, Tally())) for name, task in sorted(tasks.items())]


def _task_line(queue: Afresh, task: Any, tally: Tally) -> TaskLine:
    ruling = decide.ruling(queue.engine, task)
    waits = told_waits(ruling.policy) if ruling.policy else ""
    timeout = queue.engine.timeout_of(task).total_seconds()
    return TaskLine(ruling, waits, timeout, options_of(task).depends_on, tally)


def _learned_line(sample: RetrySample) -> LearnedLine:
    samples = Samples(sample.retries, sample.successes)
    return LearnedLine(sample, samples, learned_factor(samples), is_seldom_worth_it(samples))
