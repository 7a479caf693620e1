"""What an operator does about dead letters and failures, in a real browser."""

from collections.abc import Awaitable, Callable
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from ..api.test_dead_letters import insert
from ..application import Served, run_waiting_jobs
from ..queue.workers import working
from .tabs import Tabs

pytestmark = pytest.mark.anyio

Keep = Callable[[Page, str], Awaitable[bytes]]
SOON = 60_000
"""Milliseconds for what comes by itself: a worker has to take it, and the page to be told."""


async def charge_too_much(served: Served, times: int = 1) -> None:
    """Have jobs die of an amount that is refused."""
    for number in range(times):
        await served[1].post("/tasks/charge", json={"args": {"amount": 700 + number, "password": "hunter2"}})
    await run_waiting_jobs(served[0])


async def start_bulk(page: Page, rate: str) -> None:
    """From the list, replay all letters of the queue `orders`."""
    await page.goto("/dashboard/dead-letters")
    await page.get_by_text("More filters").click()
    await page.locator("#filters").get_by_label("Queue").fill("orders")
    await page.get_by_role("button", name="Filter", exact=True).click()
    await page.get_by_role("button", name="Replay…").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Replay 40 dead letters?")
    await page.get_by_label("Reason").fill("the shop is open again")
    await page.get_by_label("Letters per second").fill(rate)
    await page.get_by_role("button", name="Replay 40 letters").click()
    await expect(page.get_by_role("status")).to_contain_text("It is on its way")


async def test_edit_and_replay(served: Served, browser_page: Page):
    """A letter is replayed with an argument corrected and a masked one as it was, and the page comes to be resolved."""
    await charge_too_much(served)
    page = browser_page
    await page.goto("/dashboard")
    await page.keyboard.press("g")
    await page.keyboard.press("d")
    await page.wait_for_url("**/dashboard/dead-letters")
    await page.get_by_role("link", name="#1").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("pending")
    await page.get_by_text("Replay", exact=True).first.click()
    arguments = page.get_by_label("Arguments; what is masked")
    assert "[redacted]" in await arguments.input_value()
    await arguments.fill((await arguments.input_value()).replace("700", "70"))
    await page.locator("#replay").get_by_label("Reason").fill("a typing error")
    await page.get_by_role("button", name="Replay").click()
    await expect(page.get_by_role("status")).to_contain_text("Job 2 runs in the place of job 1.")
    await run_waiting_jobs(served[0])
    await expect(page.get_by_role("heading", level=1)).to_contain_text("resolved", timeout=SOON)
    await page.get_by_role("link", name="Job 2").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")


async def test_correct_what_does_not_fit(served: Served, chromium: Tabs, address: str):
    """What was typed and does not fit the task stays in the form, with what is wrong beside it, to be corrected."""
    await charge_too_much(served)
    page = await chromium.new_page(base_url=address, refused=422)
    await page.goto("/dashboard/dead-letters/1")
    await page.get_by_text("Replay", exact=True).first.click()
    await page.get_by_label("Priority").fill("8")
    await page.get_by_label("Reason").first.fill("a typing error")
    await page.get_by_label("Arguments; what is masked").fill('{"amount": "a lot", "password": "[redacted]"}')
    await page.get_by_role("button", name="Replay").click()
    await expect(page.get_by_role("alert")).to_contain_text("args.amount")
    await expect(page.get_by_label("Priority")).to_have_value("8")
    await page.get_by_label("Arguments; what is masked").fill('{"amount": 1, "password": "[redacted]"}')
    await page.get_by_role("button", name="Replay").click()
    await expect(page.get_by_role("status")).to_contain_text("Job 2 runs")


async def test_bulk_replay_to_its_end(served: Served, browser_page: Page, conn: AsyncConnection):
    """A bulk replay is previewed by a filter, begun with a reason, and followed to its end without a reload."""
    await insert(conn, 40, queue_name="orders", task_name="sample.accept_anything")
    await insert(conn, 5, queue_name="other")
    page = browser_page
    await start_bulk(page, "1000")
    await page.wait_for_load_state()
    loads: list[str] = []
    page.on("load", lambda loaded: loads.append(loaded.url))
    async with working(served[0]):
        await expect(page.get_by_role("heading", level=1)).to_contain_text("done", timeout=SOON)
        resolved = page.get_by_role("link", name="resolved")
        await expect(resolved).to_contain_text("40", timeout=SOON)
    await expect(page.locator("#bulk")).to_contain_text("40 replayed")
    assert not loads
    await resolved.click()
    await expect(page.locator(".row")).to_have_count(40)
    await expect(page.locator("#total")).to_contain_text("40 of 45 in all")


async def test_stop_a_bulk_replay(served: Served, browser_page: Page, conn: AsyncConnection):
    """A bulk replay that turns out to be wrong is stopped, and the rest of its letters stay pending."""
    await insert(conn, 40, queue_name="orders", task_name="sample.accept_anything")
    page = browser_page
    await start_bulk(page, "0.1")
    async with working(served[0]):
        await expect(page.locator("#bulk")).to_contain_text("1 replayed", timeout=SOON)
        await page.get_by_text("Stop", exact=True).first.click()
        await page.get_by_label("Reason").fill("not those")
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled", timeout=SOON)
    await expect(page.locator("#bulk")).to_contain_text("local stopped it.")
    await page.goto("/dashboard/dead-letters?queue=orders&status=pending")
    await expect(page.locator(".row")).to_have_count(39)


async def test_mute_a_group(served: Served, browser_page: Page):
    """A failure group is muted for a while with a reason, is found among the muted ones, and is heard again."""
    await charge_too_much(served)
    page = browser_page
    await page.goto("/dashboard/failures")
    await page.locator(".row a.open").click()
    await page.get_by_text("Mute", exact=True).first.click()
    await page.get_by_label("For").fill("4h")
    await page.locator("#mute").get_by_label("Reason").fill("the provider knows")
    await page.get_by_role("button", name="Mute").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("muted")
    await expect(page.locator("#group")).to_contain_text("the provider knows")
    await page.get_by_role("link", name="Failures").click()
    await page.get_by_role("link", name="muted").click()
    await page.locator(".row a.open").click()
    await page.get_by_text("Unmute", exact=True).first.click()
    await page.locator("#unmute").get_by_label("Reason").fill("it is mended")
    await page.get_by_role("button", name="Unmute").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("open")


async def test_pages_of_actions_are_accessible(served: Served, browser_page: Page, keep_picture: Keep):
    """Forms that are unfolded, a preview, a bulk action and a group have no serious finding of axe, however seen."""
    await charge_too_much(served, 12)
    page = browser_page
    await page.goto("/dashboard/dead-letters/1")
    await page.get_by_text("Replay", exact=True).first.click()
    await look(page, keep_picture, "replay")
    await page.goto("/dashboard/failures")
    await page.locator(".row a.open").click()
    await page.get_by_text("Mute", exact=True).first.click()
    await look(page, keep_picture, "group")
    await page.get_by_role("button", name="Replay its letters…").click()
    await look(page, keep_picture, "preview")
    await page.get_by_label("Reason").fill("why not")
    await page.get_by_role("button", name="Replay 12 letters").click()
    await look(page, keep_picture, "bulk")
    await page.get_by_role("link", name="Bulk action").click()
    await look(page, keep_picture, "bulks")


async def look(page: Page, keep_picture: Keep, name: str) -> None:
    """Keep pictures of a page as phones and desktops show it, light and dark, and have axe look at each."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for width in (360, 1440):
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme in schemes:
            await page.emulate_media(color_scheme=scheme)
            await keep_picture(page, f"{name}-{width}-{scheme}")
            found = (await Axe().run(page)).response["violations"]
            assert not [each for each in found if each["impact"] in {"serious", "critical"}], name
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
