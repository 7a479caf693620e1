"""Every program in examples/ runs as its docstring says, and shows what it promises."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[!_]*.py"))
LONGEST = 60
"""Lines of code in an example, without imports, words and blank lines."""

SHOWS = {
    "first_task": (
        r"succeeded after 1 attempt: \{'items': 2, 'total': 7\.7\}\n"
        r"failed after 1 attempt: PERMANENT_\w+: .*unsupported operand.*\n"
    ),
    "failure_rule": (
        r"page 1, attempt 1 failed: TRANSIENT_RESOURCE .* 1st retry of 5 → 0\.1 s .*\n"
        r"page 1, attempt 2 failed: TRANSIENT_RESOURCE .* 2nd retry of 5 → 0\.3 s .*\n"
        r"page 1, attempt 3 succeeded\n"
        r"page 2, attempt 1 failed: PERMANENT_VALIDATION .* not retryable: .*\n"
    ),
    "pipeline": (
        r"writing\nsetting\nbinding, attempt 1\nbinding, attempt 2\n"
        r"succeeded after 2 attempts: a book of 2 pages\n"
    ),
    "transactional_enqueue": (
        r"tea: 201; 1 order, 1 job\nunicorn: 409; 1 order, 1 job\nsucceeded: order 1 is confirmed\n"
    ),
    "webhook_deliverer": (
        r"attempt 1 failed\. EXTERNAL_API_DOWN .*\n"
        r"attempt 2 failed\. EXTERNAL_API_DOWN .*\n"
        r"attempt 3 succeeded\. .*\n"
        r"job \d+ succeeded: .*\n"
    ),
}
"""What each prints, from its first line to its last."""


def test_all_of_them():
    """Each that is told of here is there, and each that is there is told of."""
    assert {path.stem for path in EXAMPLES} == set(SHOWS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(path: Path, database_url: str):
    """Run as its docstring says, it ends well, prints what it promises, and complains of nothing."""
    command = re.search(r"^    (?:\.venv/bin/)?python (-m examples\.\w+)$", docstring(path), re.MULTILINE)
    assert command, "its docstring says how to run it"
    run = subprocess.run(
        [sys.executable, *command[1].split()],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert re.fullmatch(SHOWS[path.stem], run.stdout), run.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_short(path: Path):
    """It is read in two minutes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    words = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    code = [line for number, line in lines if number not in words and line.strip() and not line.strip().startswith("#")]
    assert len(code) <= LONGEST


def docstring(path: Path) -> str:
    """What it says of itself."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False) or ""
