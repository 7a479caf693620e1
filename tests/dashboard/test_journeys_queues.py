"""What an operator does about queues, in a real browser."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.store.audit import AuditFilter, list_audit

from ..application import Served, run_waiting_jobs

pytestmark = pytest.mark.anyio

Keep = Callable[[Page, str], Awaitable[bytes]]


async def audited(conn: AsyncConnection) -> list[tuple[str, str]]:
    """What the audit says of the queue, the newest first."""
    rows = (await list_audit(conn, AuditFilter(target="sums"), limit=10)).items
    return [(row["action"], row["reason"]) for row in rows]


async def test_pause_and_resume(served: Served, browser_page: Page, conn: AsyncConnection):
    """A queue is paused with a reason, its jobs wait, and once it is resumed they run; both are audited."""
    queue, client = served
    page = browser_page
    await page.goto("/dashboard")
    await page.keyboard.press("g")
    await page.keyboard.press("q")
    await page.wait_for_url("**/dashboard/queues")
    await page.get_by_role("link", name="sums").click()
    await page.get_by_text("Pause", exact=True).first.click()
    await page.get_by_label("Reason").first.fill("the database is moved")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("status")).to_contain_text("sums is paused")
    await expect(page.locator(".notice")).to_contain_text("by local: the database is moved")
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await run_waiting_jobs(queue)
    await page.get_by_role("link", name="All its jobs").click()
    await page.get_by_role("link", name="#1").click()
    await expect(page.locator("main")).to_contain_text("Its queue sums is paused")
    await page.locator(".next").get_by_role("link", name="sums").click()
    await page.get_by_text("Resume", exact=True).first.click()
    await page.get_by_label("Reason").first.fill("it is moved")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("status")).to_contain_text("sums goes on")
    await run_waiting_jobs(queue)
    await page.goto("/dashboard/jobs/1")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")
    assert [each for each in await audited(conn) if each[0] != "job.submit"] == [
        ("queue.resume", "it is moved"),
        ("queue.pause", "the database is moved"),
    ]


async def test_clear(served: Served, browser_page: Page, conn: AsyncConnection, keep_picture: Keep):
    """A queue is cleared by the number of its jobs: one that came in meanwhile has it counted again."""
    _, client = served
    page = browser_page
    for number in range(3):
        await client.post("/tasks/add", json={"args": {"a": number}})
    await page.goto("/dashboard/queues/sums")
    await page.get_by_role("link", name="Clear").click()
    await expect(page.locator("main")).to_contain_text("3 jobs wait in it")
    await keep_picture(page, "clear-1440-light")
    await client.post("/tasks/add", json={"args": {"a": 3}})
    await page.get_by_label("How many jobs").fill("3")
    await page.get_by_label("Reason").fill("made by mistake")
    await page.get_by_role("button", name="Cancel 3 jobs").click()
    await expect(page.get_by_role("status")).to_contain_text("Nothing is cancelled: 4 wait by now")
    await page.get_by_label("How many jobs").fill("4")
    await page.get_by_label("Reason").fill("made by mistake")
    await page.get_by_role("button", name="Cancel 4 jobs").click()
    await expect(page.get_by_role("status")).to_contain_text("4 jobs are cancelled")
    await expect(page.get_by_role("link", name="Clear")).to_have_count(0)
    assert (await audited(conn))[0] == ("queue.clear", "made by mistake")
    await page.wait_for_load_state()  # Before that nobody listens to the keys.
    await page.keyboard.press("g")
    await page.keyboard.press("u")
    await page.wait_for_url("**/dashboard/audit")
    await expect(page.locator(".row").first).to_contain_text("queue.clear")
    await expect(page.locator(".row").first).to_contain_text("made by mistake")
