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

from app.retry.classify import classify
from tests.retry.corpus import clients, held_out, held_out_again, judged, programs, services, standard, surveyed
from tests.retry.corpus.case import Raised, provoke
from tests.retry.corpus.world import world

from .bench import Bench
from .contenders import ROOT
from .row import Row, plain

_CORPORA = (standard, clients, services, programs, held_out, held_out_again, judged, surveyed)
_ROUNDS = 30
_IMPORTS = 15


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
    """Milliseconds of processor time that the import costs, and how many foreign modules it loads.

    Of the process and not of the clock, and the least of many runs: on a loaded machine the rest is others' work.
    """
    script = (
        "import sys, time, json; before = set(sys.modules); start = time.process_time();"
        "import app.retry.classify, app.retry.decide;"
        "took = time.process_time() - start; new = {m.partition('.')[0] for m in set(sys.modules) - before};"
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
            for _ in range(_IMPORTS)
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


def rows(bench: Bench) -> list[Row]:
    """Quick, right and small, as SPEC asks."""
    raised = harvest()
    failures = [one.classified() for one in raised]
    types = sum(f.type is one.case.type for f, one in zip(failures, raised, strict=True)) / len(raised)
    retries = sum(f.retryable is one.case.retryable for f, one in zip(failures, raised, strict=True)) / len(raised)
    times = _times(raised)
    p99 = quantiles(times, n=100)[98]
    import_ms, foreign = _import()
    calls = bench.scale.classifications
    resident = _resident()
    grown = _growth(raised, calls)
    resident = _resident() - resident
    return [
        Row(name="exceptions in the corpus", value=len(raised), unit="", required=200),
        _at_most("classify, median", median(times), "µs", 50),
        _at_most("classify, p99", p99, "µs", 200),
        Row(name="right type, on exceptions the rules have seen", value=types * 100, unit="%", required=95),
        Row(name="right retry-or-not, on the same", value=retries * 100, unit="%", required=98),
        _at_most("import of the engine, classify and decide, processor time", import_ms, "ms", 30),
        _at_most("foreign modules imported", foreign, "", 0),
        _at_most(f"memory kept after {plain(calls)} classifications", grown, "blocks", 100),
        _at_most("resident memory grown meanwhile", resident, "MB", 5),
    ]


def _at_most(name: str, value: float, unit: str, required: float) -> Row:
    return Row(name=name, value=value, unit=unit, required=required, smaller_is_better=True)
