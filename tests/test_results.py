"""The page of what was measured says of what: RESULTS.md, as `python -m bench.results` writes it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import report, results
from bench.__main__ import SUITES
from bench.reads import PREVIEW, READS, SIGN_IN
from bench.report import Suite
from bench.row import Row


def test_what_was_measured_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A suite's line names the day and the commit that was measured; it names none of a run that noted none."""
    git = shutil.which("git")
    ask = [str(git), "rev-parse", "--short", "HEAD"]
    here = results.RESULTS.parent
    told = git and subprocess.run(ask, cwd=here, capture_output=True, text=True, timeout=10, check=False)
    if not told or told.returncode:
        pytest.skip("this tree did not come by git")
    monkeypatch.setattr(report, "OUT", tmp_path)
    suite = Suite("reads", [Row(name="one job", value=4.6, unit="ms")], seconds=3.0, load=0.5)
    written = report.write([suite], "full", {"server_version": "18.4", "fsync": "on"})
    run = json.loads(written.read_text(encoding="utf-8"))
    said = results.section(*results.newest([run])["reads"])
    assert re.match(rf"\d{{4}}-\d\d-\d\d, commit {told.stdout.strip()}, in 3 s; ", said)
    assert ", commit" not in results.section(run["suites"][0], {**run, "commit": None})


def rows_of(suite: str) -> list[list[str]]:
    """The cells of each row that the page has of a suite."""
    said = results.sections(results.RESULTS.read_text(encoding="utf-8"))[suite]
    lines = [line for line in said.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_all_that_is_measured_is_on_the_page():
    """Each suite is on the page with its rows, and each address whose reading is measured."""
    assert list(results.sections(results.RESULTS.read_text(encoding="utf-8"))) == list(SUITES)
    assert not [suite for suite in SUITES if not rows_of(suite)]
    assert [name.partition(", p95 with ")[0] for name, *_ in rows_of("reads")] == [*READS, PREVIEW, SIGN_IN]


def test_what_is_required_is_kept():
    """No row of the page misses what is required of it, but one that says so here; a goal may be missed."""
    rows = [dict(zip(results.COLUMNS, row, strict=True)) for suite in SUITES for row in rows_of(suite)]
    missed = [row["what"].partition(", p95 with ")[0] for row in rows if "missed" in row["required"]]
    assert missed == ["performance"]  # Two days by the minute are 1.4 MB.
    assert [row for row in rows if "kept" in row["required"]]
