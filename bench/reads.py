"""What a person waits for who looks at a month of jobs: p95 of single requests, one after another."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import quantiles

import httpx
import uvloop

from . import kept
from .bench import Bench
from .http import new_key, serving
from .row import Row, from_rounds

READS = {
    "the newest jobs": ("/jobs",),
    "pages of the dashboard": (
        "/dashboard",
        "/dashboard/jobs",
        "/dashboard/jobs?state=failed",
        "/dashboard/jobs/5000",
        "/dashboard/dependencies",
        "/dashboard/dependencies/joke-api",
        "/dashboard/policies",
    ),
    "pages of queues, workers and the system": (
        "/dashboard/queues",
        "/dashboard/queues/queue_17?back=24h",
        "/dashboard/workers",
        "/dashboard/alerts",
        "/dashboard/audit",
        "/dashboard/system",
    ),
    "pages of dead letters and failures": (
        "/dashboard/dead-letters",
        "/dashboard/dead-letters?status=pending&task=tasks.kind_13",
        "/dashboard/dead-letters?text=nothing+of+the+kind",
        "/dashboard/dead-letters/1000",
        "/dashboard/dead-letters/bulk",
        "/dashboard/failures",
        "/dashboard/failures/groups/17e62166fc8586dfa4d1bc0e1742c08b",
    ),
    "the page of jobs by text": ("/dashboard/jobs?text=warehouse", "/dashboard/jobs?text=nothing+of+the+kind"),
    "pages that ask before many jobs are touched": (
        "/dashboard/jobs/many?action=cancel&state=scheduled",
        "/dashboard/jobs/many?action=retry&task=tasks.kind_13",
        "/dashboard/jobs/many?action=retry&text=warehouse",
        "/dashboard/queues/queue_3/clear",
    ),
    "the page of a bulk action": ("/dashboard/dead-letters/bulk/1",),
    "the page of the simulation, which plays a question once": (
        "/dashboard/policies/simulation",
        "/dashboard/policies/simulation?scenario=full+outage",
    ),
    "one job": ("/jobs/5000", "/jobs/5000/attempts"),
    "jobs by state": ("/jobs?state=ready", "/jobs?state=retrying", "/jobs?state=failed", "/jobs?state=cancelled"),
    "jobs by task and queue": ("/jobs?task=tasks.kind_7", "/jobs?task=none", "/jobs?queue=queue_3&task=tasks.kind_13"),
    "jobs by what they were given": ("/jobs?batch=1", "/jobs?correlation_id=order-5000", "/jobs?metadata.customer=7"),
    "jobs by text": ("/jobs?text=warehouse", "/jobs?text=nothing+of+the+kind"),
    "how many jobs": ("/jobs/count", "/jobs/count?state=failed"),
    "queues": ("/queues", "/queues/queue_3"),
    "a batch of 10 000": ("/batches/1",),
    "dead letters": (
        "/dead-letters",
        "/dead-letters?status=pending&task=tasks.kind_13",
        "/dead-letters?text=warehouse",
    ),
    "summary of the dead letters": ("/dead-letters/summary",),
    "health": ("/monitoring/health",),
    "the summary of the service": ("/monitoring/summary",),
    "performance": (
        "/monitoring/performance",
        "/monitoring/performance?hours=48&step=minute&task=tasks.kind_7&queue=queue_3",
        "/monitoring/performance?hours=168&step=hour&queue=queue_3",
    ),
    "wanted workers": ("/monitoring/autoscaling",),
    "workers": ("/monitoring/workers",),
}
"""Addresses, by what the table calls them."""

PREVIEWED: tuple[dict[str, str], ...] = (
    {"task": "tasks.kind_13"},
    {"failure_type": "TRANSIENT_NETWORK"},
    {"text": "warehouse"},
)
"""Filters of dead letters: a few, all, and all by a text."""

PREVIEW = "previews of bulk actions"
SIGN_IN = "the sign-in page"


def rows(bench: Bench) -> Iterator[Row]:
    """Milliseconds of the slowest twentieth."""
    count = bench.scale.kept
    bench.server.template("kept", ours=True, fill=lambda conn: kept.a_month(conn, count))
    taken: dict[str, list[float]] = {name: [] for name in (*READS, PREVIEW, SIGN_IN)}
    with (
        bench.server.database("kept") as conninfo,
        serving("ours", conninfo) as ((host, port), _),
        httpx.Client(base_url=f"http://{host}:{port}", trust_env=False, timeout=60) as client,
    ):
        for _ in bench.rounds("reading"):
            for name, addresses in READS.items():
                taken[name].append(p95_ms(client, addresses, bench.scale.reads))
            taken[PREVIEW].append(slowest_twentieth_ms(_previews(client), bench.scale.reads))
        _demand_a_key(client, conninfo)
        for _ in bench.rounds("reading without a key"):
            taken[SIGN_IN].append(p95_ms(client, ["/dashboard/sign-in"], bench.scale.reads))
    bench.server.drop_template("kept")
    for name, values in taken.items():
        yield from_rounds(
            f"{name}, p95 with {count:,} jobs and their events",
            values,
            "ms",
            required=50.0,
            goal=20.0,
            smaller_is_better=True,
        )


def p95_ms(client: httpx.Client, addresses: Sequence[str], times: int) -> float:
    """That of reading these addresses in turn, each so many times."""
    return slowest_twentieth_ms([partial(client.get, address) for address in addresses], times)


def slowest_twentieth_ms(asks: Sequence[Callable[[], httpx.Response]], times: int) -> float:
    """The slowest twentieth of the answers; each is asked for once before, since a process imports and connects."""
    for ask in asks:
        ask().raise_for_status()
    waits = []
    for number in range(times * len(asks)):
        begun = time.perf_counter()
        asks[number % len(asks)]().raise_for_status()
        waits.append(1000 * (time.perf_counter() - begun))
    return quantiles(waits, n=20)[-1]


def _previews(client: httpx.Client) -> list[Callable[[], httpx.Response]]:
    """What a person sends who has narrowed the dead letters, with the token of a page that the person has seen."""
    page = client.get("/dashboard/dead-letters?task=tasks.kind_13").raise_for_status().text
    (token,) = set(re.findall('name="form_token" value="([^"]+)"', page))
    given = {"form_token": token, "action": "replay"}
    return [partial(client.post, "/dashboard/dead-letters/bulk/preview", data=given | each) for each in PREVIEWED]


def _demand_a_key(client: httpx.Client, conninfo: str) -> None:
    """From the first key on there is a page that asks for one; a process looks for keys once a second."""
    uvloop.run(new_key(conninfo))
    until = time.monotonic() + 10
    while client.get("/dashboard/sign-in").is_redirect:
        if time.monotonic() > until:
            raise RuntimeError("no key is asked for")
        time.sleep(0.1)
