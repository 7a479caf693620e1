"""What an operator does about alerts, in a real browser."""

import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.monitoring.alerts.evaluate import evaluate
from app.store.audit import AuditFilter, list_audit

from ..application import Served, run_waiting_jobs
from ..monitoring.watchman import A_MINUTE, half_past_now

pytestmark = pytest.mark.anyio


async def test_from_the_alert_to_its_cause(served: Served, browser_page: Page, conn: AsyncConnection):
    """An alert that opens comes into the page by itself, and leads to the failure group that it is about."""
    queue, client = served
    page = browser_page
    await page.goto("/dashboard")
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await expect(page.get_by_text("No alert is open.")).to_be_visible()
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await evaluate(queue, conn, now=half_past_now() + A_MINUTE)
    await expect(page.get_by_role("heading", name="A failure that is new, or has come back")).to_be_visible(
        timeout=20_000
    )
    await page.get_by_text("What happened to it").first.click()
    await expect(page.get_by_role("listitem").filter(has_text="opened").last).to_contain_text("no luck")
    await page.get_by_role("link", name="The failure group").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("TRANSIENT_NETWORK")


async def test_a_maintenance_window(browser_page: Page, conn: AsyncConnection):
    """An operator stops monitoring for four hours, sees who did and why, and lets it go on before its time."""
    page = browser_page
    await page.goto("/dashboard/alerts")
    await page.get_by_text("Stop for maintenance", exact=True).first.click()
    await page.get_by_label("For").select_option("4h")
    await page.get_by_role("button", name="Stop for maintenance").click()
    await expect(page.get_by_label("Reason")).to_be_focused()  # Not without one.
    await page.get_by_label("Reason").fill("moving the database")
    await page.get_by_role("button", name="Stop for maintenance").click()
    await expect(page.get_by_role("status")).to_contain_text("Monitoring is stopped until")
    stopped = page.get_by_role("region", name="Monitoring is stopped")
    await expect(stopped).to_contain_text("moving the database")
    await expect(stopped).to_contain_text("in 4 h")
    await page.get_by_text("Go on now", exact=True).first.click()
    await page.get_by_role("button", name="Go on now").click()
    await expect(page.get_by_role("status")).to_contain_text("Monitoring goes on")
    await expect(stopped).to_have_count(0)
    rows = (await list_audit(conn, AuditFilter(target="monitoring"), limit=10)).items
    assert [each["action"] for each in rows] == ["monitoring.start", "monitoring.stop"]
