"""What cannot be done to a dead letter, and that a refusal changes nothing."""

import psycopg
import pytest

from app.queue import control
from app.queue.app import Afresh
from app.queue.letters import NotDeployed, UnknownLetter, WrongStatus, abandon_letter, replay_letter
from app.queue.replay import AlreadyReplayed
from app.queue.submit import AlreadyQueued

from .jobs import add
from .letters import flaky, only_letter, replayed
from .workers import work_off

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


async def test_one_replay_at_a_time(queue_app: Afresh, conn: Connection):
    """A letter that is retrying can be neither replayed nor abandoned: the job in its place is named."""
    await flaky(conn, queue_app, TypeError())
    new = await replayed(conn, queue_app)
    letter_id = (await only_letter(conn))["id"]
    with pytest.raises(AlreadyReplayed) as refusal:
        await replay_letter(conn, letter_id, catalog=queue_app.catalog, actor="me")
    assert refusal.value.replay_id == new
    with pytest.raises(AlreadyReplayed):
        await abandon_letter(conn, letter_id, actor="me", note="no")


async def test_what_is_resolved_stays_resolved(queue_app: Afresh, conn: Connection):
    """Work that a replay has done is not done again, be it asked of the letter or of the job that died."""
    old = await flaky(conn, queue_app, TypeError())
    await replayed(conn, queue_app)
    await work_off(queue_app)
    letter_id = (await only_letter(conn))["id"]
    for again in (
        replay_letter(conn, letter_id, catalog=queue_app.catalog, actor="me"),
        control.retry(conn, old, catalog=queue_app.catalog, actor="me"),
        abandon_letter(conn, letter_id, actor="me", note="no"),
    ):
        with pytest.raises(WrongStatus, match="resolved"):
            await again


async def test_an_abandoned_letter_can_come_back(queue_app: Afresh, conn: Connection):
    """Abandoning takes a note and is done once; a replay of what was abandoned is possible."""
    await flaky(conn, queue_app, TypeError())
    letter_id = (await only_letter(conn))["id"]
    await abandon_letter(conn, letter_id, actor="me", note="customer has left, password=hunter2")
    letter = await only_letter(conn)
    assert (letter["status"], letter["note"]) == ("abandoned", "customer has left, password=[redacted]")
    with pytest.raises(WrongStatus, match="already"):
        await abandon_letter(conn, letter_id, actor="me", note="again")
    await replayed(conn, queue_app)
    await work_off(queue_app)
    assert (await only_letter(conn))["status"] == "resolved"


async def test_an_unknown_task_is_not_replayed(queue_app: Afresh, conn: Connection):
    """A letter whose task is not registered here stays as it is: a replay would only die again."""
    (job_id,) = await add(conn, task="gone")
    await conn.execute(
        "INSERT INTO afresh.job_option (job_id, waited) VALUES (%s, '{\"unknown_task\": 1e6}')", (job_id,)
    )
    await work_off(queue_app)
    with pytest.raises(NotDeployed, match="gone"):
        await replayed(conn, queue_app)
    assert (await only_letter(conn))["status"] == "pending"
    with pytest.raises(UnknownLetter):
        await replay_letter(conn, 99, catalog=queue_app.catalog, actor="me")


async def test_a_queueing_lock_that_is_held(queue_app: Afresh, conn: Connection):
    """A replay whose queueing lock is held by a waiting job is refused, and names that."""
    await flaky(conn, queue_app, TypeError(), queueing_lock="one")
    (twin,) = await add(conn, queueing_lock="one", due_in=3600)
    with pytest.raises(AlreadyQueued) as refusal:
        await replayed(conn, queue_app)
    assert refusal.value.job_id == twin
    assert (await only_letter(conn))["status"] == "pending"


async def test_retrying_a_job_is_replaying_its_letter(queue_app: Afresh, conn: Connection):
    """Whichever job of a letter is retried, it is the letter that is replayed."""
    first = await flaky(conn, queue_app, TypeError(), TypeError())
    second = await control.retry(conn, first, catalog=queue_app.catalog, actor="me")
    await work_off(queue_app)
    third = await control.retry(conn, first, catalog=queue_app.catalog, actor="me")
    letter = await only_letter(conn)
    assert (letter["status"], letter["replayed_as"], letter["replays"]) == ("retrying", third, 2)
    with pytest.raises(AlreadyReplayed):
        await control.retry(conn, second, catalog=queue_app.catalog, actor="me")
