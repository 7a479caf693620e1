"""The page of alerts."""

from datetime import timedelta

import httpx
import pytest
from psycopg import AsyncConnection

from app.config import AlertSettings, Settings
from app.store.audit import AuditFilter, list_audit
from app.store.keys import Role, create_key
from app.web.cookies import SIGN_IN

from ..application import Served, run_waiting_jobs, settings_for
from ..monitoring.watchman import Watchman, fail_often, posted
from .forms import PERSON, hidden_of, send, sign_in

pytestmark = pytest.mark.anyio

ADDRESS = "/dashboard/alerts"


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Alerts open at once, and are sent where nobody answers."""
    alert = AlertSettings(
        urls=("json://127.0.0.1:9/",), after=timedelta(0), resolve_after=timedelta(0), least_attempts=5
    )
    return settings_for(database_url, alert=alert)


@pytest.fixture
async def watchman(served: Served, conn: AsyncConnection) -> Watchman:
    """One that has looked before, when all was well."""
    return await posted(served[0], conn)


async def page_of(client: httpx.AsyncClient, **filters: str) -> str:
    """The page, or the part of it that filters choose."""
    answer = await client.get(ADDRESS, params=filters, headers=PERSON)
    assert answer.status_code == 200, answer.text
    return answer.text


async def history(conn: AsyncConnection, *, count: int) -> None:
    """Alerts that are over, each of which lasted an hour, a critical one now and then."""
    await conn.execute(
        "INSERT INTO afresh.alert (rule, subject, severity, opened_at, resolved_at, changed_at, value, threshold, "
        "cause, what_to_do) "
        "SELECT 'queue-size', 'queue-' || n, CASE WHEN n %% 10 = 0 THEN 'critical' ELSE 'warning' END, "
        "now() - interval '5 days' + n * interval '1 minute', now() - interval '5 days' + n * interval '1 minute' "
        "+ interval '3 hours', now(), 60, 50, 'jobs could run', '' FROM generate_series(1, %s) n",
        [count],
    )


async def test_nothing_yet(served: Served):
    """Before anything happened the page says so, and what is watched."""
    page = await page_of(served[1])
    for text in ("No alert is open.", "No alert has been over yet.", "warning over 10 % · critical over 20 %"):
        assert text in page


async def test_what_is_open(served: Served, watchman: Watchman):
    """An open alert is told with its severity, cause, numbers, what to do, where to look, and what happened to it."""
    await fail_often(*served)
    await watchman.look()
    page = await page_of(served[1])
    assert "Many attempts fail" in page
    assert '<span class="state critical">critical</span>' in page
    assert "10 of 10 attempts failed within 5 min: sample.fail 10 of 10" in page
    assert "100 %, the limit is 20" in page
    assert "Look at the failure groups" in page
    assert 'href="/dashboard/failures/groups/' in page
    assert '<span class="state opened">opened</span>' in page
    assert page.index("Many attempts fail") < page.index("A failure that is new")  # Critical ones are first.


async def test_advice_is_given_once(served: Served, watchman: Watchman, conn: AsyncConnection):
    """Where many things of one rule are wrong, each is told, and what to do once."""
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, cause, changed_at) "
        "SELECT 'api-' || n, 'open', '5 of 5 calls failed', now() FROM generate_series(1, 4) n"
    )
    await watchman.look()
    page = await page_of(served[1])
    assert page.count("is not called</h3>") + page.count('is not called <span class="state') == 4
    assert page.count("<strong>What to do:</strong> See whether it is down") == 1
    assert 'href="/dashboard/dependencies/api-3"' in page


async def test_many_are_open(served: Served, conn: AsyncConnection):
    """Where many alerts are open, those beyond the first are folded, and what follows is still found."""
    await history(conn, count=14)
    await conn.execute("UPDATE afresh.alert SET resolved_at = NULL")
    page = await page_of(served[1])
    shown, folded = page.partition('id="other-alerts"')[::2]
    assert "<summary>4 more</summary>" in folded
    assert [part.count("<h3>Queue queue-") for part in (shown, folded)] == [10, 4]
    assert "Queue queue-10 is long" in shown  # A critical one.


async def test_what_was(served: Served, conn: AsyncConnection):
    """What is over is told with how long it lasted, newest first, twenty-five on a page."""
    await history(conn, count=60)
    page = await page_of(served[1])
    assert "Queue queue-60 is long" in page
    assert "Queue queue-35 is long" not in page
    assert "<td>3 h</td>" in page
    assert "60 in all" in page
    older = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "Queue queue-35 is long" in (await served[1].get(older, headers=PERSON)).text


async def test_filters(served: Served, conn: AsyncConnection):
    """What is over can be narrowed to a severity and a rule; what fits nothing says so; nonsense is refused."""
    await history(conn, count=20)
    critical = await page_of(served[1], severity="critical", rule="queue-size")
    assert "2 fit" in critical
    assert "Queue queue-20 is long" in critical
    assert "Queue queue-19 is long" not in critical
    assert "No alert fits." in await page_of(served[1], rule="disk")
    assert (await served[1].get(ADDRESS, params={"severity": "huge"}, headers=PERSON)).status_code == 422


async def test_a_rule_that_is_gone(served: Served, conn: AsyncConnection):
    """An alert of a rule that is switched off is told by its name, a milestone by what it says."""
    await conn.execute(
        "INSERT INTO afresh.alert (rule, subject, severity, opened_at, resolved_at, changed_at, value, threshold, "
        "cause, what_to_do) SELECT rule, '<b>x', 'info', now(), now(), now(), 100, 100, '100 retries', '' "
        "FROM unnest(ARRAY['old-rule', 'milestone']) rule"
    )
    page = await page_of(served[1])
    assert "old-rule &lt;b&gt;x" in page
    assert "Good news" in page


async def test_whom_it_was_told(served: Served, watchman: Watchman):
    """Each message is told with its text, and what became of it at each address; of that, no secret."""
    queue, client = served
    await fail_often(queue, client)
    await watchman.look()
    await run_waiting_jobs(queue)
    page = await page_of(client)
    assert "[critical] Many attempts fail" in page
    assert '<span class="state retrying">retrying</span>' in page
    assert "did not take it" in page
    assert "127.0.0.1:9" not in page
    assert page.count("json-") >= 3
    told = (await client.get("/monitoring/alerts/messages", params={"limit": 1})).json()
    assert [(each["state"], each["attempts"]) for each in told[0]["deliveries"]] == [("retrying", 1)]
    assert told[0]["deliveries"][0]["next_run_at"] is not None


async def test_a_delivery_whose_job_is_gone(served: Served, watchman: Watchman, conn: AsyncConnection):
    """A message is told also where the job that sent it is not kept any more."""
    queue, client = served
    await fail_often(queue, client)
    await watchman.look()
    await conn.execute("DELETE FROM procrastinate_jobs WHERE task_name LIKE '%send_alert'")
    page = await page_of(client)
    assert "[critical] Many attempts fail" in page
    assert "not kept" in page


async def test_stop_and_start(served: Served, conn: AsyncConnection):
    """An operator stops monitoring with a reason, which the page then shows, and lets it go on; both are audited."""
    _, client = served
    answer = await send(client, ADDRESS, f"{ADDRESS}/stop", duration="4h", reason="moving the database")
    assert (answer.status_code, answer.headers["location"]) == (303, ADDRESS)
    page = await page_of(client)
    assert "Monitoring is stopped until" in page
    assert "moving the database" in page
    answer = await send(client, ADDRESS, f"{ADDRESS}/start", reason="moved")
    assert answer.status_code == 303
    page = await page_of(client)
    assert "Monitoring goes on." in page
    assert "The last maintenance window ended" in page
    rows = (await list_audit(conn, AuditFilter(target="monitoring"), limit=10)).items
    assert [(each["action"], each["reason"]) for each in rows] == [
        ("monitoring.start", "moved"),
        ("monitoring.stop", "moving the database"),
    ]


@pytest.mark.parametrize(
    ("verb", "fields", "status"),
    [
        ("stop", {"duration": "1h"}, 422),
        ("stop", {"reason": "because"}, 422),
        ("stop", {"duration": "8d", "reason": "because"}, 422),
        ("stop", {"duration": "soon", "reason": "because"}, 422),
        ("start", {}, 409),
    ],
)
async def test_refused(served: Served, verb: str, fields: dict[str, str], status: int):
    """Without a reason or an end, for too long, or where nothing is stopped, nothing is changed, and it says why."""
    answer = await send(served[1], ADDRESS, f"{ADDRESS}/{verb}", **fields)
    assert answer.status_code == status
    assert "Stop for maintenance" in await page_of(served[1])


async def test_a_viewer(served: Served, conn: AsyncConnection):
    """A viewer sees the page without its buttons, and is refused what they would do."""
    _, client = served
    key = await create_key(conn, "vera", Role.VIEWER, actor="test")
    client.headers["Cookie"] = f"{SIGN_IN}={(await sign_in(client, key)).cookies[SIGN_IN]}"
    page = await page_of(client)
    assert "No alert is open." in page
    assert "Stop for maintenance" not in page
    fields = await hidden_of(client, ADDRESS) | {"duration": "1h", "reason": "because"}
    assert (await client.post(f"{ADDRESS}/stop", data=fields, headers=PERSON)).status_code == 403
