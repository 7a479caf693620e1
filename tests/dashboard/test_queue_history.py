from datetime import UTC, datetime, timedelta

import pytest

from app.dashboard.queue_history import RANGES, Range, draw
from app.store.samples import HOUR, MINUTE, QueuePoint, Span, sum_up

from ..application import Served
from .parts import text_of

NOW = datetime(2030, 1, 1, 12, 34, 56, tzinfo=UTC)
START = datetime(2030, 1, 1, 12, tzinfo=UTC)
SPAN = Span(START, START + timedelta(minutes=10), MINUTE)


def point(minute: int, *, ready: int = 0, oldest: float = 0.0) -> QueuePoint:
    """What was sampled of a queue."""
    return QueuePoint(START + timedelta(minutes=minute), "sums", ready, ready, oldest, 0)


def drawn(points: list[QueuePoint], sampled: set[int], per: int = 1) -> list[str]:
    """The three charts of ten minutes."""
    return list(map(str, draw(points, [START + timedelta(minutes=minute) for minute in sampled], SPAN, per)))


def test_highest_counts():
    """Where a point stands for many samples, the highest is drawn."""
    ready, _, oldest = drawn([point(0, ready=3), point(1, ready=70, oldest=90.0)], set(range(10)), 5)
    assert "from 0 to 70" in ready
    assert "from 0 s to 90 s" in oldest


def test_no_jobs():
    """A queue without jobs is empty, wherever anybody sampled."""
    ready, *_ = drawn([], set(range(10)))
    assert "from 0 to 0" in ready
    assert "not sampled" not in ready


def test_nobody_sampled():
    """A stretch that nobody sampled is marked, and goes on as it was before."""
    ready, *_ = drawn([point(2, ready=40)], {0, 1, 2, 8, 9})
    assert "40" in ready
    assert '<rect x="30" y="0" height="30" class="shade" width="50"><title>not sampled</title></rect>' in ready


def test_not_sampled_yet():
    """What has just passed is not marked: its sample may still come."""
    assert "not sampled" not in drawn([], set(range(8)))[0]


@pytest.mark.parametrize(("name", "points"), [("3h", 180), ("24h", 144), ("7d", 168), ("30d", 180)])
def test_ranges(name: str, points: int):
    """However far back, a chart has points enough to see, and few enough to send."""
    assert len(RANGES[name].span(NOW).steps()) / RANGES[name].per == points


def test_up_to_now():
    """Minutes end with the last that is over, hours with the present one."""
    assert Range(timedelta(hours=3), MINUTE).span(NOW).until == datetime(2030, 1, 1, 12, 34, tzinfo=UTC)
    assert Range(timedelta(hours=24), HOUR).span(NOW).until == datetime(2030, 1, 1, 13, tzinfo=UTC)


@pytest.mark.anyio
async def test_on_its_page(served: Served):
    """A queue's page draws what was sampled of it in the time that its address says."""
    queue, client = served
    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=5)
    await client.post("/tasks/add", json={"args": {"a": 1}})
    async with queue.connection() as conn:
        await conn.execute(
            "INSERT INTO afresh.queue_sample (seconds, queue_name, at, ready, ready_most, oldest_seconds, running) "
            "VALUES (60, 'sums', %s, 12, 12, 77, 1)",
            [minute],
        )
        await conn.execute(
            "INSERT INTO afresh.service_sample (seconds, at, repeats, dead_letters, workers) VALUES (60, %s, 0, 0, 1)",
            [minute],
        )
        await sum_up(conn, [minute])
    assert "from 0 to 12" not in await text_of(client, "/dashboard/queues/sums")
    assert "from 0 to 12" in await text_of(client, "/dashboard/queues/sums?back=24h")
    assert (await client.get("/dashboard/queues/sums?back=8y")).status_code == 422
