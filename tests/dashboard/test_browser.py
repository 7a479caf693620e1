"""The pages in a real browser, in front of a real server."""

import re
from collections.abc import Awaitable, Callable
from typing import Literal

import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.store.breakers import isolate

from ..api.test_dead_letters import insert
from ..application import Served
from ..store.history import fail
from .scene import PAGES, assert_accessible, fill
from .tabs import Tabs

pytestmark = pytest.mark.anyio

Keep = Callable[[Page, str], Awaitable[bytes]]
Scheme = Literal["light", "dark"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
async def test_accessible(served: Served, browser_page: Page, keep_picture: Keep, width: int, scheme: Scheme):
    """At phone and desktop width, light and dark, no page has a serious finding of axe, or is wider than the screen."""
    await fill(served, 12)
    await browser_page.set_viewport_size({"width": width, "height": 900})
    await browser_page.emulate_media(color_scheme=scheme)
    for name, address in PAGES.items():
        await browser_page.goto(address)
        await keep_picture(browser_page, f"{name}-{width}-{scheme}")
        await assert_accessible(browser_page, name)


async def test_long_names(served: Served, browser_page: Page, conn: AsyncConnection):
    """However long the names are that people give, no page is wider than a phone."""
    _, client = served
    queue, long = "q" * 40, "w" * 200
    body = {"args": {"a": 1}, "queue": queue, "dependency": long, "lock": long, "run_in": "1h"}
    await client.post("/tasks/add", json=body)
    await insert(
        conn, queue_name=queue, task_name=long, dependency=long, fingerprint=long, exception_type=long, message=long
    )
    await fail(conn, fingerprint=long, task=long, message=long)
    await isolate(conn, long, actor=long, reason=long)
    pages = ["", "/jobs", "/jobs/1", f"/queues/{queue}", f"/queues/{queue}/clear", "/dead-letters", "/dead-letters/1"]
    pages += ["/failures", f"/failures/groups/{long}", "/dependencies", f"/dependencies/{long}", "/audit", "/policies"]
    await browser_page.set_viewport_size({"width": 360, "height": 900})
    for page in pages:
        await browser_page.goto(f"/dashboard{page}")
        await expect(browser_page.locator("main h1")).to_be_visible()
        assert await browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page


async def test_from_the_incident_to_the_ladder(served: Served, browser_page: Page):
    """From the front page a failing job is two clicks away, and its page says why it failed."""
    await fill(served)
    await browser_page.goto("/dashboard")
    await browser_page.get_by_role("link", name="Failed jobs of sample.fail").click()
    await browser_page.get_by_role("link", name="#1").click()
    await expect(browser_page.locator(".ladder")).to_contain_text("no such luck")


async def test_pause(served: Served, browser_page: Page):
    """A page that is paused asks for nothing, and once it goes on it shows what there is."""
    await browser_page.clock.install()
    await browser_page.goto("/dashboard/jobs")
    await browser_page.get_by_role("button", name="Live").click()
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    await served[1].post("/tasks/add", json={"args": {"a": 1}})
    await browser_page.clock.run_for(60_000)
    assert not asked
    await browser_page.get_by_role("button", name="Paused").click()
    await browser_page.clock.run_for(60_000)
    await expect(browser_page.locator(".row")).to_have_count(1, timeout=20_000)


BACKGROUND = "getComputedStyle(document.body).backgroundColor"


async def test_theme(browser_page: Page):
    """A theme is chosen against the system's, outlives the page, and is the system's again after a round."""
    await browser_page.emulate_media(color_scheme="light")
    await browser_page.goto("/dashboard")
    of_the_system = {"light": await browser_page.evaluate(BACKGROUND)}
    await browser_page.emulate_media(color_scheme="dark")
    of_the_system["dark"] = await browser_page.evaluate(BACKGROUND)
    assert of_the_system["light"] != of_the_system["dark"]
    button, root = browser_page.get_by_role("button", name="Theme"), browser_page.locator("html")
    for theme, page in (("light", "/dashboard/jobs"), ("dark", "/dashboard/queues")):
        await browser_page.emulate_media(color_scheme="light" if theme == "dark" else "dark")
        await button.click()
        await browser_page.goto(page)
        await expect(root).to_have_attribute("data-theme", theme)
        await expect(button).to_have_text(f"Theme: {theme}")
        assert await browser_page.evaluate(BACKGROUND) == of_the_system[theme]
    await button.click()
    await browser_page.goto("/dashboard")
    await expect(root).not_to_have_attribute("data-theme", re.compile("."))
    await expect(button).to_have_text("Theme: system")
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        await browser_page.emulate_media(color_scheme=scheme)
        assert await browser_page.evaluate(BACKGROUND) == of_the_system[scheme]


READ = {
    "overview": ["2 things need a look", "no such luck as 0", "What to do:", "Look at its dead letters", "Next due"],
    "jobs": ["3 in all", "#1", "sample.greet", "Run the ticked again", "More filters"],
    "job": ["Job 1 failed", "attempt 1", "no such luck as 0", "Edit and replay", "Run again"],
    "dependencies": ["joke-api", "isolated", "its provider mends it"],
    "dependency": ["joke-api isolated", "Reset", "its provider mends it"],
    "letters": ["1 in all", "#1", "no such luck as 0", "More filters"],
    "letter": ["Dead letter 1 pending", "no such luck as 0", "Replay", "Abandon"],
    "failures": ["1 failure", "no such luck as 0", "sample.fail"],
    "policies": ["TRANSIENT_NETWORK", "60 s, 120 s, 240 s", "sample.fail", "Nothing yet."],
    "alerts": ["No alert is open", "Stop for maintenance", "rules, by their settings"],
    "simulation": ["Jobs done", "exponential, full jitter", "What happens"],
    "queues": ["sums", "Until empty"],
    "queue": ["Queue sums", "Pause", "Limit", "How full it was"],
    "workers": ["Alive", "Jobs running"],
    "audit": ["changes", "local", "dependency.isolate", "its provider mends it", "Show"],
    "system": ["System", "Resources", "RETENTION_SUCCEEDED", "Tables"],
}
"""What there is to read on each page, and to press, after `fill`."""


async def test_without_javascript(served: Served, chromium: Tabs, address: str):
    """Every page can be read without JavaScript, numbers, rows and forms, and shows no button that would do nothing."""
    await fill(served)
    page = await chromium.new_page(base_url=address, java_script_enabled=False)
    assert READ.keys() == PAGES.keys()
    missing = {}
    for name, path in PAGES.items():
        await page.goto(path)
        text = " ".join((await page.locator("main").inner_text()).split())
        missing[name] = [each for each in READ[name] if each not in text]
        await expect(page.locator(".tools button:visible, button.copy:visible, #tick-all:visible")).to_have_count(0)
    assert not {name: words for name, words in missing.items() if words}


async def test_acting_without_javascript(served: Served, chromium: Tabs, address: str):
    """Without JavaScript a list is searched, a row opened, and a job cancelled for a reason."""
    await fill(served)
    page = await chromium.new_page(base_url=address, java_script_enabled=False)
    await page.goto("/dashboard/jobs")
    await page.get_by_role("searchbox").fill("greet")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator(".row")).to_have_count(1)
    await page.get_by_role("link", name="#3").click()
    await page.locator("#cancel > summary").click()
    await page.locator("#cancel").get_by_label("Reason").fill("not needed")
    await page.locator("#cancel").get_by_role("button", name="Cancel job").click()
    await expect(page.get_by_role("status")).to_have_text("Job 3 will not run.")
    await expect(page.locator("h1")).to_contain_text("cancelled")
