"""The pages in a real browser, in front of a real server."""

from collections.abc import Awaitable, Callable
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.store.breakers import isolate

from ..api.test_dead_letters import insert
from ..application import Served, run_waiting_jobs
from ..store.history import fail

pytestmark = pytest.mark.anyio

Keep = Callable[[Page, str], Awaitable[bytes]]
PAGES = {
    "overview": "/dashboard",
    "jobs": "/dashboard/jobs",
    "job": "/dashboard/jobs/1",
    "dependencies": "/dashboard/dependencies",
    "dependency": "/dashboard/dependencies/joke-api",
    "letters": "/dashboard/dead-letters",
    "letter": "/dashboard/dead-letters/1",
    "failures": "/dashboard/failures",
    "policies": "/dashboard/policies",
    "alerts": "/dashboard/alerts",
    "simulation": "/dashboard/policies/simulation?scenario=full+outage&jobs=100",
    "queues": "/dashboard/queues",
    "queue": "/dashboard/queues/sums",
    "workers": "/dashboard/workers",
    "audit": "/dashboard/audit",
    "system": "/dashboard/system",
}


async def fill(served: Served, times: int = 1) -> None:
    """Have some jobs fail and some succeed, the first of all failing, leave one waiting, and isolate a dependency."""
    queue, client = served
    for number in range(times):
        await client.post("/tasks/fail", json={"args": {"message": f"no such luck as {number}"}})
        await client.post("/tasks/add", json={"args": {"a": number}, "correlation_id": f"order-{number}"})
    await run_waiting_jobs(queue)
    await client.post("/tasks/greet", json={"args": {"name": "you"}, "run_in": "1h"})
    await client.post("/dependencies/joke-api/isolate", json={"reason": "its provider mends it"})


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
async def test_accessible(
    served: Served, browser_page: Page, keep_picture: Keep, width: int, scheme: Literal["light", "dark"]
):
    """At phone and desktop width, light and dark, no page has a serious finding of axe, or is wider than the screen."""
    await fill(served, 12)
    await browser_page.set_viewport_size({"width": width, "height": 900})
    await browser_page.emulate_media(color_scheme=scheme)
    for name, address in PAGES.items():
        await browser_page.goto(address)
        await keep_picture(browser_page, f"{name}-{width}-{scheme}")
        found = (await Axe().run(browser_page)).response["violations"]
        assert not [each for each in found if each["impact"] in {"serious", "critical"}], name
        assert await browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


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


async def test_keyboard(served: Served, browser_page: Page):
    """Without a mouse: help, to the jobs, down two rows, into one, and a search."""
    await fill(served)
    await browser_page.goto("/dashboard")
    await browser_page.keyboard.press("?")
    await expect(browser_page.get_by_role("dialog")).to_be_visible()
    await browser_page.keyboard.press("Escape")
    await browser_page.keyboard.press("g")
    await browser_page.keyboard.press("j")
    await browser_page.wait_for_url("**/dashboard/jobs")
    await browser_page.keyboard.press("/")
    await expect(browser_page.get_by_role("searchbox")).to_be_focused()
    await browser_page.keyboard.press("Tab")
    await browser_page.keyboard.press("j")
    await browser_page.keyboard.press("j")
    await browser_page.keyboard.press("Enter")
    await browser_page.wait_for_url("**/dashboard/jobs/2")


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


async def test_theme(browser_page: Page):
    """A chosen theme outlives the page."""
    await browser_page.goto("/dashboard")
    button = browser_page.get_by_role("button", name="Theme")
    await button.click()
    await button.click()
    await browser_page.goto("/dashboard/jobs")
    await expect(browser_page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_without_javascript(served: Served, browser_page: Page, address: str):
    """Every page can be read without JavaScript, and shows no button that would do nothing."""
    await fill(served)
    browser = browser_page.context.browser
    assert browser is not None
    page = await browser.new_page(base_url=address, java_script_enabled=False)
    for path in PAGES.values():
        await page.goto(path)
        await expect(page.locator("main h1")).to_be_visible()
        await expect(page.locator(".tools button:visible")).to_have_count(0)
