"""What Prometheus reads: this process, and the whole installation."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ..monitoring.gauges import ClusterGauges
from ..monitoring.metrics import Metrics
from ..queue.app import Afresh
from ..web.auth import VIEWER
from ..web.origin import METRICS_PATH
from ..web.problem import responses
from ..web.reading import Queue

router = APIRouter(tags=["monitoring"])

EXAMPLE = """# HELP afresh_queue_ready_jobs Jobs that could run now. Counted up to a limit, as are the next two.
# TYPE afresh_queue_ready_jobs gauge
afresh_queue_ready_jobs{queue="api_calls"} 12.0
"""
_TEXT = {"schema": {"type": "string"}, "example": EXAMPLE}


def watch(queue: Afresh) -> tuple[Metrics, ClusterGauges]:
    """What an API process counts, and what it reads of the others."""
    metrics = Metrics(queue)
    return metrics, ClusterGauges(queue, metrics)


@router.get(
    METRICS_PATH,
    dependencies=[VIEWER],
    summary="Tell Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "The text format, or OpenMetrics where Accept asks for it.",
            "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT},
        },
        **responses(503),
    },
)
async def show_metrics(request: Request, queue: Queue) -> Response:
    """Return queues, dead letters, breakers and workers of the whole installation, and what this process counts.

    Each worker serves what it does at WORKER_METRICS_PORT. METRICS_TOKEN opens this in place of a key. The database is
    asked once in ten seconds at most; while it does not answer, its part is missing and `afresh_database_up` is 0.
    """
    metrics, gauges = request.app.state.metrics
    await gauges.refresh(queue.connection)
    media_type, text = metrics.rendered(request.headers.get("accept"))
    return Response(text, headers={"Content-Type": media_type})
