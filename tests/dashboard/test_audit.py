from collections.abc import Mapping
from types import MappingProxyType

import pytest

from app.dashboard.audit import place_of
from app.queue.app import Afresh
from app.store.audit import record
from app.store.keys import Role, create_key

from ..application import Served, serving, settings_for
from .parts import text_of

pytestmark = pytest.mark.anyio


async def note(queue: Afresh, times: int = 1, differing: Mapping[str, str] = MappingProxyType({})) -> None:
    """Changes as some operator made them."""
    change = {"actor": "deploy", "action": "queue.pause", "target": "sums", "reason": "a deploy"} | dict(differing)
    async with queue.connection() as conn:
        for _ in range(times):
            await record(conn, **change, details={"n": 1, "password": "hunter2"})


async def test_nothing_yet(served: Served):
    """Before anybody has changed anything, the page says so."""
    assert "Nobody has changed anything yet" in await text_of(served[1], "/dashboard/audit")


async def test_who_what_on_what_and_why(served: Served):
    """A change is told with who made it, what it was, on what, why, and its details without secrets."""
    await note(served[0])
    text = await text_of(served[1], "/dashboard/audit")
    assert "1 change" in text
    assert "deploy queue.pause sums a deploy" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(("name", "value"), [("actor", "night"), ("action", "queue.resume"), ("target", "letters")])
async def test_filters(served: Served, name: str, value: str):
    """The page can be narrowed by its address; each filter is a chip that takes itself away."""
    await note(served[0])
    await note(served[0], 1, {"reason": "the one", name: value})
    page = (await served[1].get("/dashboard/audit", params={name: value})).text
    assert "the one" in page
    assert "a deploy" not in page
    assert f'<a class="chip taken" href="/dashboard/audit" aria-label="Take away {name} {value}">' in page


async def test_choices(served: Served):
    """Whoever has changed anything, and whatever was done, can be chosen, each once."""
    await note(served[0], 2)
    await note(served[0], 1, {"actor": "night"})
    page = (await served[1].get("/dashboard/audit", params={"actor": "night"})).text
    assert page.count("<option>deploy</option>") == 1
    assert page.count("<option selected>night</option>") == 1
    assert page.count("<option>queue.pause</option>") == 1


async def test_older_changes(served: Served):
    """What does not fit on a page is on the next, whose address the page has."""
    await note(served[0], 52)
    page = (await served[1].get("/dashboard/audit?actor=deploy")).text
    assert page.count('class="row change"') == 50
    assert 'href="/dashboard/audit?actor=deploy&amp;before=3"' in page
    assert (await served[1].get("/dashboard/audit?before=3")).text.count('class="row change"') == 2


async def test_admins_only(database_url: str):
    """An operator does not see the audit."""
    async with serving(settings_for(database_url)) as (queue, client):
        async with queue.connection() as conn:
            keys = {role: await create_key(conn, name=role.label, role=role, actor="test") for role in Role}
        for role, status in ((Role.VIEWER, 403), (Role.OPERATOR, 403), (Role.ADMIN, 200)):
            headers = {"Authorization": f"Bearer {keys[role]}"}
            assert (await client.get("/dashboard/audit", headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("action", "target", "place"),
    [
        ("job.cancel", "7", "/dashboard/jobs/7"),
        ("job.cancel", "7/../..", None),
        ("queue.pause", "north & south", "/dashboard/queues/north%20%26%20south"),
        ("task.limit", "sample.add", "/dashboard/jobs?task=sample.add"),
        ("dependency.isolate", "joke-api", "/dashboard/dependencies/joke-api"),
        ("dead_letter.replay", "7", "/dashboard/dead-letters/7"),
        ("dead_letter.replay", "bulk 7", "/dashboard/dead-letters/bulk/7"),
        ("failure_group.mute", "f00d", "/dashboard/failures/groups/f00d"),
        ("monitoring.stop", "monitoring", "/dashboard/alerts"),
        ("key.create", "deploy", None),
    ],
)
def test_where_it_leads(action: str, target: str, place: str | None):
    """What has a page of its own is linked."""
    assert place_of(action, target) == place
