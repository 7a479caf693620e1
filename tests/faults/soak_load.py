"""What uses the service during a soak: submissions over HTTP, reads, streams, and a person who looks after the dead."""

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

ANSWER_SECONDS = 30.0
"""More than any answer takes on a machine with other work; whatever takes longer counts as trouble."""

STREAM_SECONDS = 3.0
"""For as long as a page is looked at."""

STREAM_PAUSE_SECONDS = 2.0
LETTERS_PAUSE_SECONDS = 2.0

READS = (
    "/dashboard",
    "/jobs?limit=50",
    "/dashboard/jobs",
    "/jobs/{job}",
    "/dashboard/jobs/{job}",
    "/jobs/{job}/attempts",
    "/jobs/count?state=succeeded",
    "/dashboard/dead-letters",
    "/dead-letters/summary",
    "/dashboard/failures",
    "/failures/groups",
    "/failures/trends",
    "/dashboard/queues",
    "/queues",
    "/dashboard/workers",
    "/monitoring/summary",
    "/dashboard/dependencies",
    "/dependencies",
    "/dashboard/policies",
    "/dashboard/alerts",
    "/monitoring/performance",
    "/dashboard/audit",
    "/dashboard/system",
    "/metrics",
    "/monitoring/health",
)
"""Read in turn; `{job}` is one that was submitted a moment ago."""


class Load:
    """Clients of one API, each in a thread of its own.

    Attributes:
        accepted: Ids of the jobs that were acknowledged; those that a replay made are among them.
        fatal: Those of them that were meant to die.
        settled: Dead letters that were abandoned or replayed.
        requests: Answers by kind of client.
        trouble: Requests that failed, with what was answered.
    """

    def __init__(self, address: str, *, per_second: float, reads_per_second: float, seed: int) -> None:
        self._address = address
        self._pause = 1 / per_second
        self._reading_pause = 1 / reads_per_second
        self._seed = seed
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._last_job = 0
        self._last_long = 0
        self.accepted: set[int] = set()
        self.fatal: set[int] = set()
        self.settled: set[int] = set()
        self.requests: Counter[str] = Counter()
        self.trouble: list[str] = []
        clients = (self._submit, self._read, self._look_on, self._follow, self._settle)
        self._threads = [threading.Thread(target=self._client, args=(each,), daemon=True) for each in clients]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, with what is under way; may take as long as an answer does."""
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * ANSWER_SECONDS)

    def _client(self, act: Callable[[httpx.Client, random.Random], float]) -> None:
        """Act again and again, each after the pause that the one before has told."""
        name = act.__name__.strip("_")
        rng = random.Random(f"{self._seed} {name}")
        with httpx.Client(base_url=self._address, timeout=ANSWER_SECONDS) as client:
            due = time.monotonic()
            while not self._over.is_set():
                try:
                    pause = act(client, rng)
                except httpx.HTTPStatusError as error:
                    self._note(name, f"{error.request.url} → {error.response.status_code} {error.response.text[:200]}")
                    pause = 1.0
                except httpx.TransportError as error:
                    self._note(name, f"{error.request.url}: {error!r}")
                    pause = 1.0
                self.requests[name] += 1
                # A steady rate rather than a steady pause; what was missed in a slow moment is not made up for.
                due = max(due + pause, time.monotonic())
                self._over.wait(due - time.monotonic())

    def _note(self, name: str, what: str) -> None:
        if not self._over.is_set():
            self.trouble.append(f"{name}: {what}")

    # What each does

    def _submit(self, client: httpx.Client, rng: random.Random) -> float:
        if rng.random() < 0.02:
            jobs = [{"args": {"size": 100}, "metadata": {"place": place}} for place in range(5)]
            ids = _ok(client.post("/tasks/soak.work/batch", json={"jobs": jobs})).json()["job_ids"]
            with self._lock:
                self.accepted.update(ids)
            return 5 * self._pause
        number = next(_numbers)
        task, args = _drawn(rng)
        body: dict[str, Any] = {"args": args, "correlation_id": f"soak-{number}"}
        if rng.random() < 0.1:
            body["run_in"] = "2s"
        if rng.random() < 0.2:
            body["metadata"] = {"customer": number, "country": number % 7}
        headers = {"Idempotency-Key": f"soak-{number}"} if rng.random() < 0.2 else {}
        answer = _ok(client.post(f"/tasks/{task}", json=body, headers=headers))
        job = int(answer.json()["job_id"])
        if headers and rng.random() < 0.2:  # A client that did not hear the answer.
            _ok(client.post(f"/tasks/{task}", json=body, headers=headers))
        with self._lock:
            self.accepted.add(job)
            if args.get("fatal"):
                self.fatal.add(job)
        self._last_job = job
        if task == "soak.long":
            self._last_long = job
        return self._pause

    def _read(self, client: httpx.Client, _: random.Random) -> float:
        job = self._last_job
        if job:
            address = READS[self.requests["read"] % len(READS)]
            _ok(client.get(address.format(job=job), headers={"Accept": "*/*"}))
        return self._reading_pause

    def _look_on(self, client: httpx.Client, _: random.Random) -> float:
        """Have a page open for a while, and close it as a browser does: without a word."""
        until = time.monotonic() + STREAM_SECONDS
        with (
            contextlib.suppress(httpx.ReadTimeout),
            client.stream("GET", "/dashboard/changes", timeout=STREAM_SECONDS) as answer,
        ):
            _ok(answer)
            for _line in answer.iter_lines():
                if time.monotonic() > until or self._over.is_set():
                    break
        return STREAM_SECONDS + STREAM_PAUSE_SECONDS

    def _follow(self, client: httpx.Client, rng: random.Random) -> float:
        """Follow a job to its end; every third time hang up before."""
        job, hangs_up = self._last_long, rng.random() < 1 / 3
        if job:
            with client.stream("GET", f"/jobs/{job}/events") as answer:
                if answer.status_code != httpx.codes.NOT_FOUND:  # It may have been forgotten by now.
                    _ok(answer)
                    for line in answer.iter_lines():
                        if hangs_up and line.startswith("event: progress"):
                            break
        return STREAM_PAUSE_SECONDS

    def _settle(self, client: httpx.Client, rng: random.Random) -> float:
        """Look through the pending dead letters: abandon most, and bring some back in a way that lets them succeed."""
        answer = _ok(client.get("/dead-letters", params={"status": "pending", "limit": 100}))
        for letter in answer.json()["items"]:
            self._settle_one(client, int(letter["id"]), replays=rng.random() < 0.3)
        return LETTERS_PAUSE_SECONDS

    def _settle_one(self, client: httpx.Client, letter: int, *, replays: bool) -> None:
        if replays:
            body = {"args": {"fatal": False}, "reason": "the right was given"}
            made = int(_ok(client.post(f"/dead-letters/{letter}/replay", json=body)).json()["job_id"])
            with self._lock:
                self.accepted.add(made)
        else:
            _ok(client.post(f"/dead-letters/{letter}/abandon", json={"reason": "not worth it"}))
        self.settled.add(letter)


_numbers = itertools.count(1)


def _ok(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is good.

    Raises:
        httpx.HTTPStatusError: It is not.
    """
    if answer.is_error:
        answer.read()
    return answer.raise_for_status()


def _drawn(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """A task and its arguments: most jobs are short and succeed."""
    kinds: list[tuple[float, str, dict[str, Any]]] = [
        (0.50, "soak.work", {"size": rng.choice((10, 200, 4_000))}),
        (0.15, "soak.work", {"failures": rng.choice((1, 2))}),
        (0.03, "soak.work", {"fatal": True}),
        (0.10, "soak.long", {"seconds": rng.uniform(0.5, 3), "failures": rng.choice((0, 0, 1))}),
        (0.07, "soak.thread", {"seconds": rng.uniform(0.01, 0.2)}),
        (0.15, "soak.call", {}),
    ]
    ((_, task, args),) = rng.choices(kinds, [weight for weight, _, _ in kinds])
    return task, args
