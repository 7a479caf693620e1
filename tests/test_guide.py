"""What the guide says in tables is what the code does, and its commands and code are valid."""

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


@pytest.mark.parametrize("arguments", commands("failures.md"))
def test_the_commands_about_failures(arguments: str):
    """The commands that the guide to failures shows do what they are shown for."""
    command = [sys.executable, "-m", "app", *shlex.split(arguments)]
    run = subprocess.run(command, cwd=GUIDE.parents[1], timeout=60, check=False)
    assert run.returncode == 0


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
