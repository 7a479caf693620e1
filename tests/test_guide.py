"""What the guide says in tables is what the code does, and its commands and code are valid."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.retry.policy import RetryPolicy
from app.retry.presets import default_policies
from app.retry.taxonomy import TAXONOMY
from app.retry.words import duration

from .api.process import running
from .application import run_waiting_jobs, serving, settings_for
from .queue.workers import working

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


def block(page: str, name: str) -> str:
    """The text between ``<!-- name -->`` and ``<!-- /name -->``."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", text, re.DOTALL)
    assert found, f"{page} has no block {name}"
    return found[1]


def waits(policy: RetryPolicy) -> str:
    """The waits of a policy without jitter, or a dash."""
    return ", ".join(duration(policy.wait_seconds(n)) for n in range(1, (policy.max_retries or 0) + 1)) or "—"


def commands(page: str) -> list[str]:
    """The arguments of each ``$ python -m app …`` in a page's console blocks."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for each in blocks for line in re.findall(r"^\$ python -m app (.*)", each, re.MULTILINE)]


def shell_lines(page: str) -> list[str]:
    """Each ``$ …`` in a page's console blocks; where curl gets an error, it ends with one."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for each in blocks for line in re.findall(r"^\$ (.*)", each, re.MULTILINE)]
    python = shlex.quote(sys.executable)
    return [line.replace("curl -s", "curl -sf").replace("python -m", f"{python} -m") for line in lines]


def shell(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run what a person would type."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=GUIDE.parents[1],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", commands("failures.md"))
def test_the_commands_about_failures(arguments: str):
    """The commands that the guide to failures shows do what they are shown for."""
    command = [sys.executable, "-m", "app", *shlex.split(arguments)]
    run = subprocess.run(command, cwd=GUIDE.parents[1], timeout=60, check=False)
    assert run.returncode == 0


@pytest.mark.anyio
async def test_the_commands_about_dead_letters(anyio_backend: str, database_url: str, tmp_path: Path):  # noqa: ARG001 - it makes the test async
    """What the page for the night shows, by curl and at the command line, works as it stands, in its order."""
    settings = {"DATABASE_URL": database_url, "TASK_MODULES": "tests.sample_tasks"}
    async with serving(settings_for(database_url)) as (queue, client):
        for number in range(5):
            await client.post("/tasks/fail", json={"args": {"message": f"no luck {number}"}})
        await run_waiting_jobs(queue)
        with running(tmp_path / "log", **settings) as address:
            environment = os.environ | settings | {"API": address}
            async with working(queue, queues=["dead_letters"]):
                for line in shell_lines("dead-letters.md"):
                    run = await asyncio.to_thread(shell, line, environment)
                    assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
        done = (await client.get("/dead-letters/bulk/2")).json()
        assert (done["state"], done["acted"]) == ("done", 2)


@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.md")), ids=lambda page: page.name)
def test_the_code_is_python(page: Path):
    """What the guide shows as Python is Python."""
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        compile(code, page.name, "exec")


def test_the_table_of_types():
    """The guide's table of failure types is made of the taxonomy and the default policies."""
    rows = ["| type | what it means | first helps | retries | waits, without jitter |", "|---|---|---|---|---|"]
    for kind, policy in default_policies().items():
        meaning = TAXONOMY[kind]
        rows.append(f"| {kind} | {meaning.sentence} | {meaning.actions[0]} | {policy.max_retries} | {waits(policy)} |")
    assert block("failures.md", "types") == "\n".join(rows)
