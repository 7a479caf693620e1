"""Chaos: workers and an API under constant submissions, killed, cut off and restarted at random, and then the account.

    python -m tests.faults.chaos --seconds 120 --seed 7

The seed draws the faults; when each strikes what is up to the machine. The account is balanced if every job that was
submitted has succeeded, is dead with its letter or waits, and if nothing was done twice but by a killed process.

Ctrl-C and SIGTERM end it, and every process that it has started.
"""

import argparse
import itertools
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from app.cli.supervise import StopSignals
from app.postgres.embedded import EmbeddedServer, embedded_server

from ..eventually import eventually_sync
from ..ports import free_port
from ..servers import Server, temporary_folder
from . import processes
from .processes import Process
from .proxy import Proxy

WORKERS = 3
SUBMITTERS = 3
STALLED_AFTER = 8.0
LONGEST_OUTAGE = 2.5
"""Seconds; below STALLED_AFTER, so that no worker is taken for lost but those that are killed."""

SETTLED_WITHIN = 60.0
"""Seconds after the last fault, for what was under way then."""


class Interrupted(Exception):  # noqa: N818 - reads as what happened.
    """Somebody wants it to end before its time."""


@dataclass
class Account:
    """What became of everything."""

    faults: dict[str, int]
    acknowledged: set[str]
    unsure: set[str]
    jobs: list[dict[str, Any]]
    effects: dict[int, list[int]]
    killed: set[int]
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        found = {job["token"] for job in self.jobs}
        self._note("was acknowledged, and is gone", sorted(self.acknowledged - found))
        self._note("was submitted by nobody", sorted(found - self.acknowledged - self.unsure))
        self._note("is there twice", [job["id"] for job in self.jobs if job["twins"] > 1])
        self._note("has no end", self._ids(lambda job: job["state"] in {"running", "ready"}))
        self._note("failed without a dead letter", self._ids(lambda job: (job["state"] == "failed") != job["dead"]))
        self._note("succeeded without its effect", self._ids(lambda job: job["done"] and not self._runs(job)))
        self._note("has miscounted attempts", self._ids(lambda job: job["attempts"] != job["counted"]))
        self._note("ran twice without a kill", self._ids(lambda job: bool(self._repeated(job) - self.killed)))
        self._note("was done and forgotten", self._ids(lambda job: bool(self._forgotten(job) - self.killed)))

    def _note(self, what: str, which: list[Any]) -> None:
        self.wrong += [f"{each} {what}" for each in which]

    def _ids(self, holds: Callable[[dict[str, Any]], bool]) -> list[int]:
        return [job["id"] for job in self.jobs if holds(job)]

    def _runs(self, job: dict[str, Any]) -> list[int]:
        return self.effects.get(job["id"], [])

    def _repeated(self, job: dict[str, Any]) -> set[int]:
        """The processes whose effect was followed by another."""
        return set(self._runs(job)[:-1])

    def _forgotten(self, job: dict[str, Any]) -> set[int]:
        """The processes whose effect was never acknowledged."""
        return set() if job["done"] else set(self._runs(job))

    def __str__(self) -> str:
        states = Counter(str(job["state"]) for job in self.jobs)
        unsure = sum(job["token"] in self.unsure for job in self.jobs)
        lines = [
            f"{len(self.acknowledged):6} submissions acknowledged",
            f"{len(self.unsure):6} submissions without an answer, {unsure} of them carried out",
            f"{len(self.jobs):6} jobs: " + ", ".join(f"{count} {name}" for name, count in states.items()),
            f"{sum(job['rescues'] for job in self.jobs):6} rescues",
            f"{sum(len(self._runs(job)) > 1 for job in self.jobs):6} jobs done twice, killed before they said so",
            f"{sum(self.faults.values()):6} faults: " + ", ".join(f"{n} {name}" for name, n in self.faults.items()),
            f"{len(self.wrong):6} entries that do not add up",
            *(f"       {each}" for each in self.wrong[:20]),
        ]
        return "\n".join(lines)


class Chaos:
    """One run: servers, processes, submitters and faults. `stop` tells whether somebody wants it to end."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it strikes at, with what, and until when.
        self, server: EmbeddedServer, url: str, folder: Path, proxy: Proxy, seed: int, stop: StopSignals
    ) -> None:
        self._server = server
        self._url = url
        self._folder = folder
        self._proxy = proxy
        self._stop = stop
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self._tokens = itertools.count(1)
        self._over = threading.Event()
        self._effects = processes.Effects(folder / "effects")
        self._acknowledged: set[str] = set()
        self._unsure: set[str] = set()
        self._killed: set[int] = set()
        self._counts: dict[str, int] = {}
        self._port = free_port()
        self._started: list[Process] = []
        self._api: Process
        self._workers: list[Process] = []

    def run(self, seconds: float, least: int) -> Account:
        """Submit and strike for so long, heal, wait, and draw up the account.

        On a slow machine it goes on, up to three times as long, until at least so many submissions are acknowledged.

        Raises:
            Interrupted: Somebody wants it to end.
        """
        self._api = self._start_api()
        self._workers = [self._start_worker() for _ in range(WORKERS)]
        seeds = [self._random.random() for _ in range(SUBMITTERS)]
        submitters = [threading.Thread(target=self._submit, args=(seed,)) for seed in seeds]
        for thread in submitters:
            thread.start()
        begun = time.monotonic()
        while (lasted := time.monotonic() - begun) < 3 * seconds:
            if lasted >= seconds and len(self._acknowledged) >= least:
                break
            self._stop.wait(self._random.uniform(0.2, 1.2))
            self._heed()
            self._strike()
        self._over.set()
        for thread in submitters:
            thread.join()
        eventually_sync(self._quiet, within=SETTLED_WITHIN)
        return self._account()

    def close(self) -> None:
        """End every process."""
        self._over.set()
        for process in self._started:
            process.kill()

    def _heed(self) -> None:
        if self._stop.asked:
            raise Interrupted

    # What strikes

    def _strike(self) -> None:
        faults: dict[str, tuple[int, Callable[[], None]]] = {
            "workers killed": (6, self._kill_worker),
            "workers stopped": (3, self._stop_worker),
            "times all connections cut": (6, self._proxy.cut),
            "times backends terminated": (3, self._terminate),
            "outages": (3, self._refuse),
            "stalls": (2, self._stall),
            "restarts of Postgres": (1, lambda: self._server.restart(mode="fast")),
            "crashes of Postgres": (1, lambda: self._server.restart(mode="immediate")),
            "kills of the API": (1, self._kill_api),
        }
        weights = [weight for weight, _ in faults.values()]
        (name,) = self._random.choices(list(faults), weights)
        self._counts[name] = self._counts.get(name, 0) + 1
        faults[name][1]()
        self._replace_ended()

    def _kill_worker(self) -> None:
        victim = self._random.choice(self._workers)
        self._killed.add(victim.pid)
        victim.kill()

    def _stop_worker(self) -> None:
        self._random.choice(self._workers).signal(signal.SIGTERM)

    def _kill_api(self) -> None:
        self._api.kill()
        self._api = self._start_api()

    def _terminate(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def _refuse(self) -> None:
        self._proxy.refuse()
        time.sleep(self._random.uniform(0.2, LONGEST_OUTAGE))
        self._proxy.allow()

    def _stall(self) -> None:
        self._proxy.stall()
        time.sleep(self._random.uniform(0.2, LONGEST_OUTAGE))
        self._proxy.go_on()

    def _replace_ended(self) -> None:
        for place, worker in enumerate(self._workers):
            if not worker.lives:
                if worker.ended() != 0:  # It says itself that it could not store how its jobs ended.
                    self._killed.add(worker.pid)
                self._workers[place] = self._start_worker()

    # What works

    def _settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self._proxy.url,
            "EFFECTS": str(self._effects.file),
            "STALLED_AFTER": f"{STALLED_AFTER:g}s",
        }

    def _start_worker(self) -> Process:
        log = self._folder / f"worker-{next(self._numbers)}.log"
        self._started.append(processes.worker(log, **self._settings()))
        return self._started[-1]

    def _start_api(self) -> Process:
        log = self._folder / f"api-{next(self._numbers)}.log"
        self._started.append(processes.api(log, self._port, **self._settings()))
        return self._started[-1]

    def _submit(self, seed: float) -> None:
        rng = random.Random(seed)
        with httpx.Client(timeout=15) as client:
            while not self._over.is_set():
                token = f"job-{next(self._tokens)}"
                args = {
                    "seconds": rng.uniform(0, 0.1),
                    "failures": rng.choice((0, 0, 0, 1, 2)),
                    "fatal": rng.random() < 0.02,
                }
                address = f"http://127.0.0.1:{self._port}/tasks/chaos"
                try:
                    answer = client.post(address, json={"args": args, "correlation_id": token})
                except httpx.ConnectError:  # Nobody was there to submit it to.
                    self._over.wait(0.2)
                except httpx.TransportError:
                    self._unsure.add(token)
                else:
                    accepted = answer.status_code == httpx.codes.ACCEPTED
                    (self._acknowledged if accepted else self._unsure).add(token)
                self._over.wait(rng.uniform(0.01, 0.05))

    # The account

    def _quiet(self) -> bool:
        """Whether nothing runs, and nothing could within seconds: only what was rescued again waits for longer."""
        self._heed()
        self._replace_ended()
        return not self._query(
            "SELECT id FROM procrastinate_jobs WHERE queue_name = 'default' AND (status = 'doing' OR status = 'todo' "
            "AND coalesce(scheduled_at, now()) < now() + interval '5 s') LIMIT 1"
        )

    def _account(self) -> Account:
        jobs = self._query(
            "SELECT j.id, j.state, j.attempts, j.rescues, j.correlation_id AS token, j.state = 'succeeded' AS done, "
            "d.job_id IS NOT NULL AS dead, count(*) OVER (PARTITION BY j.correlation_id) AS twins, "
            "(SELECT count(*) FROM afresh.attempts a WHERE a.job_id = j.id AND a.counted) AS counted "
            "FROM afresh.jobs j LEFT JOIN afresh.dead_letter d ON d.job_id = j.id "
            "WHERE j.queue_name = 'default' ORDER BY j.id"
        )
        effects: dict[int, list[int]] = {}
        for line in self._effects.file.read_text(encoding="utf-8").splitlines():
            job, _, pid, _ = line.split()
            effects.setdefault(int(job), []).append(int(pid))
        return Account(self._counts, self._acknowledged, self._unsure, jobs, effects, self._killed)

    def _query(self, statement: str) -> list[dict[str, Any]]:
        with psycopg.connect(self._url, row_factory=dict_row) as conn:
            return conn.execute(statement).fetchall()


def run(seconds: float, seed: int, *, least: int = 0, stop: StopSignals | None = None) -> Account:
    """Let chaos reign on a server of its own for so long, and until `least` submissions are acknowledged.

    Raises:
        Interrupted: By a signal that `stop` notes; what was started has ended.
    """
    with ExitStack() as stack:
        folder, sockets = (stack.enter_context(temporary_folder()) for _ in range(2))
        server = embedded_server(folder / "data")
        stack.enter_context(server.join())
        url = Server(server.conninfo(), server).database("afresh_chaos")
        Server(server.conninfo(), server).make_template("afresh_chaos")
        proxy = stack.enter_context(Proxy(url, sockets))
        chaos = Chaos(server, url, folder, proxy, seed, stop or StopSignals())
        stack.callback(chaos.close)
        return chaos.run(seconds, least)


def main() -> int:
    """Run it from the command line; the exit code is 1 if the account does not balance."""
    parser = argparse.ArgumentParser(description="Workers under random faults, and what became of every job.")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long faults strike")
    parser.add_argument("--seed", type=int, default=7, help="draws the faults")
    given = parser.parse_args()
    with StopSignals() as stop:
        try:
            account = run(given.seconds, given.seed, stop=stop)
        except Interrupted:
            sys.stdout.write("Stopped; so is all that it had started.\n")
            return 130
    sys.stdout.write(f"{account}\n")
    return 1 if account.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
