"""Reading about what went wrong, once much has: 95 of 100 answers over HTTP come within this time, one at a time."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import httpx
import psycopg

from . import load
from .bench import Bench
from .http import serving
from .reads import p95_ms
from .row import Row, from_rounds, plain

FRESH = 1_000
"""Failures that came in since the last folding, which is a minute ago at most."""

PATHS = (
    "/failures/types?hours=168",
    "/failures/trends?hours=24",
    "/failures/trends?hours=168",
    "/failures/groups?limit=50",
    "/failures/groups?limit=50&order=count&status=open&task=task3",
    "/failures/groups?limit=50&text=error17",
    "/failures/groups/group0",
)


def rows(bench: Bench) -> Iterator[Row]:
    """Milliseconds, for each of the paths."""
    count = bench.scale.failures
    bench.server.template("failed", ours=True, fill=partial(_fill, count=count))
    seen: dict[str, list[float]] = defaultdict(list)
    with (
        bench.server.database("failed") as conninfo,
        serving("ours", conninfo) as ((host, port), _),
        httpx.Client(base_url=f"http://{host}:{port}", timeout=30) as client,
    ):
        for _ in bench.rounds(f"reading with {plain(count)} failures"):
            for path in PATHS:
                seen[path].append(p95_ms(client, [path], bench.scale.reads))
    bench.server.drop_template("failed")
    for path, rounds in seen.items():
        yield from_rounds(
            f"GET {path} with {plain(count)} failures, p95",
            rounds,
            "ms",
            required=50,
            goal=20,
            smaller_is_better=True,
            note=f"{plain(FRESH)} of them not folded",
        )


def _fill(conn: psycopg.Connection, *, count: int) -> None:
    load.failures(conn, count - FRESH)
    load.folded(conn)
    load.failures(conn, FRESH)
