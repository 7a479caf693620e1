"""Procrastinate as its documentation sets it up: its own connector with its default pool, asyncio, a retry strategy
for what fails. Its log lines go nowhere: its default would format two for each job.
"""  # noqa: D205  One sentence each.

import asyncio
import os

import procrastinate

from .measure import main
from .workload import TASKS


def make() -> procrastinate.App:
    """The app."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))
    for name, function in TASKS.items():
        app.task(name=name, retry=procrastinate.RetryStrategy(max_attempts=5, wait=60))(function)
    return app


if __name__ == "__main__":
    main(make, asyncio.run)
