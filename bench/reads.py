"""What a person waits for who looks at a month of jobs: p95 of single requests, one after another."""

import time
from collections.abc import Iterator, Sequence
from statistics import quantiles

import httpx

from . import kept
from .bench import Bench
from .http import serving
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


def rows(bench: Bench) -> Iterator[Row]:
    """Milliseconds of the slowest twentieth."""
    count = bench.scale.kept
    bench.server.template("kept", ours=True, fill=lambda conn: kept.a_month(conn, count))
    taken: dict[str, list[float]] = {name: [] for name in READS}
    with (
        bench.server.database("kept") as conninfo,
        serving("ours", conninfo) as ((host, port), _),
        httpx.Client(base_url=f"http://{host}:{port}", trust_env=False, timeout=60) as client,
    ):
        for _ in bench.rounds("reading"):
            for name, addresses in READS.items():
                taken[name].append(p95_ms(client, addresses, bench.scale.reads))
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
    """The slowest twentieth of the answers; each address is asked once before, since a process imports and connects."""
    for address in addresses:
        client.get(address).raise_for_status()
    waits = []
    for number in range(times * len(addresses)):
        begun = time.perf_counter()
        client.get(addresses[number % len(addresses)]).raise_for_status()
        waits.append(1000 * (time.perf_counter() - begun))
    return quantiles(waits, n=20)[-1]
