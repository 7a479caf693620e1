"""What became of jobs in some time, as every answer about performance shows it."""

from typing import Any

from pydantic import BaseModel, Field

from ..store.samples import Work


class WorkReport(BaseModel):
    """What became of jobs in some time. Rates are shares from 0 to 1; null: nothing to take them from."""

    submitted: int = Field(description="Jobs made.", examples=[120])
    attempts: int = Field(description="That ran to their end.", examples=[130])
    succeeded: int = Field(examples=[118])
    failed: int = Field(description="Attempts, whatever followed.", examples=[12])
    retried: int = Field(description="Failures that were followed by another attempt.", examples=[11])
    buried: int = Field(description="Jobs that became dead letters.", examples=[1])
    snoozed: int = Field(examples=[0])
    lost: int = Field(description="Attempts whose worker was lost.", examples=[0])
    per_second: float = Field(description="Attempts.", examples=[2.16])
    error_rate: float | None = Field(description="Failed attempts by attempts.", examples=[0.092])
    success_rate: float | None = Field(description="Jobs that succeeded by jobs that ended.", examples=[0.99])
    retry_rate: float | None = Field(description="Retries by attempts.", examples=[0.085])
    mean_seconds: float | None = Field(examples=[0.31])
    p50_seconds: float | None = Field(description="As closely as classes tell.", examples=[0.2])
    p95_seconds: float | None = Field(examples=[0.9])
    longest_seconds: float = Field(examples=[2.5])


def fields_of(work: Work, seconds: float) -> dict[str, Any]:
    """The fields of a `WorkReport` for what became of jobs in so many seconds."""
    attempts = work.attempts
    return {
        "submitted": work.submitted,
        "attempts": attempts,
        "succeeded": work.succeeded,
        "failed": work.failed,
        "retried": work.retried,
        "buried": work.buried,
        "snoozed": work.snoozed,
        "lost": work.lost,
        "per_second": attempts / seconds,
        "error_rate": share(work.failed, attempts),
        "success_rate": share(work.succeeded, work.ended),
        "retry_rate": share(work.retried, attempts),
        "mean_seconds": share(work.spent, attempts),
        "p50_seconds": work.quantile(0.5),
        "p95_seconds": work.quantile(0.95),
        "longest_seconds": work.longest,
    }


def report_of(work: Work, seconds: float) -> WorkReport:
    """The same as a report."""
    return WorkReport(**fields_of(work, seconds))


def share(part: float, whole: float) -> float | None:
    """A part by its whole; None where there is nothing."""
    return part / whole if whole else None
