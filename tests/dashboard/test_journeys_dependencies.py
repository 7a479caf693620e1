"""What an operator does about dependencies and policies, in a real browser."""

import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.store.audit import AuditFilter, list_audit

from ..application import Served

pytestmark = pytest.mark.anyio


async def test_isolate_and_reset(served: Served, browser_page: Page, conn: AsyncConnection):
    """A dependency is isolated with a reason, its jobs wait, and once it is reset they come back; both are audited."""
    for _ in range(3):
        await served[1].post("/tasks/fetch-joke")
    page = browser_page
    await page.goto("/dashboard")
    await page.keyboard.press("g")
    await page.keyboard.press("e")
    await page.wait_for_url("**/dashboard/dependencies")
    await page.get_by_role("link", name="joke-api").click()
    await expect(page.get_by_role("img", name="It is closed")).to_be_visible()
    await page.get_by_text("Isolate", exact=True).first.click()
    await page.get_by_label("Reason").fill("its provider mends it")
    await page.get_by_role("button", name="Isolate").click()
    await expect(page.get_by_role("status")).to_contain_text("joke-api is isolated")
    await expect(page.get_by_role("img", name="It is isolated, coming from closed")).to_be_visible()
    await expect(page.get_by_role("region", name="Jobs that wait for it").last).to_contain_text("3")
    await page.get_by_text("Reset", exact=True).first.click()
    await page.get_by_label("Reason").fill("it is back")
    await page.get_by_role("button", name="Reset").click()
    await expect(page.get_by_role("status")).to_contain_text("joke-api is called again")
    history = page.get_by_role("region", name="What happened to it").last
    await expect(history).to_contain_text("it is back")
    await expect(history).to_contain_text("its provider mends it")
    rows = (await list_audit(conn, AuditFilter(target="joke-api"), limit=10)).items
    assert [(each["action"], each["reason"]) for each in rows] == [
        ("dependency.reset", "it is back"),
        ("dependency.isolate", "its provider mends it"),
    ]


async def test_without_a_reason(browser_page: Page):
    """The browser does not send a form whose reason is missing."""
    await browser_page.goto("/dashboard/dependencies/joke-api")
    await browser_page.get_by_text("Isolate", exact=True).first.click()
    await browser_page.get_by_role("button", name="Isolate").click()
    await expect(browser_page.get_by_label("Reason")).to_be_focused()
    await expect(browser_page.get_by_role("img", name="It is closed")).to_be_visible()


async def test_try_a_policy(browser_page: Page):
    """A policy of one's own is played through an outage, and its load on the dependency is drawn beside ours."""
    page = browser_page
    await page.goto("/dashboard/policies")
    await page.get_by_role("link", name="Play an outage through").click()
    await page.get_by_label("What happens").select_option("full outage")
    await page.get_by_label("Jobs").fill("100")
    await page.get_by_label("Retries").fill("0")
    await page.get_by_role("button", name="Play").click()
    figures = page.locator("tbody").first
    ours = figures.get_by_role("row").filter(has=page.get_by_role("rowheader", name="ours", exact=True))
    yours = figures.get_by_role("row").filter(has=page.get_by_role("rowheader", name="yours", exact=True))
    await expect(ours).to_be_visible(timeout=60_000)
    await expect(ours.get_by_role("cell").nth(1)).to_have_text("0")  # Dead letters.
    await expect(yours.get_by_role("cell").nth(1)).not_to_have_text("0")
    await expect(page.get_by_role("img", name="Jobs done")).to_be_visible()
    for policy in ("ours", "yours"):
        await expect(page.get_by_role("img", name=f"Load by {policy}")).to_be_visible()
