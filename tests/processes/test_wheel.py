"""The package as strangers get it: built, installed into an empty environment, and at work under its own name."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

JOBS = """
from afresh.queue.task import task


@task(name="mycompany.greet")
async def greet(who: str) -> str:
    return f"hello {who}"
"""


def run(*command: str | Path, cwd: Path, **settings: str) -> str:
    """Run a program to its end and return what it printed."""
    kept = {name: each for name, each in os.environ.items() if not name.startswith(("PG", "PYTHON"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m build` makes: of the source archive, so that this too holds all that is needed."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_what_it_needs(wheel: Path):
    """Code, SQL, templates and what pages load are in it, under the project's name; nothing of the tests."""
    assert f"COPY {wheel.name} /tmp/\n" in (ROOT / "docs" / "guide" / "deployment.md").read_text(encoding="utf-8")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"afresh"}
    own = {path.relative_to(ROOT / "app") for path in (ROOT / "app").rglob("*") if path.is_file()}
    sql = {path.relative_to(ROOT) for path in (ROOT / "sql").rglob("*") if path.is_file()}
    expected = {f"afresh/{path}" for path in own | sql if "__pycache__" not in path.parts}
    assert {name for name in names if ".dist-info" not in name} == expected


def interpreter(version: str) -> str | None:
    """The program of a version of Python, where there is one; a version manager's stand-in may lead nowhere."""
    if version == RUNNING:
        return sys.executable
    places: list[str | Path | None] = [
        shutil.which(f"python{version}"),
        *Path.home().glob(f".pyenv/versions/{version}.*/bin/python"),
    ]
    for found in filter(None, places):
        tried = subprocess.run([str(found), "-c", "import ensurepip, venv"], capture_output=True, check=False)
        if tried.returncode == 0:
            return str(found)
    return None


NETWORK_IS_AWAY = re.compile(r"error sending request|dns error|timed out|connection reset", re.IGNORECASE)
"""What uv says where nothing answers; where something does, whatever it says, the package is at fault."""


def install(python: Path, version: str, wheel: Path) -> None:
    """Install by the README's own command for the Python that runs the tests, and for others the wheel, by uv."""
    if version == RUNNING:
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT, cwd=python.parent)
        return
    installing = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), str(wheel)]
    installed = subprocess.run(installing, cwd=python.parent, capture_output=True, text=True, check=False)
    if installed.returncode and NETWORK_IS_AWAY.search(installed.stderr):
        pytest.skip(f"the packages that it needs cannot be fetched: {installed.stderr.strip()[-200:]}")
    assert installed.returncode == 0, installed.stderr


@pytest.mark.timeout(400)
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_installed_it_runs_a_job(wheel: Path, database_url: str, tmp_path: Path, version: str):
    """In an environment with nothing but the package, each program runs a user's task from the folder it starts in."""
    if (base := interpreter(version)) is None:
        pytest.skip(f"there is no Python {version} here")
    python = tmp_path / "venv" / "bin" / "python"
    run(base, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    install(python, version, wheel)
    (tmp_path / "mycompany").mkdir()
    (tmp_path / "mycompany" / "jobs.py").write_text(JOBS, encoding="utf-8")
    settings = {"DATABASE_URL": database_url, "TASK_MODULES": "mycompany.jobs"}
    afresh = python.with_name("afresh")
    assert "afresh" in run(afresh, "--help", cwd=tmp_path)
    run(python, "-m", "afresh", "migrate", cwd=tmp_path, **settings)
    procrastinate: tuple[str | Path, ...] = (python.with_name("procrastinate"), "--app=afresh.queue.app.app")
    for who, program in (("world", procrastinate), ("moon", (afresh,))):
        run(*procrastinate, "defer", "mycompany.greet", f'{{"who": "{who}"}}', cwd=tmp_path, **settings)
        run(*program, "worker", "--queues=default", "--one-shot", cwd=tmp_path, **settings)
    with psycopg.connect(database_url) as conn:
        done = conn.execute("SELECT state, result FROM afresh.jobs WHERE task_name = 'mycompany.greet' ORDER BY id")
        assert done.fetchall() == [("succeeded", "hello world"), ("succeeded", "hello moon")]
