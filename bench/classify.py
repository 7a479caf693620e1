"""How quick and how right `classify` is: over the corpus, after a million calls, and what importing it costs."""

import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.retry.classify import classify  # noqa: E402 - the path comes first
from tests.retry.corpus import clients, held_out, held_out_again, programs, services, standard  # noqa: E402 - the path comes first
from tests.retry.corpus.case import Raised, provoke  # noqa: E402 - the path comes first
from tests.retry.corpus.world import world  # noqa: E402 - the path comes first

_CORPORA = (standard, clients, services, programs, held_out, held_out_again)
_ROUNDS = 30
_MILLION = 1_000_000


def harvest() -> list[Raised]:
    """Every exception of the corpus, really raised."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with world() as servers:
        return [provoke(case, servers) for module in _CORPORA for case in module.corpus.cases]


def _times(raised: list[Raised]) -> list[float]:
    """Microseconds of each exception, the median of `_ROUNDS` calls."""
    times = []
    for one in raised:
        laps = []
        for _ in range(_ROUNDS):
            start = time.perf_counter_ns()
            classify(one.exception)
            laps.append(time.perf_counter_ns() - start)
        times.append(median(laps) / 1000)
    return times


def _import() -> tuple[float, int]:
    """Milliseconds of the import above a bare interpreter's own, and how many foreign modules it loads."""
    script = (
        "import sys, time, json; before = set(sys.modules); start = time.perf_counter(); import app.retry.classify;"
        "took = time.perf_counter() - start; new = {m.partition('.')[0] for m in set(sys.modules) - before};"
        "foreign = [m for m in new if m not in sys.stdlib_module_names and m != 'app' and not m.startswith('_')];"
        "print(json.dumps([took * 1000, foreign]))"
    )
    with tempfile.TemporaryDirectory() as cache:
        # Compiled once, as any installed package is.
        env = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", script]
        runs = [
            json.loads(subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True).stdout)
            for _ in range(7)
        ]
    return min(run[0] for run in runs), max(len(run[1]) for run in runs)


def _growth(raised: list[Raised], calls: int) -> int:
    """Blocks the interpreter holds after `calls` classifications, over what it held after a warm-up."""
    exceptions = [one.exception for one in raised]
    for exc in exceptions * 3:
        classify(exc)
    gc.collect()
    before = sys.getallocatedblocks()
    for index in range(calls):
        classify(exceptions[index % len(exceptions)])
    gc.collect()
    return sys.getallocatedblocks() - before


def _resident() -> float:
    """Megabytes this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def rows() -> list[dict[str, Any]]:
    """Measured, required, and whether that is met; one dict each, JSON-able."""
    raised = harvest()
    failures = [one.classified() for one in raised]
    types = sum(f.type is one.case.type for f, one in zip(failures, raised, strict=True)) / len(raised)
    retries = sum(f.retryable is one.case.retryable for f, one in zip(failures, raised, strict=True)) / len(raised)
    times = _times(raised)
    p99 = quantiles(times, n=100)[98]
    import_ms, foreign = _import()
    calls = int(os.environ.get("BENCH_CLASSIFICATIONS", _MILLION))
    resident = _resident()
    grown = _growth(raised, calls)
    resident = _resident() - resident
    return [
        _row("exceptions in the corpus", len(raised), "exceptions", ">= 200", met=len(raised) >= 200),  # noqa: PLR2004 - as asked
        _row("classify, median", round(median(times), 1), "µs", "<= 50", met=median(times) <= 50),  # noqa: PLR2004 - SPEC
        _row("classify, p99", round(p99, 1), "µs", "<= 200", met=p99 <= 200),  # noqa: PLR2004 - SPEC
        _row("right type, on exceptions the rules have seen", round(types * 100, 1), "%", ">= 95", met=types >= 0.95),  # noqa: PLR2004 - SPEC
        _row("right retry-or-not, on the same", round(retries * 100, 1), "%", ">= 98", met=retries >= 0.98),  # noqa: PLR2004 - SPEC
        _row("import of app.retry.classify", round(import_ms, 1), "ms", "<= 30", met=import_ms <= 30),  # noqa: PLR2004 - as asked
        _row("foreign modules imported", foreign, "modules", "0", met=foreign == 0),
        _row(f"memory kept after {calls:,} classifications", grown, "blocks", "<= 100", met=grown <= 100),  # noqa: PLR2004 - flat
        _row("resident memory grown meanwhile", round(resident, 1), "MB", "<= 5", met=resident <= 5),  # noqa: PLR2004 - flat
    ]


def _row(name: str, value: float, unit: str, required: str, *, met: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "required": required, "ok": met}


def main() -> int:
    """Print the rows; 1 when one is not met."""
    measured = rows()
    for row in measured:
        print(
            f"{'ok ' if row['ok'] else 'NOT'} {row['name']:<50} {row['value']:>10} {row['unit']:<10} {row['required']}"
        )
    return 0 if all(row["ok"] for row in measured) else 1


if __name__ == "__main__":
    raise SystemExit(main())
