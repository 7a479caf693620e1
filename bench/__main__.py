"""`python -m bench`: measure, print the table, write the JSON. Exits 1 when a row falls short of what is required."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatch

from rich.console import Console

from . import (
    adopt,
    breakers,
    ceiling,
    classify,
    decide,
    deferral,
    failures,
    http,
    letters,
    memory,
    outage,
    pickup,
    purge,
    reads,
    report,
    speed,
    watching,
)
from .bench import Bench
from .report import Suite
from .row import Row
from .scale import FULL, SHORT
from .server import running_server

SUITES: dict[str, Callable[[Bench], Iterable[Row]]] = {
    "speed": speed.rows,
    "pickup": pickup.rows,
    "deferral": deferral.rows,
    "http": http.rows,
    "reads": reads.rows,
    "failures": failures.rows,
    "memory": memory.rows,
    "letters": letters.rows,
    "ceiling": ceiling.rows,
    "decide": decide.rows,
    "breakers": breakers.rows,
    "watching": watching.rows,
    "purge": purge.rows,
    "adopt": adopt.rows,
    "outage": outage.rows,
    "classify": classify.rows,  # The last: it silences logging.
}
"""What is measured, in the order of the table."""

AT_LENGTH = frozenset({"letters", "watching", "purge", "adopt", "outage"})
"""Measured at full scale, and where they are asked for: the short form has five minutes, and takes eight with them."""


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scale", choices=["short", "full"], default="short")
    parser.add_argument("--only", metavar="PATTERN", help=f"of {', '.join(SUITES)}; such as 'd*'")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    left_out = AT_LENGTH if options.only is None and options.scale == "short" else frozenset()
    chosen = {
        name: rows for name, rows in SUITES.items() if fnmatch(name, options.only or "*") and name not in left_out
    }
    suites: list[Suite] = []
    with running_server() as server:
        bench = Bench(server, FULL if options.scale == "full" else SHORT, console)
        for name, rows in chosen.items():
            begun, load = time.perf_counter(), os.getloadavg()[0]
            measured = list(rows(bench))
            suites.append(Suite(name, measured, time.perf_counter() - begun, load))
        settings = server.settings()
    measured = [row for suite in suites for row in suite.rows]
    report.show(console, measured)
    path = report.write(suites, options.scale, settings)
    console.print(", ".join(f"{suite.name} {suite.seconds:.0f} s at load {suite.load:.1f}" for suite in suites))
    if left_out:
        console.print(f"Not measured, because they take longer: {', '.join(sorted(left_out))}; --only says which to.")
    console.print(f"{os.cpu_count()} CPUs, PostgreSQL {settings['server_version']}, fsync {settings['fsync']}. {path}")
    return any(row.meets(row.required) is False for row in measured)


if __name__ == "__main__":
    sys.exit(main())
