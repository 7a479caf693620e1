"""The page of a report, as a browser shows it: it is read in a mail, on whatever is at hand."""

from datetime import UTC, datetime

import pytest
from psycopg import AsyncConnection

from app.store.retry_report import report_days
from app.tasks.report.page import render_page

from ..store.history import fail
from .tabs import Tabs

pytestmark = pytest.mark.anyio

HOST = "a-host-with-a-long-name.customers.region-1.example.com"


async def page_of(conn: AsyncConnection) -> str:
    """The page of a day with a long message and a long name in it."""
    today = datetime.now(UTC).date()
    await fail(conn, message=f"POST https://{HOST}/{'x' * 200} answered 503 Service Unavailable", fingerprint="a")
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, changed_at) VALUES (%s, 'isolated', '2026-01-01')", [HOST]
    )
    return render_page(await report_days(conn, today, datetime.now(UTC).date()), made_at=datetime.now(UTC))


@pytest.mark.parametrize("width", [360, 390, 640, 1000])
async def test_it_fits(chromium: Tabs, conn: AsyncConnection, width: int):
    """Nothing is wider than the window, and where columns find no room each number stands beside its name."""
    page = await chromium.new_page(viewport={"width": width, "height": 800})
    await page.set_content(await page_of(conn))
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    named = "[...document.querySelectorAll('.many td[data-of]')].map(e => getComputedStyle(e, '::before').content)"
    labels = await page.evaluate(named)
    assert ('"On the ramp"' in labels) is (width <= 640)
    narrow = "Math.min(...[...document.querySelectorAll('.many td:first-child')].map(e => e.offsetWidth))"
    assert await page.evaluate(narrow) > 200


async def test_it_prints(chromium: Tabs, conn: AsyncConnection):
    """On paper the columns are back, whatever the screen was."""
    page = await chromium.new_page(viewport={"width": 390, "height": 800})
    await page.set_content(await page_of(conn))
    await page.emulate_media(media="print")
    assert (
        await page.evaluate("getComputedStyle(document.querySelector('.many thead')).display") == "table-header-group"
    )
    assert (await page.pdf(prefer_css_page_size=True)).startswith(b"%PDF")
