"""`demo`: the running system at work against a joke API on loopback that misbehaves. Needs no internet."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer

from .refusals import refuse, told_in_one_line

if TYPE_CHECKING:
    from rich.console import Console

    from ..config import Settings
    from ..postgres.connect import Database
    from .joke_server import JokeServer
    from .story import Line
    from .supervise import Children

QUEUE = "demo"
"""Its jobs have a queue of their own and its worker takes no other: what else waits in the database is left alone."""

AT_MOST_SECONDS = 120.0
"""The story takes about 15 s; a slow machine is given its time."""

POLL_SECONDS = 0.25

SETTINGS = {
    "API_HOST": "127.0.0.1",
    "API_PORT": "0",
    "MAX_RETRIES": "3",
    "RETRY_BASE_DELAY": "1",
    "RETRY_BACKOFF": "exponential",
    "RETRY_MULTIPLIER": "2",
    "RETRY_MAX_DELAY": "30",
    "RETRY_JITTER": "proportional",
    "RETRY_HTTP_500": "false",
    "TASK_TIMEOUTS": "fetch-joke=2s",
    "FAILURE_RULES": "",
    "WORKER_CONCURRENCY": "4",
    "SHUTDOWN_GRACE": "5s",
    "TASK_MODULES": "",
    "LOG_FORMAT": "console",
}
"""Short delays, so that it ends soon. They are set explicitly, and so win over those of `.env`."""


def demo() -> None:
    """Watch jobs succeed, fail, wait and die, against a joke API that misbehaves. Ends by itself."""
    from ..config import load_settings
    from ..postgres.connect import Database
    from .joke_server import JokeServer
    from .misbehaviour import misbehave
    from .show import console

    out = console()
    with told_in_one_line(), ExitStack() as stack:
        jokes = stack.enter_context(JokeServer(behaviour=misbehave()))
        os.environ.update(SETTINGS, API_BASE_URL=jokes.url)
        settings = load_settings()
        database = Database.from_settings(settings.database)
        stack.enter_context(database)
        _migrate(database)
        kept = not _is_at_work(database, settings)
        if not kept:
            out.print("A worker is at work on this database, so the demo uses one of its own, and deletes it.")
            database = stack.enter_context(_own_database())
            _migrate(database)
        _bring_a_key(database)
        _play(out, settings, jokes, stack, kept=kept)


def _migrate(database: "Database") -> None:
    from ..postgres.migrate import migrate

    with database.connect() as conn:
        migrate(conn)


def _bring_a_key(database: "Database") -> None:
    """Where the database has API keys, let the demo's own API accept one more: nobody's key can be read from there."""
    from ..config import load_settings
    from ..store.keys import any_key

    with database.connect() as conn:
        if any_key(conn) and load_settings().api.admin_key is None:
            os.environ["ADMIN_API_KEY"] = secrets.token_urlsafe()


def _is_at_work(database: "Database", settings: "Settings") -> bool:
    """Whether another worker lives, which may take the demo's jobs to the real joke API."""
    alive = "SELECT EXISTS (SELECT FROM procrastinate_workers WHERE last_heartbeat > now() - %s)"
    with database.connect() as conn:
        row = conn.execute(alive, [settings.worker.stalled_after]).fetchone()
    return bool(row and row[0])


@contextmanager
def _own_database() -> "Iterator[Database]":
    """An embedded server of the demo's own, in a folder that is deleted with it."""
    from ..config import load_settings
    from ..postgres.connect import Database

    with tempfile.TemporaryDirectory(prefix="afresh-demo-") as folder:
        Path(folder).chmod(0o711)  # Root's server runs as another user, who must pass through.
        os.environ.update(DATABASE_URL="", LISTEN_DATABASE_URL="", DATA_DIR=folder)
        with Database.from_settings(load_settings().database) as database:
            yield database


def _play(out: "Console", settings: "Settings", jokes: "JokeServer", stack: ExitStack, *, kept: bool) -> None:
    from .listener import address_of, bind
    from .supervise import ChildEnded, Children, StopSignals
    from .system import READY_SECONDS, answers, start_api, start_worker

    stop = stack.enter_context(StopSignals())
    listener = stack.enter_context(bind("127.0.0.1", 0))
    log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it.
    url = f"http://{address_of(listener)}"
    lines: list[Line] = []
    try:
        with Children(stop, lambda _: None, log) as children:
            start_api(children, listener)
            start_worker(children, settings, "--queues", QUEUE, "--name", "demo")
            if children.wait_until(lambda: answers(listener), within=READY_SECONDS):
                out.print(f"API {url} · joke API {jokes.url}, which misbehaves · retries after 1, 2 and 4 s\n")
                lines = _watch(out, children, url)
    except ChildEnded as ended:
        refuse(f"{ended}: {_last_line(log)}", code=1)
    if stop.asked:
        raise typer.Exit(130)
    if not lines:
        refuse(f"not every job ended within {AT_MOST_SECONDS:.0f} s: {_last_line(log)}", code=1)
    if kept:
        out.print(f"They are kept. In full: .venv/bin/afresh jobs show {lines[-1].job_id}")
        out.print("`make run` shows them all on the dashboard, and `make psql` opens the database.")


def _watch(out: "Console", children: "Children", url: str) -> "list[Line]":
    """Submit the jobs, show them until they have ended, and tell what happened; none of them if not all ended."""
    import httpx

    from ..config import load_settings
    from . import story

    key = load_settings().api.admin_key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=10, trust_env=False) as client:
        lines = story.submit(client, QUEUE)
        with story.shown(out) as tell:

            def all_ended() -> bool:
                ended = story.look(client, lines)
                tell(lines)
                return ended

            finished = children.wait_until(all_ended, within=AT_MOST_SECONDS, every=POLL_SECONDS)
        if finished:
            out.print(story.ladder(client, lines))
            out.print(f"\n{story.summary(lines)}\n")
    return lines if finished else []


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
