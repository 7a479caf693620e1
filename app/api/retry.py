"""How failures are judged and retried here, over HTTP: the policies in force, and the engine asked without a job."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from ..queue import decide
from ..retry.failure import Failure, FailureType, Remediation
from ..retry.policy import DeadLetter, RetryPolicy, schedule
from ..retry.taxonomy import TAXONOMY
from ..web.auth import VIEWER
from ..web.fields import Text
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue

router = APIRouter(prefix="/retry", tags=["retry"], route_class=StrictRoute, dependencies=[VIEWER])


class Policy(BaseModel):
    """How often to retry, and how long to wait."""

    name: str = Field(examples=["TRANSIENT_NETWORK"])
    max_retries: int | None = Field(
        description="After the first attempt, as far as MAX_RETRIES lets it; null: no limit.", examples=[3]
    )
    backoff: str = Field(examples=["exponential"])
    initial_delay_seconds: float = Field(examples=[60.0])
    multiplier: float = Field(examples=[2.0])
    max_delay_seconds: float = Field(examples=[1800.0])
    jitter: str = Field(examples=["proportional"])
    delays_seconds: list[float] = Field(description="The waits, without jitter.", examples=[[60.0, 120.0, 240.0]])


class TypePolicy(BaseModel):
    """What a failure type means, and the policy in force for it."""

    type: FailureType
    meaning: str
    retryable: bool
    remediations: list[Remediation] = Field(description="What helps, the recommended one first.")
    policy: Policy


DecidedBy = Annotated[
    str,
    Field(
        description="`failure type`, `policy` (the one shown), or the name of a strategy that is not ours.",
        examples=["policy"],
    ),
]


class TaskPolicy(BaseModel):
    """Who decides about the failures of a task."""

    task: str = Field(examples=["app.tasks.jokes.fetch_and_cache_joke"])
    decided_by: DecidedBy
    policy: Policy | None


class Policies(BaseModel):
    """All that decides here."""

    max_retries_bound: int | None = Field(description="MAX_RETRIES where it is set: no type retries more often.")
    types: list[TypePolicy]
    tasks: list[TaskPolicy]


class Description(BaseModel):
    """A failure in words; everything is optional."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"exception_type": "httpx.HTTPStatusError", "status": 503}]}
    )

    exception_type: Text | None = Field(None, description="Its qualified name.", examples=["httpx.ConnectError"])
    message: str = Field("", max_length=4000)
    status: int | None = Field(None, strict=True, ge=100, le=599, description="An HTTP status.")
    sqlstate: str | None = Field(None, pattern=r"^[0-9A-Z]{5}$", description="Five characters.", examples=["40P01"])


class EvidenceItem(BaseModel):
    """One observation that led to the verdict."""

    rule: str = Field(examples=["http.503"])
    exception: str
    depth: int
    detail: str


class Classification(BaseModel):
    """What the failure is, and what would follow for a task without a policy of its own."""

    failure_type: FailureType
    confidence: float = Field(ge=0, le=1)
    retryable: bool
    remediation: Remediation
    sentence: str
    reason: str | None
    hint_seconds: float | None
    fingerprint: str
    evidence: list[EvidenceItem]
    delays_seconds: list[float] = Field(
        description="The waits that would follow, without jitter, 100 at most; empty: none."
    )


@router.get("/policies", summary="List the policies in force")
async def list_policies(queue: Queue) -> Policies:
    """Return the policy of every failure type, and who decides for every task."""
    engine = queue.engine
    tasks = {task.name: task for task in queue.tasks.values()}  # There, aliases stand for their tasks too.
    return Policies(
        max_retries_bound=engine.by_type.max_retries_bound,
        types=[
            TypePolicy(
                type=kind,
                meaning=TAXONOMY[kind].sentence,
                retryable=TAXONOMY[kind].retryable,
                remediations=list(TAXONOMY[kind].actions),
                policy=shape(engine.policy_of(kind)),
            )
            for kind in engine.by_type.policies
        ],
        tasks=[_task(decide.ruling(engine, task)) for _, task in sorted(tasks.items())],
    )


@router.post("/classify", summary="Classify a failure that is described", responses=responses(400, 403, 413, 415, 422))
async def classify(queue: Queue, body: Annotated[Description, Body()]) -> Classification:
    """Say what the failure would be and how it would be retried. Nothing is stored."""
    failure, decisions = decide.describe(queue.engine, **body.model_dump())
    return _classification(failure, [each.delay for each in decisions if not isinstance(each, DeadLetter)])


def shape(policy: RetryPolicy) -> Policy:
    """What clients read about a policy."""
    return Policy(
        name=policy.name,
        max_retries=policy.max_retries,
        backoff=policy.backoff,
        initial_delay_seconds=policy.initial_delay.total_seconds(),
        multiplier=policy.multiplier,
        max_delay_seconds=policy.max_delay.total_seconds(),
        jitter=policy.jitter,
        delays_seconds=[wait.total_seconds() for wait in schedule(policy, decide.LONGEST_SCHEDULE)],
    )


def _task(ruling: decide.Ruling) -> TaskPolicy:
    policy = shape(ruling.policy) if ruling.policy else None
    return TaskPolicy(task=ruling.task, decided_by=ruling.decided_by, policy=policy)


def _classification(failure: Failure, waits: list[timedelta]) -> Classification:
    evidence: list[Any] = [
        EvidenceItem(rule=each.rule, exception=each.exception, depth=each.depth, detail=each.detail)
        for each in failure.evidence
    ]
    return Classification(
        failure_type=failure.type,
        confidence=failure.confidence,
        retryable=failure.retryable,
        remediation=failure.remediation,
        sentence=failure.sentence,
        reason=failure.reason,
        hint_seconds=failure.hint.seconds if failure.hint else None,
        fingerprint=failure.fingerprint,
        evidence=evidence,
        delays_seconds=[wait.total_seconds() for wait in waits],
    )
