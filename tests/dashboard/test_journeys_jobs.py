"""What a person does about jobs, in a real browser."""

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.store.keys import Role, create_key

from ..application import Served, run_waiting_jobs
from .parts import hand_in

pytestmark = pytest.mark.anyio

Keep = Callable[[Page, str], Awaitable[bytes]]


async def test_sign_in_cancel_sign_out(served: Served, conn: AsyncConnection, browser_page: Page, keep_picture: Keep):
    """With keys: sign in, come to the page that was asked for, cancel a job with a reason, sign out."""
    job = (await served[1].post("/tasks/add", json={"args": {"a": 1}, "run_in": "1h"})).json()["job_id"]
    key = await create_key(conn, "night shift", Role.OPERATOR, actor="test")
    await browser_page.goto(f"/dashboard/jobs/{job}")
    await expect(browser_page.get_by_role("heading", name="Sign in")).to_be_visible()
    await keep_picture(browser_page, "sign-in")
    await browser_page.get_by_role("textbox", name="Key").fill(key)
    await browser_page.get_by_role("button", name="Sign in").click()
    await browser_page.wait_for_url(f"**/dashboard/jobs/{job}")
    await browser_page.get_by_text("Cancel job", exact=True).first.click()
    await browser_page.locator("#cancel").get_by_label("Reason").fill("wrong customer")
    await keep_picture(browser_page, "job-cancel")
    await browser_page.locator("#cancel").get_by_role("button", name="Cancel job").click()
    await expect(browser_page.get_by_role("status")).to_have_text(f"Job {job} will not run.")
    await expect(browser_page.locator("h1")).to_contain_text("cancelled")
    await browser_page.get_by_role("button", name="Sign out").click()
    await expect(browser_page.get_by_role("status")).to_have_text("You are signed out.")
    await browser_page.goto("/dashboard")
    await expect(browser_page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_what_is_no_duration(served: Served, browser_page: Page):
    """What is no duration is not sent, so that what else was typed is still there."""
    job = (await served[1].post("/tasks/add", json={"args": {"a": 1}, "run_in": "1h"})).json()["job_id"]
    page = browser_page
    await page.goto(f"/dashboard/jobs/{job}")
    await page.locator("#reschedule > summary").click()
    form = page.locator("#reschedule")
    await form.get_by_label("Reason").fill("the customer asks for it")
    await form.get_by_label("Run in").fill("soon")
    await form.get_by_role("button", name="Reschedule").click()
    await expect(form.get_by_label("Run in")).to_be_focused()
    await expect(form.get_by_label("Reason")).to_have_value("the customer asks for it")
    await form.get_by_label("Run in").fill("2.5 h")
    await form.get_by_role("button", name="Reschedule").click()
    await expect(page.get_by_role("status")).to_have_text(f"Job {job} is moved.")


async def test_tick_and_run_again(served: Served, browser_page: Page, keep_picture: Keep):
    """Tick two failed jobs by the keyboard, run them again for a reason, and see the job that does it end."""
    queue, client = served
    for number in range(3):
        await client.post("/tasks/fail", json={"args": {"message": str(number)}})
    await run_waiting_jobs(queue)
    await browser_page.goto("/dashboard/jobs?state=failed")
    for _ in range(2):
        await browser_page.keyboard.press("j")
        await browser_page.keyboard.press("x")
    await expect(browser_page.locator(".tick:checked")).to_have_count(2)
    await browser_page.get_by_role("button", name="Run the ticked again").click()
    await expect(browser_page.locator("h1")).to_have_text("Run again 2 jobs?")
    await keep_picture(browser_page, "many")
    await browser_page.get_by_label("Reason").fill("mended")
    await browser_page.get_by_role("button", name="Run again 2").click()
    await browser_page.wait_for_url(re.compile(r"/dashboard/jobs/\d+$"))
    await run_waiting_jobs(queue)
    await expect(browser_page.locator("h1")).to_contain_text("succeeded", timeout=20_000)
    assert (await client.get("/jobs", params={"replay_of": 3})).json()["total"] == 1
    assert (await client.get("/jobs", params={"replay_of": 1})).json()["total"] == 0


async def test_all_on_the_page_and_all_that_match(served: Served, browser_page: Page):
    """One button ticks all of the page, or none; all that match are counted by the server when it is asked to."""
    client, page = served[1], browser_page
    await hand_in(client, 52, queue="elsewhere", run_in="1h")
    await page.goto("/dashboard/jobs?queue=elsewhere")
    for count in (50, 0, 50):
        await page.get_by_role("button", name="Tick all").click()
        await expect(page.locator(".tick:checked")).to_have_count(count)
    await page.get_by_role("button", name="Cancel the ticked").click()
    await expect(page.locator("h1")).to_have_text("Cancel 50 jobs?")
    for link, asked in (("Cancel all that match", "Cancel 55"), ("Run all that match again", "Run again 58")):
        await page.goto("/dashboard/jobs?queue=elsewhere")
        await page.get_by_role("link", name=link).hover()
        await hand_in(client, 3, queue="elsewhere", run_in="1h")
        await page.get_by_role("link", name=link).click()
        await expect(page.locator("h1")).to_have_text(f"{asked} jobs?")
        await expect(page.get_by_role("button", name=asked)).to_be_visible()
        await expect(page.locator("main")).to_contain_text(f"and {int(asked[-2:]) - 10} more")
