"""How a request is signed in, and what happens to those who try."""

import logging

import httpx
import pytest
from fastapi import FastAPI
from psycopg import AsyncConnection

from app.api.main import create_app
from app.store.keys import Role, create_key, list_keys, revoke_key
from app.web.sign_in_limit import BURST

from ..application import Served, client_of, serving, settings_for
from ..eventually import eventually

pytestmark = pytest.mark.anyio


def bearing(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


async def test_first_key_closes_the_door(client: httpx.AsyncClient, conn: AsyncConnection):
    """Without keys this machine may do everything; as soon as there is one, it is needed."""
    assert (await client.get("/jobs")).status_code == 200
    key = await create_key(conn, "deploy", Role.VIEWER, actor="test")

    async def closed() -> bool:
        return (await client.get("/jobs")).status_code == 401

    assert await eventually(closed, within=15)
    assert (await client.get("/jobs", headers=bearing(key))).status_code == 200


async def test_revoked(client: httpx.AsyncClient, conn: AsyncConnection):
    """A key that is revoked is refused within seconds, and the door stays closed though it was the last one."""
    key = await create_key(conn, "deploy", Role.VIEWER, actor="test")
    assert (await client.get("/jobs", headers=bearing(key))).status_code == 200
    await revoke_key(conn, "deploy", actor="test")

    async def refused() -> bool:
        return (await client.get("/jobs", headers=bearing(key))).status_code == 401

    assert await eventually(refused, within=15)
    assert (await client.get("/jobs")).status_code == 401


async def test_last_use(client: httpx.AsyncClient, conn: AsyncConnection):
    """The first use of a key within a minute is noted."""
    key = await create_key(conn, "deploy", Role.VIEWER, actor="test")
    assert (await list_keys(conn))[0].last_used_at is None
    await client.get("/jobs", headers=bearing(key))
    assert (await list_keys(conn))[0].last_used_at is not None


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer")],
        [("Authorization", "")],
        [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
    ],
)
async def test_no_bearer_key(client: httpx.AsyncClient, headers: list[tuple[str, str]]):
    """What is no bearer key is refused, also while no key is needed: whoever sends one believes to be somebody."""
    assert (await client.get("/jobs", headers=headers)).status_code == 401


async def test_key_in_the_address(client: httpx.AsyncClient, conn: AsyncConnection):
    """A key in the address or in a body opens nothing."""
    key = await create_key(conn, "deploy", Role.ADMIN, actor="test")
    for url in (f"/tasks?key={key}", f"/tasks?access_token={key}", f"/tasks?Authorization=Bearer%20{key}"):
        assert (await client.get(url)).status_code == 401


async def test_remote_without_keys(served: Served):
    """A connection by another address than the loopback one is refused while there are no keys, but for the probes."""
    app = create_app(served[0])

    async def remotely(scope, receive, send) -> None:  # noqa: ANN001 - an ASGI app.
        await app(scope | {"server": ("192.168.1.7", 8000)}, receive, send)

    async with client_of(remotely) as client:
        refused, probe = await client.get("/jobs"), await client.get("/monitoring/live")
    assert (refused.status_code, refused.json()["type"], probe.status_code) == (403, "urn:afresh:remote-address", 200)


@pytest.fixture
async def app(served: Served, conn: AsyncConnection) -> FastAPI:
    """A server that demands keys."""
    await create_key(conn, "somebody", Role.VIEWER, actor="test")
    return create_app(served[0])


async def test_too_many_wrong_keys(app: FastAPI, conn: AsyncConnection):
    """Whoever tries keys has to wait, even with a right one; others, and those signed in before, are not held up."""
    right, other = [await create_key(conn, name, Role.VIEWER, actor="test") for name in ("right", "other")]
    async with client_of(app, address="10.0.0.1") as there, client_of(app, address="10.0.0.2") as elsewhere:
        assert (await there.get("/tasks", headers=bearing(other))).status_code == 200
        wrong = [(await there.get("/tasks", headers=bearing(f"wrong{number}"))).status_code for number in range(BURST)]
        limited = await there.get("/tasks", headers=bearing(right))
        assert set(wrong) == {401}
        assert (limited.status_code, limited.json()["type"]) == (429, "urn:afresh:too-many-wrong-keys")
        assert 0 < int(limited.headers["retry-after"]) <= 60
        assert (await there.get("/tasks", headers=bearing(other))).status_code == 200
        assert (await there.get("/tasks")).status_code == 401
        assert (await elsewhere.get("/tasks", headers=bearing(right))).status_code == 200


async def test_keys_are_never_told(
    app: FastAPI, conn: AsyncConnection, caplog: pytest.LogCaptureFixture, database_url: str
):
    """A key stands in no log line, no repr, no answer and no table."""
    caplog.set_level(logging.DEBUG)
    key = await create_key(conn, "deploy", Role.OPERATOR, actor="test")
    secret = key.rpartition("_")[2]
    async with client_of(app) as client:
        answers = [
            await client.get("/jobs", headers=bearing(key)),
            await client.get("/audit", headers=bearing(key)),
            await client.post("/tasks/nothing", headers=bearing(key)),
            await client.get("/jobs", headers=bearing(key + "x")),
        ]
    assert [answer.status_code for answer in answers] == [200, 403, 404, 401]
    cursor = await conn.execute("SELECT k::text FROM afresh.api_key k UNION ALL SELECT a::text FROM afresh.audit a")
    stored = str(await cursor.fetchall())
    settings = repr(settings_for(database_url, admin_key=key))
    told = "".join([caplog.text, stored, settings, repr(await list_keys(conn)), *(answer.text for answer in answers)])
    assert "deploy" in told
    assert not any(form in told for form in (secret, secret.encode().hex()))


async def test_bootstrap_key(database_url: str):
    """ADMIN_API_KEY alone closes the door, and opens all of it."""
    async with serving(settings_for(database_url, admin_key="a-bootstrap-key")) as (_, client):
        assert (await client.get("/jobs")).status_code == 401
        assert (await client.get("/audit", headers=bearing("a-bootstrap-key"))).status_code == 200
        assert (await client.get("/audit", headers=bearing("a-bootstrap-kez"))).status_code == 401
