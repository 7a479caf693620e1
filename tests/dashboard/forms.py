"""Doing on a page as a person would: open it, fill its form in, send it."""

from html.parser import HTMLParser

import httpx

from app.web.cookies import SIGN_IN, VISITOR, form_token

PERSON = {"accept": "text/html"}
"""What a browser asks for."""


class Hidden(HTMLParser):
    """The hidden fields of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"] or ""] = given["value"] or ""


async def hidden_of(client: httpx.AsyncClient, address: str) -> dict[str, str]:
    """The hidden fields of the page at an address."""
    parser = Hidden()
    parser.feed((await client.get(address, headers=PERSON)).text)
    return parser.fields


async def send(client: httpx.AsyncClient, page: str, address: str, **fields: str) -> httpx.Response:
    """Send a form of a page to an address, with these fields filled in. The page may show no form to fill in now."""
    hidden = await hidden_of(client, page)
    token = form_token(client.cookies.get(SIGN_IN) or client.cookies[VISITOR])
    return await client.post(address, data={"form_token": token} | hidden | fields, headers=PERSON)


async def do(client: httpx.AsyncClient, page: str, address: str, **fields: str) -> str:
    """The same, and the page that it leads to."""
    answer = await send(client, page, address, **fields)
    assert answer.status_code == 303, answer.text
    shown = await client.get(answer.headers["location"], headers=PERSON)
    assert shown.status_code == 200, shown.text
    return shown.text


async def sign_in(client: httpx.AsyncClient, key: str, to: str = "/dashboard") -> httpx.Response:
    """Do as a person would: open the page, send its form."""
    fields = await hidden_of(client, "/dashboard/sign-in")
    return await client.post("/dashboard/sign-in", data=fields | {"key": key, "to": to}, headers=PERSON)
