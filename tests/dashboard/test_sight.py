"""What the eye finds: contrast and names on pages in trouble, lines that can be read, calm where all is well."""

import re
from collections.abc import Mapping
from typing import Literal

import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.store.breakers import isolate
from app.store.keys import Role, create_key

from ..application import Served, run_waiting_jobs
from .parts import live_worker
from .scene import PAGES, assert_accessible, fill, trouble
from .tabs import Tabs

pytestmark = pytest.mark.anyio

LOOKS: Mapping[int, Literal["light", "dark"]] = {360: "light", 1440: "dark"}
"""Colours go with the scheme and places with the width: two looks show all of both."""

TROUBLED = {
    "overview": ("/dashboard", "half open"),
    "dependencies": ("/dashboard/dependencies", "half open"),
    "alerts": ("/dashboard/alerts", "critical"),
    "workers": ("/dashboard/workers", "overloaded"),
    "clear": ("/dashboard/queues/sums/clear", "Clear sums?"),
    "many": ("/dashboard/jobs/many?action=cancel&queue=sums", "Cancel 2 jobs?"),
    "problem": ("/dashboard/jobs/4711", "no job 4711"),
}
"""Where to look in trouble, and a word that stands there."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", LOOKS)
async def test_accessible_in_trouble(served: Served, chromium: Tabs, address: str, conn: AsyncConnection, width: int):
    """Lost and full workers, open alerts, breakers in every state, confirmations and refusals trouble nobody's eye."""
    queue, client = served
    await trouble(queue, conn)
    for number in range(2):
        await client.post("/tasks/add", json={"args": {"a": number}})
    page = await chromium.new_page(base_url=address, viewport={"width": width, "height": 900}, refused=404)
    await page.emulate_media(color_scheme=LOOKS[width])
    for name, (path, word) in TROUBLED.items():
        await page.goto(path)
        await expect(page.locator("main")).to_contain_text(word, ignore_case=True)
        await assert_accessible(page, name)


async def test_the_door_is_accessible(chromium: Tabs, address: str, conn: AsyncConnection):
    """Nor does the page that asks for a key, before and after it was given a wrong one."""
    await create_key(conn, "night shift", Role.VIEWER, actor="test")
    page = await chromium.new_page(base_url=address, refused=401)
    for width, scheme in LOOKS.items():
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)
        await page.goto("/dashboard")
        await expect(page.get_by_label("Key", exact=True)).to_be_focused()
        await assert_accessible(page, "asked")
        await page.get_by_label("Key", exact=True).fill("afresh_0123456789_wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await assert_accessible(page, "refused")


LONGEST_LINE = """Math.max(0, ...[...document.querySelectorAll("main p")]
    .filter((each) => each.checkVisibility())
    .map((each) => {
        const range = document.createRange();
        range.selectNodeContents(each);
        return range.getBoundingClientRect().width / parseFloat(getComputedStyle(each).fontSize);
    }))"""
"""Of a page's paragraphs, in em; a letter takes half of one."""


async def test_a_wide_screen(served: Served, browser_page: Page):
    """On a 4K screen no page scrolls sideways, it stands in the middle, letters grow, and no line is too long."""
    await fill(served)
    await browser_page.set_viewport_size({"width": 3840, "height": 2160})
    for name, path in PAGES.items():
        await browser_page.goto(path)
        assert await browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        left, right, letter = await browser_page.evaluate(
            "(({left, right}) => [left, innerWidth - right, parseFloat(getComputedStyle(document.body).fontSize)])"
            "(document.querySelector('main').getBoundingClientRect())"
        )
        assert abs(left - right) < 20, name
        assert left < 3840 / 4, name
        assert letter >= 20, name
        assert await browser_page.evaluate(LONGEST_LINE) <= 60, name


NARROW = """[...document.querySelectorAll("main .row > *")]
    .filter((each) => each.checkVisibility() && (each.innerText ?? "").trim().length > 20)
    .filter((each) => each.getBoundingClientRect().width < 90)
    .map((each) => `${each.parentElement.className}: ${each.innerText.trim().slice(0, 40)}`)"""
"""Cells of rows that have more than a word or two to say, and no room for it."""


@pytest.mark.parametrize("width", [769, 820, 1024])
async def test_room_for_what_is_said(served: Served, browser_page: Page, conn: AsyncConnection, width: int):
    """On a tablet, held either way, no cell of a row that says something is squeezed to a letter or two a line."""
    queue, _ = served
    await fill(served)
    await trouble(queue, conn)
    await isolate(conn, "mail-server", actor="ada", reason="mail goes out twice, and nobody knows why " * 3)
    await browser_page.set_viewport_size({"width": width, "height": 1000})
    for name in ("dependencies", "system", "audit", "jobs", "letters", "failures"):
        await browser_page.goto(PAGES[name])
        await expect(browser_page.locator(".row").first).to_be_visible()
        assert not await browser_page.evaluate(NARROW), name
        assert await browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


ZONES = {"Asia/Tokyo": "1 Feb 2020, 03:00:00 (GMT+9|JST)", "America/New_York": "31 Jan 2020, 13:00:00 (GMT-5|EST)"}
"""18:00 of the last of January in UTC, as browsers say it there."""


@pytest.mark.parametrize("zone", ZONES)
async def test_times_on_hover(served: Served, chromium: Tabs, address: str, zone: str):
    """A time is told as how long ago; on hover, to the second by the clock of the person's zone, and which that is."""
    queue, client = served
    job = (await client.post("/tasks/add", json={"args": {"a": 1}})).json()["job_id"]
    async with queue.connection() as conn:
        await conn.execute("UPDATE procrastinate_events SET at = '2020-01-31T18:00:00Z'")
    page = await chromium.new_page(base_url=address, timezone_id=zone, locale="en-GB")
    for path in ("/dashboard/jobs", f"/dashboard/jobs/{job}"):
        await page.goto(path)
        time = page.locator("main time").first
        await expect(time).to_have_text(re.compile(r"^\d+ d ago$"))
        told = ZONES[zone].replace("+", r"\+").replace(", ", ",? (at )?")
        await expect(time).to_have_attribute("title", re.compile(f"^{told}$"))


ALARMING = """(() => {
    const probe = document.body.appendChild(document.createElement("i"));
    const loud = ["--bad", "--warn"].map((name) => {
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color;
    });
    probe.remove();
    const parts = ["color", "backgroundColor", "borderLeftColor", "outlineColor", "fill", "stroke"];
    return [...document.querySelectorAll("main, main *")]
        .filter((each) => each.checkVisibility() && parts.some((part) => loud.includes(getComputedStyle(each)[part])))
        .map((each) => each.outerHTML.slice(0, 80));
})()"""
"""What of a page is drawn in red or amber."""


async def test_all_clear(served: Served, browser_page: Page):
    """Where a worker lives and nothing fails, the overview says so in a line, and nothing on it is red or amber."""
    queue, client = served
    worker = await live_worker(queue)
    for number in range(3):
        await client.post("/tasks/add", json={"args": {"a": number}})
    await run_waiting_jobs(queue)
    await browser_page.goto("/dashboard")
    await expect(browser_page.locator("h1")).to_have_text("All is well")
    await expect(browser_page.locator(".verdict")).to_have_count(1)
    await expect(browser_page.locator(".verdict p")).to_have_text("The database answers, and workers are at work.")
    await expect(browser_page.locator(".incident")).to_have_count(0)
    assert not await browser_page.evaluate(ALARMING)
    async with queue.connection() as conn:
        await conn.execute(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 h' WHERE id = %s", [worker]
        )
    await browser_page.reload()
    assert await browser_page.evaluate(ALARMING)
