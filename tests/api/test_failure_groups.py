"""Failure groups over HTTP: found, counted, resolved, muted."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.store.failures import fold_failures

from ..application import run_waiting_jobs
from ..store.history import fail

pytestmark = pytest.mark.anyio

WHY = {"reason": "mended in 1.2"}


async def refuse(queue: Afresh, client: httpx.AsyncClient, *messages: str) -> None:
    """Run a job for each message, that fails with it and dies."""
    for message in messages:
        await client.post("/tasks/fail", json={"args": {"message": message, "password": "hunter2hunter2"}})
    await run_waiting_jobs(queue)


async def only_group(client: httpx.AsyncClient) -> dict[str, object]:
    """The one group there is."""
    (group,) = (await client.get("/failures/groups")).json()["items"]
    return dict(group)


async def fingerprints(client: httpx.AsyncClient, **wanted: object) -> list[str]:
    """The groups that fit, as they are listed."""
    answer = await client.get("/failures/groups", params={key: str(value) for key, value in wanted.items()})
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] >= len(answer.json()["items"])
    return [group["fingerprint"] for group in answer.json()["items"]]


@pytest.mark.parametrize("folded", [False, True])
async def test_failures_of_one_cause(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection, *, folded: bool):
    """Failures that differ only in a number are one group, with all there is to know of it, folded or not."""
    await refuse(queue, client, "order 17 is odd", "order 18 is odd")
    if folded:
        assert await fold_failures(conn) == 2
    group = await only_group(client)
    assert (group["failures"], group["deaths"], group["status"]) == (2, 2, "open")
    assert (group["tasks"], group["exception_type"]) == (["sample.fail"], "tests.sample_tasks.RefusedError")
    assert (group["failure_type"], group["message"], group["remediation"]) == (
        "TRANSIENT_NETWORK", "order 18 is odd", "AUTO_RETRY",
    )  # fmt: skip
    assert group["sparkline"] in ([*[0] * 23, 2], [*[0] * 22, 2, 0], [*[0] * 22, 1, 1])
    assert str(group["first_seen"]) < str(group["last_seen"])


async def test_one_group(queue: Afresh, client: httpx.AsyncClient):
    """One group shows a traceback without secrets, its newest failures, and the way to its letters and their replay."""
    await refuse(queue, client, "token=hunter2hunter2 refused", "token=hunter3hunter3 refused")
    fingerprint = (await only_group(client))["fingerprint"]
    group = (await client.get(f"/failures/groups/{fingerprint}")).json()
    assert "in fail\n    raise RefusedError(message)" in group["traceback"]
    assert "hunter" not in str(group)
    assert [(each["job_id"], each["decision"]) for each in group["recent"]] == [
        (2, "dead_letter"),
        (1, "dead_letter"),
    ]
    assert (group["pending_letters"], group["pending_letters_is_exact"]) == (2, True)
    assert group["dead_letters"] == f"/dead-letters?group={fingerprint}&status=pending"
    letters = (await client.get(group["dead_letters"])).json()
    assert [letter["job_id"] for letter in letters["items"]] == [2, 1]
    preview = (await client.post("/dead-letters/bulk/preview", json=group["replay"])).json()
    assert preview["count"] == 2


@pytest.mark.parametrize("folded", [False, True])
async def test_resolved_until_it_comes_back(
    queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection, *, folded: bool
):
    """A resolved group that fails again is a regression, until it is resolved once more, or taken for open."""
    await refuse(queue, client, "refused")
    if folded:
        await fold_failures(conn)
    path = f"/failures/groups/{(await only_group(client))['fingerprint']}"
    resolved = (await client.post(f"{path}/resolve", json=WHY)).json()
    assert (resolved["status"], resolved["resolved"]["by"], resolved["resolved"]["reason"]) == (
        "resolved", "local", "mended in 1.2",
    )  # fmt: skip
    await refuse(queue, client, "refused")
    group = await only_group(client)
    assert (group["status"], group["failures"], group["resolved"]) == ("regression", 2, resolved["resolved"])
    assert (await client.post(f"{path}/resolve", json=WHY)).json()["status"] == "resolved"
    reopened = (await client.post(f"{path}/reopen", json=WHY)).json()
    assert (reopened["status"], reopened["resolved"]) == ("open", None)
    cursor = await conn.execute(
        "SELECT actor, action, target, reason FROM afresh.audit WHERE action <> 'job.submit' ORDER BY id"
    )
    target = group["fingerprint"]
    assert await cursor.fetchall() == [
        ("local", f"failure_group.{verb}", target, "mended in 1.2") for verb in ("resolve", "resolve", "reopen")
    ]


async def test_muted_until_a_time(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A muted group is quiet until its time, counts on, and is heard again then, or when somebody says so."""
    await refuse(queue, client, "refused")
    path = f"/failures/groups/{(await only_group(client))['fingerprint']}"
    muted = (await client.post(f"{path}/mute", json=WHY | {"duration": "4h"})).json()
    left = datetime.fromisoformat(muted["muted"]["until"]) - datetime.now(UTC)
    assert muted["status"] == "muted"
    assert timedelta(hours=3.9) < left <= timedelta(hours=4)
    await refuse(queue, client, "refused")
    assert (await only_group(client))["failures"] == 2
    await conn.execute("UPDATE afresh.failure_mark SET muted_until = now()")
    over = await only_group(client)
    assert (over["status"], over["muted"]) == ("open", None)
    assert (await client.post(f"{path}/unmute", json=WHY)).status_code == 409
    await client.post(f"{path}/mute", json=WHY | {"until": "2099-01-01T00:00:00Z"})
    assert await fingerprints(client, status="muted") == [over["fingerprint"]]
    assert (await client.post(f"{path}/unmute", json=WHY)).json()["status"] == "open"
    cursor = await conn.execute("SELECT action, details ->> 'until' FROM afresh.audit ORDER BY id DESC LIMIT 2")
    assert await cursor.fetchall() == [
        ("failure_group.unmute", None),
        ("failure_group.mute", "2099-01-01T00:00:00+00:00"),
    ]


async def test_a_fingerprint_like_a_path(client: httpx.AsyncClient, conn: AsyncConnection):
    """Whatever stands in a fingerprint, its group has an address, and can be resolved there."""
    odd = "a/b resolve/../?%2F"
    await fail(conn, fingerprint=odd)
    path = f"/failures/groups/{quote(odd, safe='')}"
    assert (await client.get(path)).json()["fingerprint"] == odd
    assert (await client.post(f"{path}/resolve", json=WHY)).json()["status"] == "resolved"
    assert (await client.post(f"{path}/reopen", json=WHY)).json()["fingerprint"] == odd


@pytest.mark.parametrize("verb", ["resolve", "mute"])
async def test_no_such_group(client: httpx.AsyncClient, verb: str):
    """What nothing has failed with cannot be shown, resolved or muted."""
    body = WHY | ({"duration": 60} if verb == "mute" else {})
    assert (await client.get("/failures/groups/nothing")).status_code == 404
    assert (await client.post(f"/failures/groups/nothing/{verb}", json=body)).status_code == 404


async def test_nothing_to_take_back(queue: Afresh, client: httpx.AsyncClient):
    """What nobody said cannot be taken back."""
    await refuse(queue, client, "refused")
    path = f"/failures/groups/{(await only_group(client))['fingerprint']}"
    assert (await client.post(f"{path}/reopen", json=WHY)).status_code == 409
    assert (await client.post(f"{path}/unmute", json=WHY)).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "r"},
        {"duration": "1h"},
        {"reason": "r", "duration": "1h", "until": "2099-01-01T00:00:00Z"},
        {"reason": "r", "until": "2020-01-01T00:00:00Z"},
        {"reason": "r", "until": "2099-01-01T00:00:00"},
        {"reason": "r", "duration": 0},
    ],
)
async def test_mute_wants_one_end_and_a_reason(client: httpx.AsyncClient, body: dict[str, object]):
    """A mute says why, and one time to come."""
    assert (await client.post("/failures/groups/f/mute", json=body)).status_code == 422


async def test_filters(client: httpx.AsyncClient, conn: AsyncConnection):
    """Groups are found by status, task, type, dependency, times and text, folded or not."""
    await fail(conn, fingerprint="old", hours_ago=50, task="sample.add", failure_type="TRANSIENT_TIMEOUT")
    await fail(conn, fingerprint="back", hours_ago=50, message="100% lost", task="app.tasks.jokes.fetch_and_cache_joke")
    await fold_failures(conn)
    await fail(conn, fingerprint="back", message="100% lost", task="app.tasks.jokes.fetch_and_cache_joke")
    await fail(conn, fingerprint="new")
    day_ago = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert await fingerprints(client) == ["new", "back", "old"]
    for wanted, found in (
        ({"task": "add"}, ["old"]),
        ({"task": "t"}, ["new"]),
        ({"type": "TRANSIENT_TIMEOUT"}, ["old"]),
        ({"dependency": "joke-api"}, ["back"]),
        ({"seen_from": day_ago}, ["new", "back"]),
        ({"seen_to": day_ago}, ["old"]),
        ({"new_from": day_ago}, ["new"]),
        ({"new_to": day_ago}, ["back", "old"]),
        ({"text": "100%"}, ["back"]),
        ({"text": "LIB.ERR"}, ["new", "back", "old"]),
        ({"text": "sample."}, ["old"]),
        ({"status": "open"}, ["new", "back", "old"]),
        ({"status": "regression"}, []),
    ):
        assert await fingerprints(client, **wanted) == found, wanted


async def test_a_dependency_that_a_job_named(client: httpx.AsyncClient, conn: AsyncConnection):
    """What a job itself relied on is told of its group, also after the job is gone."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, afresh_dependency) VALUES ('q', 't', 'mail-host')"
    )
    await fail(conn, job_id=1)
    assert (await only_group(client))["dependencies"] == ["mail-host"]
    await fold_failures(conn)
    await conn.execute("DELETE FROM procrastinate_jobs")
    assert await fingerprints(client, dependency="mail-host") == ["f"]
    assert await fingerprints(client, dependency="other") == []


@pytest.mark.parametrize("order", ["last_seen", "count"])
async def test_pages(client: httpx.AsyncClient, conn: AsyncConnection, order: str):
    """Pages follow each other without a gap or a repeat, in either order, over what is folded and what is not."""
    for number in range(9):
        for _ in range(number % 3 + 1):
            await fail(conn, fingerprint=f"g{number}")
        if number == 4:
            await fold_failures(conn)
    await fail(conn, fingerprint="g1")
    newest = ["g1", *[f"g{n}" for n in range(8, -1, -1) if n != 1]]
    largest = ["g1", "g8", "g5", "g2", "g7", "g4", "g6", "g3", "g0"]
    seen: list[str] = []
    params = {"order": order, "limit": "2"}
    while True:
        page = (await client.get("/failures/groups", params=params)).json()
        assert (page["total"], page["total_is_exact"]) == (9, True)
        seen += [group["fingerprint"] for group in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == (newest if order == "last_seen" else largest)
    assert await fingerprints(client, order=order, limit=3, offset=4) == seen[4:7]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cursor", "x"),
        ("cursor", "1-2"),
        ("cursor", "9" * 20),
        ("cursor", "-"),
        ("order", "name"),
        ("status", "closed"),
        ("type", "ODD"),
        ("text", "x" * 201),
        ("text", "\0"),
        ("seen_from", "yesterday"),
        ("nothing", "1"),
    ],
)
async def test_odd_filters(client: httpx.AsyncClient, name: str, value: str):
    """What is no filter is refused by name."""
    answer = await client.get("/failures/groups", params={name: value})
    assert (answer.status_code, [fault["field"] for fault in answer.json()["errors"]]) == (422, [name])


@pytest.mark.parametrize("cursor", ["1", "1-2-3", "a-1", f"1-{2**63}"])
async def test_a_cursor_of_another_order(client: httpx.AsyncClient, cursor: str):
    """By count, a cursor has two parts."""
    answer = await client.get("/failures/groups", params={"order": "count", "cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")
