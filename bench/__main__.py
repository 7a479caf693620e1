"""`python -m bench`: measure, print the table, write the JSON. Exits 1 when a row falls short of what is required."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatch

from rich.console import Console

from . import ceiling, classify, decide, deferral, http, letters, memory, pickup, report, speed
from .bench import Bench
from .row import Row
from .scale import FULL, SHORT
from .server import running_server

SUITES: dict[str, Callable[[Bench], Iterable[Row]]] = {
    "speed": speed.rows,
    "pickup": pickup.rows,
    "deferral": deferral.rows,
    "http": http.rows,
    "memory": memory.rows,
    "letters": letters.rows,
    "ceiling": ceiling.rows,
    "decide": decide.rows,
    "classify": classify.rows,  # The last: it silences logging.
}
"""What is measured, in the order of the table."""


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scale", choices=["short", "full"], default="short")
    parser.add_argument("--only", metavar="PATTERN", default="*", help=f"of {', '.join(SUITES)}; such as 'd*'")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    chosen = [rows for name, rows in SUITES.items() if fnmatch(name, options.only)]
    with running_server() as server:
        bench = Bench(server, FULL if options.scale == "full" else SHORT, console)
        measured = [row for rows in chosen for row in rows(bench)]
        settings = server.settings()
    report.show(console, measured)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    path = report.write(measured, {"scale": options.scale, **machine, "postgres": settings})
    console.print(f"{os.cpu_count()} CPUs, PostgreSQL {settings['server_version']}, fsync {settings['fsync']}. {path}")
    return any(row.meets(row.required) is False for row in measured)


if __name__ == "__main__":
    sys.exit(main())
