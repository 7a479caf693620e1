"""`demo`: the running system at work against a joke API on loopback that misbehaves. Needs no internet."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from .refusals import refuse, told_in_one_line

if TYPE_CHECKING:
    import httpx
    from rich.console import Console

    from ..postgres.connect import Database
    from .misbehaviour import Misbehaviour
    from .supervise import Children, StopSignals

QUEUE = "demo"
QUEUES = f"{QUEUE},dead_letters"
"""Its worker takes its jobs and what replays them, and leaves the periodic ones: they are no part of the story."""

AT_MOST_SECONDS = 120.0
"""Each act takes 5 to 20 s; a slow machine is given its time."""

POLL_SECONDS = 0.25

SETTINGS = {
    "API_PORT": "0",
    "MAX_RETRIES": "3",
    "RETRY_BASE_DELAY": "1",
    "RETRY_MAX_DELAY": "30",
    "BREAKER_FAILURES": "3",
    "BREAKER_SECONDS": "4s",
    "BREAKER_FAILURE_RATIO": "0.5",
    "BREAKER_QUIET": "2s",
    "TASK_TIMEOUTS": "fetch-joke=2s",
    "WORKER_CONCURRENCY": "4",
    "SHUTDOWN_GRACE": "5s",
}
"""Short delays, so that it ends soon. All others are at their defaults."""

KEPT = frozenset({"EMBEDDED_POSTGRES"})
"""What this machine needs, whoever runs."""


Keep = Annotated[bool, typer.Option("--keep", help="Leave it up afterwards, to be looked at until Ctrl-C.")]


def demo(*, keep: Keep = False) -> None:
    """Watch jobs succeed, fail, wait and die, against a joke API that misbehaves. Ends by itself.

    Everything of it is its own and is deleted in the end: the database of your settings is not touched.
    """
    from ..config import settings_that_are_set
    from ..postgres.migrate import migrate
    from .joke_server import JokeServer
    from .misbehaviour import Misbehaviour
    from .show import console
    from .supervise import StopSignals

    out = console()
    with told_in_one_line(), ExitStack() as stack:
        stop = stack.enter_context(StopSignals())
        behaviour = Misbehaviour()
        jokes = stack.enter_context(JokeServer(behaviour=behaviour))
        # Nobody is to be told of its alerts, and no port is its that something else may have. Empty wins over `.env`.
        os.environ.update(dict.fromkeys(settings_that_are_set() - KEPT, "") | SETTINGS, API_BASE_URL=jokes.url)
        database = stack.enter_context(_own_database())
        with database.connect() as conn:
            migrate(conn)
        if not stop.asked:
            _play(out, Joker(jokes.url, behaviour), stop, stack, keep=keep)
    if stop.asked:
        out.print("Stopped; the demo's database is deleted.")
        raise typer.Exit(0 if keep else 130)
    out.print("The demo's database is deleted. `make demo D=--keep` leaves all of it up, and these pages.")
    out.print("`make run` starts a system of your own, with its dashboard on http://127.0.0.1:8000/dashboard")


@contextmanager
def _own_database() -> "Iterator[Database]":
    """An embedded server of the demo's own, in a folder that is deleted with it."""
    from ..config import load_settings
    from ..postgres.connect import Database

    with tempfile.TemporaryDirectory(prefix="afresh-demo-") as folder:
        Path(folder).chmod(0o711)  # Root's server runs as another user, who must pass through.
        os.environ["DATA_DIR"] = folder
        with Database.from_settings(load_settings().database) as database:
            yield database


@dataclass(frozen=True, slots=True)
class Joker:
    """The joke API: where it is, and what it does."""

    url: str
    behaviour: "Misbehaviour"


def _play(out: "Console", jokes: Joker, stop: "StopSignals", stack: ExitStack, *, keep: bool) -> None:
    from ..config import load_settings
    from .listener import address_of, bind
    from .supervise import ChildEnded, Children
    from .system import READY_SECONDS, answers, start_api, start_worker

    listener = stack.enter_context(bind("127.0.0.1", 0))
    log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it.
    url = f"http://{address_of(listener)}"
    ended = False
    try:
        with Children(stop, lambda _: None, log) as children:
            start_api(children, listener)
            start_worker(children, load_settings(), "--queues", QUEUES, "--name", "demo")
            if children.wait_until(lambda: answers(listener), within=READY_SECONDS):
                out.print(f"Dashboard {url}/dashboard · API {url}/docs · while the demo runs")
                out.print(f"Joke API  {jokes.url}, which misbehaves · retries after 1, 2 and 4 s\n")
                ended = _watch(out, children, url, jokes, where=url if keep else "")
            if ended and keep:
                out.print(f"Still up: {url}/dashboard and {url}/docs · Ctrl-C stops it and deletes its database")
                children.watch()
    except ChildEnded as died:
        refuse(f"{died}: {_last_line(log)}", code=1)
    if not (ended or stop.asked):
        refuse(f"not every job ended within {AT_MOST_SECONDS:.0f} s: {_last_line(log)}", code=1)


def _watch(out: "Console", children: "Children", url: str, jokes: Joker, *, where: str) -> bool:
    """Submit the jobs, show them until they have ended, bring the dead ones back; return whether all of that ended.

    In the end it is summed up, with pages to look at; `where` stands before their addresses.
    """
    import httpx

    from . import ending, story

    with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
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
            jokes.behaviour.mended = True
            finished = _bring_back(out, children, client) and _go_down(out, children, client, jokes)
        if finished:
            out.print(ending.happened(client, QUEUE, where=where))
            out.print()
    return finished


def _bring_back(out: "Console", children: "Children", client: "httpx.Client") -> bool:
    """Replay the dead letters in bulk, now that the joke API is mended; return whether that ended."""
    from . import afterlife

    bulk = afterlife.replay(client, QUEUE)
    out.print(f"The joke API is mended: {bulk['total']} dead letters are replayed by one bulk action.")
    with afterlife.shown(out, bulk) as tell:

        def all_ended() -> bool:
            now = afterlife.look(client, bulk)
            tell(now)
            return afterlife.is_over(now)

        finished = children.wait_until(all_ended, within=AT_MOST_SECONDS, every=POLL_SECONDS)
    if finished:
        out.print(afterlife.letters(client, bulk))
        out.print(f"\n{afterlife.summary(afterlife.look(client, bulk))}\n")
    return finished


def _go_down(out: "Console", children: "Children", client: "httpx.Client", jokes: Joker) -> bool:
    """Take the joke API down and up again; return whether its breaker closed and all jobs ended."""
    from . import downtime

    going = downtime.begin(client, jokes.behaviour, QUEUE)
    if not children.wait_until(lambda: downtime.all_well(client, going), within=AT_MOST_SECONDS):
        return False
    out.print("The joke API goes down altogether, and more jobs come.")
    with downtime.shown(out) as tell:

        def all_over() -> bool:
            over = downtime.proceed(client, going, QUEUE)
            tell(going)
            return over

        finished = children.wait_until(all_over, within=AT_MOST_SECONDS, every=POLL_SECONDS)
    if finished:
        out.print(downtime.history(client))
        out.print(f"\n{downtime.summary(going)}\n")
    return finished


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
