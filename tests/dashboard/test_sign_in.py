"""Signing in to the pages, and what their forms need."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from psycopg import AsyncConnection

from app.api.main import create_app
from app.queue.app import Afresh
from app.store.audit import AuditFilter, list_audit
from app.store.keys import Role, create_key, revoke_key
from app.web.cookies import SIGN_IN, VISITOR, form_token
from app.web.sign_in_limit import BURST

from ..api.test_dead_letters import insert
from ..application import Served, serving, settings_for
from ..eventually import eventually
from .forms import PERSON, hidden_of, send, sign_in
from .scene import PAGES, fill
from .test_bulk import BULK, confirm, preview

pytestmark = pytest.mark.anyio

ADMIN_KEY = "a-secret-of-the-environment-0123"


@pytest.fixture
async def locked(anyio_backend: str, database_url: str) -> AsyncIterator[Served]:  # noqa: ARG001 - it makes the fixture async
    """A server that demands a key."""
    async with serving(settings_for(database_url, admin_key=ADMIN_KEY)) as both:
        yield both


async def test_led_to_the_door_and_back(locked: Served):
    """Who opens a page without having signed in is asked for a key, and then is where they wanted to go."""
    _, client = locked
    refused = await client.get("/dashboard/jobs?state=failed", headers=PERSON)
    assert refused.status_code == 303
    assert refused.headers["location"] == "/dashboard/sign-in?to=%2Fdashboard%2Fjobs%3Fstate%3Dfailed"
    fields = await hidden_of(client, refused.headers["location"])
    entered = await client.post("/dashboard/sign-in", data=fields | {"key": ADMIN_KEY}, headers=PERSON)
    assert (entered.status_code, entered.headers["location"]) == (303, "/dashboard/jobs?state=failed")
    assert (await client.get(entered.headers["location"], headers=PERSON)).status_code == 200


async def test_cookie(locked: Served):
    """The cookie is out of reach for scripts and other sites, holds no key, and is over after a working day."""
    answer = await sign_in(locked[1], ADMIN_KEY)
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith(SIGN_IN)]
    assert {"HttpOnly", "SameSite=strict", "Max-Age=43200", "Path=/"} <= set(cookie.split("; "))
    assert ADMIN_KEY not in cookie


@pytest.mark.parametrize("to", ["https://elsewhere.test/", "//elsewhere.test", "/dashboardish", "/dashboard\\@x", ""])
async def test_leads_nowhere_else(locked: Served, to: str):
    """A link to the door cannot send on to anything but our pages."""
    assert (await sign_in(locked[1], ADMIN_KEY, to=to)).headers["location"] == "/dashboard"


async def test_wrong_key(locked: Served):
    """A wrong key opens nothing, says so on the page, and too many of them have to wait."""
    _, client = locked
    for _ in range(BURST):
        answer = await sign_in(client, "afresh_0123456789_wrong")
        assert (answer.status_code, SIGN_IN in answer.cookies) == (401, False)
        assert "no key that is in force" in answer.text
    assert (await sign_in(client, ADMIN_KEY)).status_code == 429


async def test_what_the_cookie_is_good_for(locked: Served):
    """With the cookie, everything can be read; nothing but a form of a page changes anything."""
    _, client = locked
    await sign_in(client, ADMIN_KEY)
    assert (await client.get("/jobs")).status_code == 200
    assert (await client.post("/tasks/add", json={"args": {"a": 1}})).status_code == 401


async def test_sign_out(locked: Served, conn: AsyncConnection):
    """After signing out the old cookie opens nothing, wherever it was copied to; both are in the audit."""
    _, client = locked
    await sign_in(client, ADMIN_KEY)
    token = client.cookies[SIGN_IN]
    fields = await hidden_of(client, "/dashboard")
    left = await client.post("/dashboard/sign-out", data=fields, headers=PERSON)
    assert left.headers["location"] == "/dashboard/sign-in"
    assert SIGN_IN not in client.cookies
    again = await client.get("/dashboard", headers=PERSON | {"cookie": f"{SIGN_IN}={token}"})
    assert again.status_code == 303
    rows = (await list_audit(conn, AuditFilter(actor="ADMIN_API_KEY"), limit=10)).items
    assert [each["action"] for each in rows] == ["dashboard.sign_out", "dashboard.sign_in"]


async def test_lasts_as_long_as_its_key(served: Served, conn: AsyncConnection):
    """With the key that made it, a sign-in ends."""
    _, client = served
    await sign_in(client, await create_key(conn, "night", Role.VIEWER, actor="test"))
    assert (await client.get("/dashboard", headers=PERSON)).status_code == 200
    await revoke_key(conn, "night", actor="test")

    async def shut() -> bool:
        return (await client.get("/dashboard", headers=PERSON)).status_code == 303

    assert await eventually(shut, within=15)


async def test_another_admin_key(locked: Served, database_url: str):
    """A sign-in with ADMIN_API_KEY is over once that has another value."""
    await sign_in(locked[1], ADMIN_KEY)
    async with serving(settings_for(database_url, admin_key="another-secret-0123456789")) as (_, client):
        client.cookies.set(SIGN_IN, locked[1].cookies[SIGN_IN])
        assert (await client.get("/dashboard", headers=PERSON)).status_code == 303


async def test_over(locked: Served, conn: AsyncConnection):
    """After its time a sign-in opens nothing, and the next one clears it away."""
    _, client = locked
    await sign_in(client, ADMIN_KEY)
    await conn.execute("UPDATE afresh.sign_in SET expires_at = now()")
    assert (await client.get("/dashboard", headers=PERSON)).status_code == 303
    await sign_in(client, ADMIN_KEY)
    rows = await (await conn.execute("SELECT count(*) FROM afresh.sign_in")).fetchall()
    assert rows == [(1,)]


async def test_role_decides_what_there_is(served: Served, conn: AsyncConnection):
    """A viewer sees no button of an operator, and its form is refused all the same."""
    _, client = served
    job = (await client.post("/tasks/add", json={"args": {"a": 1}, "run_in": "1h"})).json()["job_id"]
    assert "Cancel" in (await client.get(f"/dashboard/jobs/{job}")).text
    key = await create_key(conn, "looks", Role.VIEWER, actor="test")

    async def asked() -> bool:  # Until now there were no keys, which is known for a moment longer.
        return (await client.get("/dashboard", headers=PERSON)).status_code == 303

    assert await eventually(asked, within=15)
    await sign_in(client, key)
    assert "Cancel" not in (await client.get(f"/dashboard/jobs/{job}")).text
    fields = await hidden_of(client, f"/dashboard/jobs/{job}") | {"reason": "because"}
    refused = await client.post(f"/dashboard/jobs/{job}/cancel", data=fields, headers=PERSON)
    assert refused.status_code == 403
    assert "needs the role operator" in refused.text


async def test_nobody_needs_to(served: Served):
    """Where there are no keys, the page that asks for one leads on."""
    assert (await served[1].get("/dashboard/sign-in")).headers["location"] == "/dashboard"


def changing_pages(queue: Afresh) -> list[str]:
    """Where the pages' forms go, with a number for every name."""
    routes = [(str(each.path), each.methods or set()) for each in iter_route_contexts(create_app(queue).routes)]
    return [
        re.sub(r"{[^}]*}", "1", path) for path, methods in routes if path.startswith("/dashboard") and "POST" in methods
    ]


async def test_no_form_without_its_token(served: Served):
    """No page changes anything on a form that it did not make for this browser: without a token, or with another's."""
    queue, client = served
    pages = changing_pages(queue)
    assert len(pages) >= 5
    await client.get("/dashboard")
    visitor, another = dict(client.cookies), {"form_token": form_token("another visitor")}
    assert VISITOR in visitor
    for address in pages:
        for cookies, fields in (({}, {}), ({}, another), (visitor, {}), (visitor, another)):
            client.cookies = httpx.Cookies(cookies)
            answer = await client.post(address, data=fields | {"reason": "x", "key": "y"})
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:afresh:form-refused"), address


WITHOUT_REASON = {
    "/dashboard/sign-in",
    "/dashboard/sign-out",
    "/dashboard/jobs/1/reschedule",
    "/dashboard/alerts/start",
    "/dashboard/dead-letters/bulk/preview",
}
"""Where no reason is asked for, or none need be given."""

BESIDES = {"action": "cancel", "job": "1", "token": "x", "confirm": "1", "duration": "5m", "max_running": "1"}
"""What some forms need besides a reason."""


async def test_no_change_without_a_reason(served: Served, conn: AsyncConnection):
    """Wherever a form asks for a reason, an empty one is refused, and nothing is done."""
    queue, client = served
    await insert(conn)  # A letter's page says what is wrong beside the form.
    pages = changing_pages(queue)
    assert set(pages) >= WITHOUT_REASON
    for address in set(pages) - WITHOUT_REASON:
        answer = await send(client, "/dashboard", address, **BESIDES, reason=" ")
        assert answer.status_code == 422, address
        assert re.search("reason(</strong>)?: is missing", answer.text), address
    assert (await list_audit(conn, AuditFilter(), limit=1)).items == []


async def buttons(client: httpx.AsyncClient) -> set[str]:
    """The pages on which there is something to press that changes something, or to tick."""
    (group,) = (await client.get("/failures/groups")).json()["items"]
    pages = PAGES | {
        "letters": "/dashboard/dead-letters?task=sample.fail",
        "group": f"/dashboard/failures/groups/{group['fingerprint']}",
        "bulk": f"{BULK}/1",
    }
    shown = {name: await client.get(address, headers=PERSON) for name, address in pages.items()}
    bodies = {name: page.text.partition("<main")[2].partition("</main>")[0] for name, page in shown.items()}
    refused = {name for name, page in shown.items() if page.status_code != 200}
    assert refused <= {"audit"}  # It is for admins.
    return {name for name, body in bodies.items() if re.search(r'method="post"|class="tick"', body)}


async def test_a_viewer_sees_no_buttons(locked: Served, conn: AsyncConnection):
    """Where an admin finds something to press, on whichever page, a viewer finds nothing but what there is to read."""
    _, client = locked
    client.headers["authorization"] = f"Bearer {ADMIN_KEY}"
    await fill(locked)
    del client.headers["authorization"]
    await sign_in(client, ADMIN_KEY)
    await confirm(client, await preview(client, task="sample.fail"))
    pressed = {"jobs", "dependency", "letters", "letter", "alerts", "queue", "group", "bulk"}
    assert await buttons(client) >= pressed
    await sign_in(client, await create_key(conn, "looks", Role.VIEWER, actor="test"))
    assert not await buttons(client)


async def test_problem_page(served: Served):
    """What goes wrong on a page is told as a page to a person, and as JSON to a program, with the same status."""
    _, client = served
    page = await client.get("/dashboard/jobs/7", headers=PERSON)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no job 7" in page.text or "there is no job 7" in page.text
    assert "Back to where you were" not in page.text
    told = await client.get("/dashboard/jobs/7")
    assert (told.status_code, told.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://localhost/dashboard/jobs?state=failed&queue=a%26b", "/dashboard/jobs?state=failed&amp;queue=a%26b"),
        ("http://localhost/dashboard", "/dashboard"),
        ("http://localhost/docs", None),
        ("http://elsewhere/dashboard/jobs", None),
        ("http://[/dashboard/jobs", None),
    ],
)
async def test_the_way_back(served: Served, referer: str, back: str | None):
    """A problem leads back to the page of ours that led to it, and to nothing else."""
    page = (await served[1].get("/dashboard/jobs/7", headers=PERSON | {"referer": referer})).text
    if back is None:
        assert "Back to where you were" not in page
    else:
        assert f'<a href="{back}">Back to where you were</a>' in page
