"""Tabs of a browser whose consoles are listened to, whoever opens them."""

import re
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Page


@dataclass
class Console:
    """What the consoles of all tabs call an error.

    Attributes:
        listens: False as soon as the server is told to end: that it is gone is no error of a page.
    """

    errors: list[str] = field(default_factory=list)
    listens: bool = True


class Tabs:
    """What tests have of the browser: it opens tabs."""

    def __init__(self, browser: Browser, console: Console) -> None:
        self._browser = browser
        self._console = console

    async def new_page(self, *, refused: int | None = None, **options: Any) -> Page:
        """Open a tab with the options of Playwright's `new_page`.

        A browser says in the console that a request was refused; with `refused`, one with this status is no error.
        """
        page = await self._browser.new_page(**options)
        expected = re.compile(f"Failed to load resource: .* status of {refused} ") if refused else None

        def keep(text: str) -> None:
            if self._console.listens and not (expected and expected.match(text)):
                self._console.errors.append(f"{page.url}: {text}")

        page.on("console", lambda message: keep(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: keep(str(error)))
        return page
