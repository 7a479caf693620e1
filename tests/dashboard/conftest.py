"""A browser, and a server process for it."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from ..api.process import running
from .tabs import Console, Tabs

ROOT = Path(__file__).parents[2]

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", ROOT / "build" / "screenshots"))

CHROMIUM = shutil.which("chromium")
NO_CHROMIUM = "no chromium here"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


expect.set_options(timeout=20_000)  # A browser on two busy cores takes its time; who waits for what comes pays nothing.


@pytest.fixture
def console() -> Iterator[Console]:
    """Whatever the console of any tab calls an error fails the test."""
    console = Console()
    yield console
    assert not console.errors


@pytest.fixture
async def chromium(anyio_backend: str, console: Console) -> AsyncIterator[Tabs]:  # noqa: ARG001 - it makes the fixture async
    """Debian's browser; where there is none, what needs it is skipped, and says so."""
    if CHROMIUM is None:
        pytest.skip(f"{NO_CHROMIUM}: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Tabs(browser, console)
        await browser.close()


@pytest.fixture
def address(database_url: str, tmp_path: Path, console: Console) -> Iterator[str]:
    """A server process in front of this test's own database."""
    with running(tmp_path / "server.log", DATABASE_URL=database_url, TASK_MODULES="tests.sample_tasks") as address:
        yield address
        console.listens = False


@pytest.fixture
async def browser_page(chromium: Tabs, address: str) -> Page:
    """A tab on that server."""
    return await chromium.new_page(base_url=address, viewport={"width": 1440, "height": 900})


@pytest.fixture
def keep_picture() -> Callable[[Page, str], Awaitable[bytes]]:
    """Keep a picture of a page under a name in SCREENSHOTS, by default a folder that git ignores."""

    async def keep(page: Page, name: str) -> bytes:
        return await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the pictures are: they are part of what a run gives. Say, too, if nobody looked in a browser."""
    if any(NO_CHROMIUM in str(each.longrepr) for each in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line("no chromium: the dashboard was not looked at in a browser")
    if pictures := len(list(SCREENSHOTS.glob("*.png"))):
        terminalreporter.write_line(f"{pictures} screenshots of the dashboard in {SCREENSHOTS}")
