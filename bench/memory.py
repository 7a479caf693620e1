"""What a backlog costs a worker: its peak memory at work on a long queue, over that on a short one."""

from collections.abc import Iterator
from functools import partial

from . import load
from .bench import Bench
from .contenders import run
from .row import Row, from_rounds, plain

FEW = 5_000
"""Enough for a worker to reach its stride, and gone in a second."""


def rows(bench: Bench) -> Iterator[Row]:
    """The difference, in MB."""
    count = bench.scale.waiting
    bench.server.template("few", ours=True, fill=partial(load.ready, count=FEW))
    bench.server.template("many", ours=True, fill=partial(load.ready, count=count))
    few = _peak_mb(bench, "few")
    many = _peak_mb(bench, "many")
    yield from_rounds(
        f"worker memory at {plain(count)} waiting jobs, over that at few",
        [many - few],
        "MB",
        required=20,
        goal=2,
        smaller_is_better=True,
        note=f"{plain(few)} → {plain(many)} MB",
    )


def _peak_mb(bench: Bench, template: str) -> float:
    with bench.server.database(template) as conninfo:
        return float(run("ours", "work", conninfo, concurrency=50, seconds=3)["peak_bytes"]) / 1e6
