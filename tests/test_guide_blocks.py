"""The page about the command line, and what other pages show as SQL, Python and curl and no test of theirs runs."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer.main

from app.__main__ import cli
from app.config import example, page

from .api.process import running
from .test_guide import HERE, block, calls, python_blocks, shell, shell_lines
from .test_guide_operations import ROOT, blocks, run_sql
from .test_guide_testing import FILES
from .test_guide_testing import PAGE as TESTING

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN_ELSEWHERE = {"procrastinate.md", "tasks.md", "testing.md"}
"""Pages whose Python is files of a project, which tests of their own make."""

SOUND = """[mypy]
check_untyped_defs = true
strict_optional = false
disable_error_code = empty-body
follow_imports = silent
"""
"""What mypy holds the pages' Python to: less than ours, as an example leaves out types, bodies and asking for None."""
TYPED = re.compile(r"(\S*/)?(afresh|curl|make|pip|psql|python3?|uvicorn)\s")
"""A command that runs without Docker and without a cluster, as it is typed."""

CALLED_ANYWHERE = ("alerts.md", "dependencies.md", "failures.md", "monitoring.md")
"""Pages whose calls need nothing to have happened before."""


def rows(command: Any, path: str) -> Iterator[str]:
    """A row for each command, as its help begins."""
    for name, each in getattr(command, "commands", {}).items():
        yield from rows(each, f"{path} {name}")
    if not hasattr(command, "commands"):
        first, _, _ = (command.help or "").partition("\n\n")
        yield f"| `{path}` | {' '.join(first.split())} |"


def test_the_table_of_commands():
    """The page names every command, and says of each what `--help` says."""
    head = ["| command | does |", "|---|---|"]
    assert block("commands.md", "commands") == "\n".join([*head, *rows(typer.main.get_command(cli), "afresh")])


def test_the_page_of_settings():
    """It is made of the code: each line of `.env.example` has its row, with its default."""
    text = (ROOT / "docs" / "guide" / "settings.md").read_text(encoding="utf-8")
    assert text == page.render()
    shown = re.findall(r"^\| `(\w+)` \| (?:`([^|`]*)`)? \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert sorted(shown) == sorted(re.findall(r"^#(\w+)=(.*)$", example.render(), re.MULTILINE))


def test_the_program_has_one_name():
    """What the pages show at a prompt calls the program as it is installed, and the same everywhere."""
    shown = [line for page in PAGES for line in re.findall(r"^\$ .*", page.read_text(encoding="utf-8"), re.MULTILINE)]
    assert not [line for line in shown if "-m app " in line]
    assert [line for line in shown if "afresh " in line]


def test_every_query(database_url: str):
    """What the pages show as SQL is answered."""
    shown = [statements for page in PAGES for statements in blocks(str(page), "sql")]
    assert sum(run_sql(database_url, statements) for statements in shown) >= len(shown) > 0


@pytest.mark.parametrize("view", ["jobs", "attempts"])
def test_the_columns(database_url: str, view: str):
    """The page about SQL has each column of a view, in their order, with its type."""
    query = """
        SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
    """
    with psycopg.connect(database_url) as conn:
        columns = conn.execute(query, [f"afresh.{view}"]).fetchall()
    told = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$", block("sql.md", view), re.MULTILINE)
    assert told == [(name, kind.replace("character varying", "text")) for name, kind in columns]


def test_the_commands_about_sql(database_url: str):
    """What the page about SQL shows at a prompt is answered: a count, and two reports."""
    lines = shell_lines("sql.md")
    said = [shell(line, os.environ | {"DATABASE_URL": database_url}) for line in lines]
    assert [(done.returncode, done.stderr, "rows)" in done.stdout) for done in said] == [(0, "", True)] * 3


def test_every_declaration(tmp_path: Path):
    """What the pages show as Python runs as it stands: tasks are declared, rules made, functions defined."""
    codes = [code for page in PAGES if page.name not in RUN_ELSEWHERE for code in python_blocks(str(page))]
    program = tmp_path / "blocks.py"
    program.write_text("\n".join(f"exec({code!r}, {{'__name__': 'page'}})" for code in codes), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr, len(codes) > 0) == (0, "", True)


def modules(page: Path) -> dict[str, str]:
    """The files that a page's Python makes, by their names; blocks that go on from others are in one with them."""
    codes = python_blocks(str(page))
    if page.name == TESTING:
        return dict(zip(FILES, codes, strict=True))
    if page.name == "procrastinate.md":
        before, tasks, after = codes
        codes = [before + tasks, after + tasks]
    elif page.name in RUN_ELSEWHERE:
        codes = ["".join(codes)]
    return {f"{page.stem.replace('-', '_')}_{number}.py": code for number, code in enumerate(codes)}


def test_bodies_of_functions(request: pytest.FixtureRequest, tmp_path: Path):
    """What the pages show as Python is sound inside of functions as well, which nothing there calls: mypy reads all."""
    for name, code in (each for shown in PAGES for each in modules(shown).items()):
        (tmp_path / name).write_text(code, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(SOUND, encoding="utf-8")
    cache = request.config.cache.mkdir("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", str(cache), "."],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert f"{len(list(tmp_path.glob('*.py')))} source files" in done.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != ROOT], ids=lambda page: page.name)
def test_commands_are_run(page: Path):
    """What is typed stands behind a $, on a page that a test reads; what is not is for Docker or clusters."""
    shown = [each for kind in ("console", "sh", "text") for each in blocks(str(page), kind)]
    assert not [line for each in shown for line in each.splitlines() if TYPED.match(line)]
    assert all(each.startswith("$ ") for each in blocks(str(page), "console"))
    readers = (path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("test_guide*.py")))
    assert not blocks(str(page), "console") or any(f'"{page.name}"' in reader for reader in readers)


def test_calls_anywhere(database_url: str, tmp_path: Path):
    """What these pages show with curl is answered as they say."""
    with running(tmp_path / "log", DATABASE_URL=database_url) as address:
        for call in (each for page in CALLED_ANYWHERE for each in calls(page)):
            words = [word.replace(HERE, address) for word in call.words]
            line = shlex.join(["curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code}", *words])
            assert shell(line, dict(os.environ)).stdout == call.status, call


def test_the_commands_about_dependencies(database_url: str, tmp_path: Path):
    """What the page about dependencies shows at the command line does what it says, its story in the short form."""
    environment = os.environ | {"DATABASE_URL": database_url}
    short = f"simulate --short --out {tmp_path}"
    lines = [line.replace("simulate", short) for line in shell_lines("dependencies.md") if " -m app " in line]
    said = [shell(line, environment) for line in lines]
    assert [done.returncode for done in said] == [0, 0, 2, 0, 0]  # No probe of one that is isolated.
    assert said[2].stderr.startswith("afresh: dependency joke-api is neither open nor held")


def test_the_rules_of_prometheus(tmp_path: Path):
    """The command that the page about alerts shows prints them."""
    (line,) = (line for line in shell_lines("alerts.md") if " -m " in line)
    assert shell(line.replace("alerts.yml", str(tmp_path / "alerts.yml")), dict(os.environ)).returncode == 0
    assert "AfreshErrorRate" in (tmp_path / "alerts.yml").read_text(encoding="utf-8")


def test_a_key(database_url: str, tmp_path: Path):
    """A key is made, used, listed and revoked as the page about access shows it."""
    environment = os.environ | {"DATABASE_URL": database_url}
    create, ask, listing, revoke = shell_lines("access.md")
    made = shell(create, environment)
    with running(tmp_path / "log", DATABASE_URL=database_url) as address:
        asking = ask.replace("afresh_…", made.stdout.strip()).replace(HERE, address)
        assert '"items"' in shell(asking, environment).stdout
    assert made.stderr == "The key of deploy (operator), shown this once:\n"
    assert "deploy" in shell(listing, environment).stdout
    assert shell(revoke, environment).returncode == 0
