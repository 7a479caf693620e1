import httpx
import pytest
from psycopg import AsyncConnection

from app.store.audit import record
from app.store.keys import KeyRefused, Role, create_key, revoke_key

pytestmark = pytest.mark.anyio


async def changes(conn: AsyncConnection) -> None:
    """Three changes."""
    await record(conn, actor="ada", action="queue.pause", target="emails", reason="the provider is down")
    await record(conn, actor="bob", action="job.cancel", target="7")
    await record(conn, actor="ada", action="queue.resume", target="emails", details={"token": "x", "jobs": 3})


async def test_pages(client: httpx.AsyncClient, conn: AsyncConnection):
    """Changes are listed newest first, page by page."""
    await changes(conn)
    first = (await client.get("/audit?limit=2")).json()
    second = (await client.get(f"/audit?limit=2&cursor={first['next_cursor']}")).json()
    assert [each["action"] for each in first["items"] + second["items"]] == [
        "queue.resume",
        "job.cancel",
        "queue.pause",
    ]
    assert (first["total"], first["total_is_exact"], second["next_cursor"]) == (3, True, None)
    assert second["items"][0]["reason"] == "the provider is down"


async def test_secrets(client: httpx.AsyncClient, conn: AsyncConnection):
    """Details hold no secret."""
    await changes(conn)
    newest = (await client.get("/audit")).json()["items"][0]
    assert newest["details"] == {"token": "[redacted]", "jobs": 3}


@pytest.mark.parametrize(("query", "count"), [("actor=ada", 2), ("action=job.cancel", 1), ("target=emails", 2)])
async def test_filters(client: httpx.AsyncClient, conn: AsyncConnection, query: str, count: int):
    """They can be filtered by who, what and on what."""
    await changes(conn)
    page = (await client.get(f"/audit?{query}")).json()
    assert (page["total"], len(page["items"])) == (count, count)


async def test_keys(conn: AsyncConnection):
    """Making and revoking a key is told, with its public part; a refusal is not."""
    prefix = (await create_key(conn, "deploy", Role.OPERATOR, actor="cli")).rpartition("_")[0]
    with pytest.raises(KeyRefused):
        await create_key(conn, "deploy", Role.ADMIN, actor="cli")
    await revoke_key(conn, "deploy", actor="cli")
    with pytest.raises(KeyRefused):
        await revoke_key(conn, "deploy", actor="cli")
    cursor = await conn.execute("SELECT actor, action, target, details FROM afresh.audit ORDER BY id")
    assert await cursor.fetchall() == [
        ("cli", "key.create", "deploy", {"role": "operator", "prefix": prefix}),
        ("cli", "key.revoke", "deploy", {"prefix": prefix}),
    ]
    await create_key(conn, "deploy", Role.VIEWER, actor="cli")  # The name is free again.


@pytest.mark.parametrize("name", ["", "local", "CLI", "a\nb", "-x", "x" * 64, "Admin_Api_Key", "a;b"])
async def test_names(conn: AsyncConnection, name: str):
    """A key has a name that is one line and means nobody else in the audit."""
    with pytest.raises(KeyRefused):
        await create_key(conn, name, Role.VIEWER, actor="cli")
