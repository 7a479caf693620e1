"""The guide's page about mail and requests does what it shows, against a mail server and a receiver on loopback."""

from pathlib import Path
from typing import Any

import pytest

from app.config import HttpSettings, MailSettings

from .api.process import running
from .application import run_waiting_jobs, serving, settings_for
from .tasks.mail_host import mail_host
from .tasks.receiver import receiver
from .test_guide import GUIDE, HERE, answer, calls, python_blocks

PAGE = "tasks-that-ship.md"
HOST = "https://hooks.example.com"


def shown_setting(name: str) -> str:
    """The value of a setting on the page."""
    text = (GUIDE / PAGE).read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(f"{name}="))
    return line.partition("=")[2].partition("   ")[0].strip()


@pytest.mark.anyio
async def test_the_page(anyio_backend: str, database_url: str, tmp_path: Path):  # noqa: ARG001 - it makes the test async
    """Its settings are read, its calls are answered as they say, and what they ask for arrives: signed, and as mail."""
    secret = shown_setting("HTTP_SIGNING_SECRET")
    async with mail_host() as post:
        with receiver() as host:
            given: dict[str, Any] = {
                "allowed_hosts": shown_setting("HTTP_ALLOWED_HOSTS").replace("hooks.example.com", "127.0.0.1"),
                "private_networks": "127.0.0.1/32",
                "secrets": secret,
            }
            by_mail: dict[str, Any] = {
                "server": shown_setting("SMTP_URL").replace(
                    "shop:password@mail.example.com:587", f"127.0.0.1:{post.port}"
                ),
                "sender": shown_setting("MAIL_FROM"),
            }
            settings = settings_for(database_url, http=HttpSettings(**given), mail=MailSettings(**by_mail))
            environment = {"DATABASE_URL": database_url, "HTTP_ALLOWED_HOSTS": given["allowed_hosts"]}
            async with serving(settings) as (queue, _):
                with running(tmp_path / "log", **environment) as address:
                    for call in calls(PAGE):
                        places = {HERE: address, HOST: host.url}
                        assert await answer(call, places, tmp_path / "answer") == call.status, call
                await run_waiting_jobs(queue)
    assert sorted((seen.method, seen.path) for seen in host.requests) == [("POST", "/orders"), ("PUT", "/orders/7")]
    namespace: dict[str, Any] = {}
    (code,) = python_blocks(PAGE)
    exec(compile(code, PAGE, "exec"), namespace)  # noqa: S102 - the page's own code is what is tested.
    for seen in host.requests:
        headers = {name.lower(): value for name, value in seen.headers.items()}
        assert namespace["is_genuine"](headers, seen.body, secret)
        assert not namespace["is_genuine"](headers, seen.body + b" ", secret)
    assert sorted(recipients for recipients, _ in post.taken) == [["bob@example.com"], ["zoe@example.com"]]
