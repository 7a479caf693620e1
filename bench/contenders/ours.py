"""Afresh as `afresh worker` sets it up: settings from their defaults, logs at INFO, uvloop."""

import os

import procrastinate
import uvloop

from app.config import load_settings
from app.monitoring import exporter, logs  # noqa: F401 - else a worker's start would be measured with its work.
from app.queue.app import Afresh, create
from app.queue.task import task
from app.tasks import dead_letters  # noqa: F401 - importing it declares the task that replays them.

from .measure import main
from .workload import TASKS, call, noop


class Unwatched(Afresh):
    """With neither logs nor metrics listening."""

    run_worker_async = procrastinate.App.run_worker_async


def make() -> procrastinate.App:
    """The app. It has the workload's tasks and no others: what is periodic would run at its own times."""
    for name, function in TASKS.items():
        task(name=name)(function)
    task(name="relying", slug="relying", depends_on="healthy")(noop)
    task(name="call", depends_on="loopback")(call)
    app: procrastinate.App
    app = Unwatched(load_settings()) if "BENCH_UNWATCHED" in os.environ else create(load_settings())
    app.import_paths = []
    return app


if __name__ == "__main__":
    main(make, uvloop.run)
