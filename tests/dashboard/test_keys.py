"""The keyboard does on every page what the help says."""

import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from ..application import Served
from .scene import PAGES, fill, trouble

pytestmark = pytest.mark.anyio

HELP = """[...document.querySelectorAll("#help dt")].map(
    (each) => [[...each.querySelectorAll("kbd")].map((key) => key.textContent), each.nextElementSibling.textContent])"""

FOCUSED = "document.activeElement"


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


async def test_every_letter_of_the_help(browser_page: Page):
    """The help lists every key there is, and each of its letters leads to the page of that name."""
    await browser_page.goto("/dashboard/queues")
    told = await browser_page.evaluate(HELP)
    pages = {name: keys[1] for keys, name in told if keys[0] == "g"}
    assert {key for keys, _ in told if keys[0] != "g" for key in keys} == {"/", "j", "k", "x", "p", "?"}
    assert len(pages) == len(set(pages.values())) == await browser_page.locator("nav.pages a").count()
    for name, letter in pages.items():
        await browser_page.keyboard.press("g")
        await browser_page.keyboard.press(letter)
        await expect(browser_page.locator("nav.pages [aria-current=page]")).to_have_text(name)
        await browser_page.wait_for_load_state()  # Before that nobody listens to the keys.


async def test_pause_by_the_keyboard(browser_page: Page):
    """`p` pauses what is live, and lets it go on."""
    await browser_page.goto("/dashboard/jobs")
    await browser_page.keyboard.press("p")
    await expect(browser_page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
    await browser_page.keyboard.press("p")
    await expect(browser_page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")


async def test_search_from_every_page(browser_page: Page):
    """`/` leads from a page without a search to that of jobs."""
    await browser_page.goto("/dashboard/queues")
    await browser_page.keyboard.press("/")
    await browser_page.wait_for_url("**/dashboard/jobs#search")
    await expect(browser_page.get_by_role("searchbox")).to_be_focused()


ONE_ROW = {"job", "letter"}
"""Pages with a list of one, after `fill`."""


async def test_rows_of_every_page(served: Served, browser_page: Page, conn: AsyncConnection):
    """On every page with rows `j` goes to the next and `k` to the one before, and neither beyond the last or first."""
    await fill(served, 2)
    await trouble(served[0], conn)
    for name, path in (PAGES | {"many": "/dashboard/jobs/many?action=cancel&state=failed"}).items():
        await browser_page.goto(path)
        await browser_page.keyboard.press("p")  # What is drawn anew meanwhile would be another row of that name.
        await browser_page.keyboard.press("k")
        first = await browser_page.evaluate_handle(FOCUSED)
        assert await first.evaluate("(one) => one.matches('main li, main tr, main :is(li, tr) *')"), name
        assert await first.evaluate("(one) => one.checkVisibility()"), name
        await browser_page.keyboard.press("j")
        second = await browser_page.evaluate_handle(FOCUSED)
        follows = "([one, two]) => Boolean(one.compareDocumentPosition(two) & Node.DOCUMENT_POSITION_FOLLOWING)"
        assert await browser_page.evaluate(follows, [first, second]) is (name not in ONE_ROW), name
        await browser_page.keyboard.press("k")
        await browser_page.keyboard.press("k")
        assert await first.evaluate(f"(one) => one === {FOCUSED}"), name


async def test_what_a_row_opens(served: Served, browser_page: Page, conn: AsyncConnection):
    """Enter opens the page of a row, else what it unfolds; a worker has the focus itself."""
    await fill(served)
    await trouble(served[0], conn)
    await browser_page.goto("/dashboard/audit")
    await browser_page.keyboard.press("j")
    await browser_page.keyboard.press("Enter")
    await browser_page.wait_for_url("**/dashboard/queues/sums")
    await browser_page.goto("/dashboard/jobs/1")
    await browser_page.keyboard.press("j")
    await browser_page.keyboard.press("Enter")
    await expect(browser_page.locator("#traceback-1")).to_have_attribute("open", "")
    await browser_page.goto("/dashboard/workers")
    await browser_page.keyboard.press("j")
    await expect(browser_page.locator(".worker.lost")).to_be_focused()
