"""What a live page owes the hand and the eye that are on it: nothing jumps, and times are those of a person's clock."""

import httpx
import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.store.keys import Role, create_key, revoke_key

from ..api.test_dead_letters import insert
from ..application import Served, run_waiting_jobs
from ..store.history import fail
from .parts import live_worker
from .tabs import Tabs

pytestmark = pytest.mark.anyio

TOP = "Math.round(document.getElementById('job-20').getBoundingClientRect().top)"
"""Asked of the page at once: the row that a locator has found may be replaced before it is asked."""


ROW_TOP = "row => Math.round(row.getBoundingClientRect().top)"


async def add(client: httpx.AsyncClient, count: int) -> None:
    """Have some jobs made."""
    for number in range(count):
        await client.post("/tasks/add", json={"args": {"a": number}})


async def test_what_is_read_stays(served: Served, browser_page: Page):
    """New rows above what a person has scrolled to do not move it, and the list is up to date all the same."""
    await add(served[1], 40)
    await browser_page.goto("/dashboard/jobs")
    await browser_page.evaluate("scrollTo(0, 600)")
    before = await browser_page.evaluate(TOP)
    await add(served[1], 3)
    await expect(browser_page.locator("#job-43")).to_be_attached()
    assert abs(await browser_page.evaluate(TOP) - before) <= 1


async def test_a_table_stays_aside(served: Served, browser_page: Page):
    """On a phone, a table that was moved sideways stays so when the page is drawn again."""
    await browser_page.set_viewport_size({"width": 390, "height": 800})
    await add(served[1], 1)
    await browser_page.goto("/dashboard/queues")
    await browser_page.evaluate("document.querySelector('.scroll').scrollLeft = 120")
    await add(served[1], 1)
    await expect(browser_page.get_by_text("2 ready, 0 running")).to_be_visible()
    assert await browser_page.evaluate("document.querySelector('.scroll').scrollLeft") == 120


async def test_the_pointer_holds_what_it_is_on(served: Served, browser_page: Page):
    """While the pointer is on a link nothing moves, and the page says so; where it is left lying, it goes on."""
    await browser_page.clock.install()
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await browser_page.goto("/dashboard")
    await browser_page.get_by_role("link", name="Look at its dead letters").hover()
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await browser_page.clock.run_for(20_000)
    await expect(browser_page.get_by_role("button", name="Waiting")).to_be_visible()
    await expect(browser_page.locator(".incident")).to_contain_text("1 dead")
    await browser_page.clock.run_for(20_000)
    await expect(browser_page.locator(".incident")).to_contain_text("2 dead")


async def new_job(served: Served) -> None:
    """Have one more job made."""
    await add(served[1], 1)


async def new_worker(served: Served) -> None:
    """Have one more worker live."""
    await live_worker(served[0], name="another")


async def new_change(served: Served) -> None:
    """Have a queue paused and let go on: two changes of the same."""
    for what in ("pause", "resume"):
        await served[1].post(f"/queues/q/{what}", json={"reason": "the provider asks for it"})


FOCUSSED = {
    "/dashboard/jobs": (new_job, "#job-1", "#job-3"),
    "/dashboard/workers": (new_worker, "#worker-2", "#worker-3"),
    "/dashboard/audit": (new_change, "#change-3 .task a", "#change-5"),
}
"""By page: what comes anew, what has the focus in the second row, and the new row."""


@pytest.mark.parametrize("path", FOCUSSED)
async def test_the_focus_holds_what_it_is_on(served: Served, browser_page: Page, path: str):
    """While the keyboard is on a row nothing moves; where it is left there the page goes on, and the focus stays."""
    come, focus, new = FOCUSSED[path]
    await browser_page.clock.install()
    await come(served)
    await come(served)
    await browser_page.goto(path)
    await browser_page.keyboard.press("j")
    await browser_page.keyboard.press("j")
    await expect(browser_page.locator(focus)).to_be_focused()
    await come(served)
    await browser_page.clock.run_for(20_000)
    await expect(browser_page.get_by_role("button", name="Waiting")).to_be_visible()
    await expect(browser_page.locator(new)).to_have_count(0)
    await browser_page.clock.run_for(20_000)
    await expect(browser_page.locator(new)).to_be_visible()
    await expect(browser_page.locator(focus)).to_be_focused()


async def test_a_focus_without_a_key_holds(served: Served, browser_page: Page):
    """What moves the focus without a key, as a screen reader does, holds the page as the keyboard does."""
    await browser_page.clock.install()
    await add(served[1], 1)
    await browser_page.goto("/dashboard/jobs")
    await browser_page.clock.run_for(40_000)
    await browser_page.locator("#job-1").focus()
    await add(served[1], 1)
    await browser_page.clock.run_for(20_000)
    await expect(browser_page.get_by_role("button", name="Waiting")).to_be_visible()
    await expect(browser_page.locator("#job-2")).to_have_count(0)


async def test_a_region_holds_those_above(served: Served, browser_page: Page, conn: AsyncConnection):
    """While the pointer is on a row, no line comes into the table above, which would push the row from under it."""
    queue, client = served
    await insert(conn)
    await browser_page.goto("/dashboard/dead-letters")
    row = browser_page.locator("#letter-1")
    await row.hover()
    before = await row.evaluate(ROW_TOP)
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await expect(browser_page.get_by_role("button", name="Waiting")).to_be_visible()
    assert await row.evaluate(ROW_TOP) == before
    await browser_page.mouse.move(0, 0)
    await expect(browser_page.locator("#distribution")).to_contain_text("TRANSIENT_NETWORK")
    await expect(browser_page.get_by_role("button", name="Live")).to_be_visible()
    assert await row.evaluate(ROW_TOP) > before


async def take_in_hand(page: Page, what: str) -> None:
    """Begin something in the rows of jobs, or in the form of a job, and turn to something else."""
    if what == "ticked":
        await page.goto("/dashboard/jobs")
        await page.get_by_label("Job 1", exact=True).check()
    else:
        await page.goto("/dashboard/jobs/1")
        await page.locator("#cancel > summary").click()
        await page.locator("#cancel").get_by_label("Reason").fill("not needed")
    await page.evaluate("document.activeElement.blur()")
    await page.mouse.move(0, 0)


async def let_go(page: Page, what: str) -> None:
    """Leave that, as it was left."""
    if what == "ticked":
        await expect(page.locator(".row")).to_have_count(1)
        await page.get_by_label("Job 1", exact=True).uncheck()
        await page.evaluate("document.activeElement.blur()")
    else:
        await expect(page.locator("h1")).to_contain_text("scheduled")
        await expect(page.locator("#cancel").get_by_label("Reason")).to_have_value("not needed")
        await page.locator("#cancel > summary").click()
    await page.mouse.move(0, 0)


@pytest.mark.parametrize("what", ["typed", "ticked"])
async def test_what_is_begun_holds(served: Served, browser_page: Page, what: str):
    """A reason typed in a form, and a row ticked, stay though the hand is elsewhere; once left, the page goes on."""
    _, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}, "run_in": "1h"})
    await take_in_hand(browser_page, what)
    await add(client, 1)
    await client.post("/jobs/1/cancel", json={"reason": "by somebody else"})
    await expect(browser_page.get_by_role("button", name="Waiting")).to_be_visible()
    await let_go(browser_page, what)
    await expect(browser_page.locator("main")).to_contain_text("cancelled")
    await expect(browser_page.get_by_role("button", name="Live")).to_be_visible()


async def test_words_of_the_switch(served: Served, browser_page: Page):
    """Whatever the switch says, the head of the page keeps its height, and nothing below it moves; on a phone, too."""
    await add(served[1], 1)
    await browser_page.goto("/dashboard/jobs")
    height = "document.querySelector('.top').offsetHeight"
    said = "word => { document.querySelector('#live').lastChild.textContent = word; return " + height + " }"
    for width in (1440, 360):
        await browser_page.set_viewport_size({"width": width, "height": 900})
        before = await browser_page.evaluate(said, "Live")
        for word in ("Waiting", "Signed out", "Out of touch", "Paused"):
            assert await browser_page.evaluate(said, word) == before, (width, word)


async def test_a_fold_holds_nothing(served: Served, browser_page: Page):
    """Who has unfolded a traceback by the keyboard still sees what happens next, unfolded and with the focus on it."""
    queue, client = served
    job = (await client.post("/tasks/fail", json={"args": {"message": "no luck"}})).json()["job_id"]
    await run_waiting_jobs(queue)
    await browser_page.goto(f"/dashboard/jobs/{job}")
    fold = browser_page.locator("#traceback-1 > summary")
    await fold.focus()
    await browser_page.keyboard.press("Enter")
    letter = (await client.get(f"/jobs/{job}")).json()["dead_letter_id"]
    await client.post(f"/dead-letters/{letter}/replay", json={"reason": "again"})
    await expect(browser_page.get_by_text("this job →")).to_be_visible()
    await expect(fold).to_be_focused()
    await expect(browser_page.locator("#traceback-1")).to_have_attribute("open", "")


async def test_by_the_clock_of_a_person(served: Served, chromium: Tabs, address: str):
    """In Tokyo, a time that is typed is one of Tokyo, in a form and in a filter, and so are those that are shown."""
    _, client = served
    job = (await client.post("/tasks/add", json={"args": {"a": 1}, "run_in": "1h"})).json()["job_id"]
    page = await chromium.new_page(base_url=address, timezone_id="Asia/Tokyo", locale="en-GB")
    await page.goto(f"/dashboard/jobs/{job}")
    await page.locator("#reschedule > summary").click()
    await page.get_by_label("or at, by your clock").fill("2040-02-01T03:00")
    await page.locator("#reschedule").get_by_role("button", name="Reschedule").click()
    await expect(page.get_by_role("status")).to_have_text(f"Job {job} is moved.")
    assert (await client.get(f"/jobs/{job}")).json()["scheduled_at"] == "2040-01-31T18:00:00Z"
    await page.goto("/dashboard/jobs")
    await page.locator("#filters > summary").click()
    await page.get_by_label("made from, by your clock").fill("2020-02-01T03:00")
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**/dashboard/jobs?*created_from=2020-01-31T18%3A00%3A00.000Z")
    await expect(page.locator(".chip.taken time")).to_have_text("1 Feb 2020, 03:00")
    await page.locator("#filters > summary").click()
    await expect(page.get_by_label("made from, by your clock")).to_have_value("2020-02-01T03:00")
    await expect(page.locator("#job-1")).to_be_visible()


async def test_sentences_by_the_clock_of_a_person(served: Served, chromium: Tabs, address: str, conn: AsyncConnection):
    """In Tokyo, times within what the server says are those of Tokyo: causes, and what is done."""
    _, client = served
    page = await chromium.new_page(base_url=address, timezone_id="Asia/Tokyo", locale="en-GB")
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, cause, changed_at)"
        " VALUES ('api', 'ramping', 'asked to wait until 12:03:00', '2030-01-31T12:00:00Z')"
    )
    for path in ("/dashboard", "/dashboard/dependencies", "/dashboard/dependencies/api"):
        await page.goto(path)
        await expect(page.get_by_text("asked to wait until 21:03:00")).to_be_visible()
    await add(client, 1)
    await page.goto("/dashboard/jobs/many?action=cancel&created_from=2020-01-31T18:00:00Z")
    await expect(page.locator(".chip")).to_have_text("made from: 1 Feb 2020, 03:00")
    await insert(conn, fingerprint="f")
    await page.goto("/dashboard/dead-letters?died_from=2020-01-31T18:00:00Z")
    await page.get_by_role("button", name="Replay…").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Replay 1 dead letter?")
    await expect(page.locator(".chip").nth(1)).to_have_text("died from: 1 Feb 2020, 03:00")
    await page.get_by_label("Reason").fill("it is back")
    await page.get_by_role("button", name="Replay 1 letter").click()
    await page.wait_for_url("**/dead-letters/bulk/1")
    await expect(page.locator(".chip")).to_have_text("died from: 1 Feb 2020, 03:00")
    await fail(conn, fingerprint="f")
    await page.goto("/dashboard/failures/groups/f")
    await page.locator("#mute > summary").click()
    await page.get_by_label("or until, by your clock").fill("2040-02-01T03:00")
    await page.locator("#mute").get_by_label("Reason").fill("the provider knows")
    await page.locator("#mute").get_by_role("button", name="Mute").click()
    await expect(page.get_by_role("status")).to_have_text("It is muted until 1 Feb 2040, 03:00.")


async def test_signed_out(chromium: Tabs, address: str, conn: AsyncConnection):
    """A page whose key is revoked while somebody looks says that they are signed out."""
    key = await create_key(conn, "night shift", Role.VIEWER, actor="test")
    page = await chromium.new_page(base_url=address, refused=401)
    await page.clock.install()
    await page.goto("/dashboard/jobs")
    await page.get_by_role("textbox", name="Key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/dashboard/jobs")
    await revoke_key(conn, "night shift", actor="test")
    await page.clock.run_for(60_000)
    # Keys are read once a second: where it is told of the change before that, it looks again when it is told next.
    await expect(page.get_by_role("button", name="Signed out")).to_be_visible(timeout=60_000)
