"""The rules of the house that no linter knows. ruff, its formatter and mypy run in `make check`."""

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("app", "tests", "bench", "scripts", "examples")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
LONGEST_FILE = 400

# Where any exception is caught on purpose. Each place says its reason beside the `except`.
BROAD_EXCEPTS = {
    ("app/monitoring/alerts/standby.py", "_deliver"),
    ("app/queue/execute.py", "_run"),
    ("app/queue/execute.py", "execute"),
    ("app/queue/loops.py", "supervise"),
    ("app/queue/record.py", "traceback_of"),
    ("app/queue/strategy.py", "ask"),
    ("app/queue/threads.py", "_serve"),
    ("app/retry/classify.py", "classify"),
    ("app/retry/look.py", "attempt"),
    ("app/telemetry.py", "emit"),
    ("tests/retry/corpus/case.py", "provoke"),
}

# A silenced rule, and words that say why: `noqa: X1 - because …`, `type: ignore[x]  # because …`.
SILENCED = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma|ruff:\s*noqa|mypy:)", re.IGNORECASE)
REASONED = re.compile(r"(?:noqa: [A-Z]+\d+(?:, ?[A-Z]+\d+)*\b|ignore\[[\w, -]+\]\s*#)\W+(?![A-Z]+\d)\w")

# Written so that this file passes its own search; a job's status of that name follows a dot.
UNFINISHED = re.compile(r"(?<!\.)\bT[O]DO\b|\bF[I]XME|raise N[o]tImpl")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def source(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text(encoding="utf-8")


def comments(path: Path) -> Iterator[tokenize.TokenInfo]:
    """Yield the comments of a Python file."""
    tokens = tokenize.generate_tokens(io.StringIO(source(path)).readline)
    return (token for token in tokens if token.type == tokenize.COMMENT)


def functions(path: Path) -> Iterator[Function]:
    """Yield every function of a Python file."""
    return (node for node in ast.walk(ast.parse(source(path))) if isinstance(node, Function))


def length(function: Function) -> int:
    """Return a function's lines as written, without decorators and docstring."""
    text = ast.get_docstring(function, clean=False)
    said = len(text.splitlines()) if text is not None else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - said


def names_everything(node: ast.expr | None) -> bool:
    """Whether an `except` or `suppress` names Exception or BaseException, or nothing at all."""
    if node is None:
        return True
    return any(isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"} for name in ast.walk(node))


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether a handler only cleans up, and lets what it caught go on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def broad_handlers(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Yield handlers that catch everything and keep it, with the name of the function around them."""
    for node in ast.iter_child_nodes(tree):
        inner = node.name if isinstance(node, Function) else function
        if isinstance(node, ast.ExceptHandler) and names_everything(node.type) and not raises_again(node):
            yield inner, node
        yield from broad_handlers(node, inner)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_file_length(path: Path):
    """A file is read in one sitting."""
    assert len(source(path).splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_silenced_rules_have_reasons(path: Path):
    """Whoever silences a linter says why, on the same line."""
    bare = [token for token in comments(path) if SILENCED.search(token.string) and not REASONED.search(token.line)]
    assert not bare, f"line {bare[0].start[0]}: {bare[0].string}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_exception_is_swallowed(path: Path):
    """No code catches everything and goes on as if nothing had happened."""
    tree = ast.parse(source(path))
    for _, handler in broad_handlers(tree):
        assert not all(isinstance(node, ast.Pass | ast.Continue) for node in handler.body), f"line {handler.lineno}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            assert not any(map(names_everything, node.args)), f"line {node.lineno}"


def test_broad_excepts_are_known():
    """Everything is caught only in the places that are listed here, and each of them still exists."""
    found = {
        (name, function)
        for path, name in zip(FILES, NAMES, strict=True)
        for function, _ in broad_handlers(ast.parse(source(path)))
    }
    assert found == BROAD_EXCEPTS


def test_nothing_is_left_unfinished():
    """No file says that something is still to be done."""
    texts = [*FILES, *(ROOT / "sql").rglob("*.sql"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    assert not [str(path) for path in texts if UNFINISHED.search(source(path))]


def test_migrations_are_numbered_without_gaps():
    """Migrations are NNNN_verb_noun.sql, from 0001 on."""
    names = sorted(path.name for path in (ROOT / "sql" / "migrations").iterdir())
    assert [name[:5] for name in names] == [f"{number:04d}_" for number in range(1, len(names) + 1)]
    assert all(re.fullmatch(r"\d{4}_[a-z]+(_[a-z0-9]+)+\.sql", name) for name in names)


def test_import_contracts():
    """Imports only go down."""
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([program, "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout


def test_report(capsys: pytest.CaptureFixture[str]):
    """Not a gate: the numbers to look at."""
    ours = [path for path in FILES if path.is_relative_to(ROOT / "app")]
    lengths = [length(node) for path in ours for node in functions(path)]
    lines = sum(len(source(path).splitlines()) for path in ours)
    remarks = sum(1 for path in ours for _ in comments(path))
    largest = sorted(ours, key=lambda path: -len(source(path).splitlines()))[:3]
    with capsys.disabled():
        print(  # noqa: T201 - the report is the purpose.
            f"\napp: {len(ours)} files, {lines} lines, {remarks / lines:.0%} comments · "
            f"{len(lengths)} functions, median {statistics.median(lengths):.0f} lines, "
            f"p90 {statistics.quantiles(lengths, n=10)[-1]:.0f} · largest: "
            + ", ".join(f"{path.relative_to(ROOT)} {len(source(path).splitlines())}" for path in largest)
        )
