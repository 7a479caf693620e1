"""The page of what was measured says of what: RESULTS.md, as `python -m bench.results` writes it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import report, results
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
