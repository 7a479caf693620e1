"""What the guide says in tables is what the code does, and its commands and code are valid."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.cli.joke_server import JokeServer
from app.config import default_settings, read_settings
from app.monitoring.alerts.rule import Level, Rule, Severity
from app.monitoring.alerts.rules import BREAKER_OPEN, WORKER_LOST, WORKER_OVERLOADED, rules
from app.queue.decide import engine
from app.queue.submit import Submission, submit
from app.retry.backoff import Backoff
from app.retry.failure import FailureType
from app.retry.policy import RetryPolicy
from app.retry.presets import COMPLEX, CRITICAL, LIGHTWEIGHT, STANDARD, default_policies
from app.retry.taxonomy import TAXONOMY
from app.retry.words import duration

from .api.process import running
from .application import run_waiting_jobs, serving, settings_for
from .queue.workers import working

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
PATHS = json.loads((GUIDE.parent / "openapi.json").read_text(encoding="utf-8"))["paths"]
OPERATIONS = {f"{method.upper()} {path}" for path, operations in PATHS.items() for method in operations}
HERE = "http://127.0.0.1:8000"
RUN = ("http.md", "failure-groups.md", "retention.md", "progress.md")
"""Pages that are run from top to bottom, each on a server of its own."""
RUN_ELSEWHERE = ("translations.md",)
"""Pages that are run by tests of their own, beside what they need."""


def block(page: str, name: str) -> str:
    """The text between ``<!-- name -->`` and ``<!-- /name -->``."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", text, re.DOTALL)
    assert found, f"{page} has no block {name}"
    return found[1]


def waits(policy: RetryPolicy) -> str:
    """The waits of a policy without jitter, or a dash."""
    return ", ".join(duration(policy.wait_seconds(n)) for n in range(1, (policy.max_retries or 0) + 1)) or "—"


def commands(page: str, program: str) -> list[str]:
    """The arguments of each ``$ program …`` in a page's console blocks; a backslash joins two lines."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    joined = [re.sub(r"\\\n\s*", "", each) for each in blocks]
    return [line for each in joined for line in re.findall(rf"^\$ {program} (.*)", each, re.MULTILINE)]


@dataclass(frozen=True)
class Call:
    """A curl of the guide.

    Attributes:
        words: As curl is given them.
        status: Of the answer, as the comment behind says; without one, 200.
        comment: All that stands behind a blank and #.
    """

    words: tuple[str, ...]
    status: str
    comment: str

    @classmethod
    def of(cls, arguments: str) -> "Call":
        """Read a line; what stands behind a blank and # is its comment."""
        given, _, comment = arguments.replace("$API", HERE).partition(" # ")
        said = re.match(r"\d{3}\b", comment)
        return cls(tuple(shlex.split(given)), said[0] if said else "200", comment)

    def is_told(self, answer: str) -> bool:
        """Whether an answer has what the comment shows of it: JSON, in which … stands for anything, or a name."""
        shown = re.search(r"\{.*\}", self.comment)
        names = re.search(r"\bnames ([\w.]+)", self.comment)
        return (shown is None or fits(json.loads(re.sub(r", …(?=[]}])", "", shown[0])), json.loads(answer))) and (
            names is None or names[1] in re.findall(r"[\w.]+", answer)
        )

    @property
    def url(self) -> str:
        """Where it goes."""
        return next(word for word in self.words if word.startswith(HERE))

    @property
    def operation(self) -> str | None:
        """What it asks for, as the OpenAPI file names it: ``POST /tasks/{task}``."""
        posts = "POST" if "-d" in self.words else "GET"
        method = self.words[self.words.index("-X") + 1] if "-X" in self.words else posts
        path = urlsplit(self.url).path
        fitting = [each for each in OPERATIONS if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), f"{method} {path}")]
        return min(fitting, key=lambda each: each.count("{"), default=None)


def fits(shown: Any, answered: Any) -> bool:
    """Whether what is shown is in the answer: some of an object's fields, the first of a list."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        return all(key in answered and fits(value, answered[key]) for key, value in shown.items())
    if isinstance(shown, list) and isinstance(answered, list):
        return len(shown) <= len(answered) and all(map(fits, shown, answered))
    return bool(shown in ("…", answered))


def calls(page: str) -> list[Call]:
    """Every curl of a page."""
    return [Call.of(line) for line in commands(page, "curl")]


def shell_lines(page: str) -> list[str]:
    """Each ``$ …`` in a page's console blocks; where curl gets an error, it ends with one."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for each in blocks for line in re.findall(r"^\$ (.*)", each, re.MULTILINE)]
    python = shlex.quote(sys.executable)
    lines = [re.sub(r"^((?:\w+=\S+ )*)(?:\.venv/bin/)?afresh ", r"\1python -m app ", line) for line in lines]
    return [line.replace("curl -s", "curl -sf").replace("python -m", f"{python} -m") for line in lines]


def shell(line: str, environment: dict[str, str], within: float = 60) -> subprocess.CompletedProcess[str]:
    """Run what a person would type, which ends within so many seconds."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=GUIDE.parents[1],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )


def typed(lines: list[str], address: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run lines in one shell, one after another; what it says on standard error ends with the one that failed."""
    environment = {name: value for name, value in os.environ.items() if name != "API"} | settings
    return shell("\n".join(["set -ex", *lines]).replace(HERE, address), environment, within=110)


def test_the_commands_about_failures():
    """The commands that the guide to failures shows tell what it says they are asked for, in its own words."""
    classified, policies = (shell(line, dict(os.environ)) for line in shell_lines("failures.md") if " -m app " in line)
    assert (classified.returncode, policies.returncode) == (0, 0)
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in block("failures.md", "types").splitlines()[2:]]
    (down,) = (row for row in rows if row[0] == FailureType.EXTERNAL_API_DOWN)
    kind, _, helps, retries, each = down
    assert classified.stdout.startswith(f"{kind}  confidence ")
    assert re.search(rf"^what helps +{helps} *$", classified.stdout, re.MULTILINE)
    told = re.findall(r"^ +\d+  retry +(\d+ \w+)  ", classified.stdout, re.MULTILINE)
    assert (str(len(told)), ", ".join(told)) == (retries, each)
    table = {line.split()[0]: line.split()[1] for line in policies.stdout.splitlines() if line[:1].isupper()}
    assert {name: table.get(name) for name, *_ in rows} == {name: count for name, _, _, count, _ in rows}


def python_blocks(page: str) -> list[str]:
    """What a page shows as Python."""
    return re.findall(r"^```python\n(.*?)^```", (GUIDE / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_settings_about_failures(monkeypatch: pytest.MonkeyPatch):
    """The settings that the guide to failures shows are read, and change what it says."""
    text = (GUIDE / "failures.md").read_text(encoding="utf-8")
    prefix = ""
    for name, value in re.findall(r"`([A-Z0-9_]+)=([\w.=]+)`", text):
        prefix = name.rpartition("__")[0] if name.startswith("POLICY__") else prefix
        monkeypatch.setenv(prefix + name if name.startswith("__") else name, value)
    made = engine(read_settings())
    policy = made.by_type.policies[FailureType.TRANSIENT_NETWORK]
    told = (policy.max_retries, policy.initial_seconds, policy.backoff, policy.max_seconds)
    assert told == (6, 10, Backoff.LINEAR, 3600)
    assert [(rule.name, rule.type) for rule in made.rules] == [
        ("mycompany.errors.Busy", FailureType.TRANSIENT_RESOURCE)
    ]
    assert made.settings.http_500


def test_the_presets():
    """The guide names each preset with its first wait and its retries."""
    text = " ".join((GUIDE / "failures.md").read_text(encoding="utf-8").split())
    first, *others = (LIGHTWEIGHT, STANDARD, COMPLEX, CRITICAL)
    told = [f"`{first.name}` (first wait {duration(first.initial_seconds)}, {first.max_retries} retries)"]
    told += [f"`{each.name}` ({duration(each.initial_seconds)}, {each.max_retries})" for each in others]
    assert f"Presets: {', '.join(told)}, `api` (from the environment)." in text


@pytest.mark.anyio
async def test_the_commands_about_dead_letters(anyio_backend: str, database_url: str, tmp_path: Path):  # noqa: ARG001 - it makes the test async
    """What the page for the night shows, by curl and at the command line, works as it stands, in its order."""
    settings = {"DATABASE_URL": database_url, "TASK_MODULES": "tests.sample_tasks"}
    async with serving(settings_for(database_url)) as (queue, client):
        for number in range(6):
            await client.post("/tasks/fail", json={"args": {"message": f"no luck {number}"}})
        await run_waiting_jobs(queue)
        with running(tmp_path / "log", **settings) as address:
            async with working(queue, queues=["dead_letters"]):
                run = await asyncio.to_thread(typed, shell_lines("dead-letters.md"), address, settings)
            assert run.returncode == 0, run.stdout + run.stderr
        done = (await client.get("/dead-letters/bulk/2")).json()
        assert (done["state"], done["acted"]) == ("done", 2)


@pytest.mark.anyio
async def test_the_commands_about_reports(anyio_backend: str, database_url: str, tmp_path: Path):  # noqa: ARG001 - it makes the test async
    """A report is made, kept and read as its page shows it, in its order."""
    async with serving(settings_for(database_url)) as (queue, _):
        with running(tmp_path / "log", DATABASE_URL=database_url) as address:
            lines = [line.replace("/tmp/report", f"{tmp_path}/report") for line in shell_lines("reports.md")]  # noqa: S108  What the page says, put elsewhere.
            async with working(queue):
                run = await asyncio.to_thread(typed, lines, address, {"DATABASE_URL": database_url})
            assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (tmp_path / "report.csv").read_text(encoding="utf-8").startswith("first_day,last_day,")


def test_the_table_of_types():
    """The guide's table of failure types is made of the taxonomy and the default policies."""
    rows = ["| type | what it means | first helps | retries | waits, without jitter |", "|---|---|---|---|---|"]
    for kind, policy in default_policies().items():
        meaning = TAXONOMY[kind]
        rows.append(f"| {kind} | {meaning.sentence} | {meaning.actions[0]} | {policy.max_retries} | {waits(policy)} |")
    assert block("failures.md", "types") == "\n".join(rows)


def test_the_table_of_alerts():
    """The guide's table of alerts is made of the rules, with the defaults of the settings."""
    rows = ["| rule | is about | warning | critical | what to do |", "|---|---|---|---|---|"]
    for rule in rules(default_settings()):
        found = {level.severity: limit_of(rule, level) for level in rule.levels}
        warning, critical = (found.get(severity, "—") for severity in (Severity.WARNING, Severity.CRITICAL))
        rows.append(f"| {rule.name} | {rule.about} | {warning} | {critical} | {rule.what_to_do} |")
    assert block("alerts.md", "rules") == "\n".join(rows)


def limit_of(rule: Rule, level: Level) -> str:
    """A threshold as a person reads it."""
    if not rule.unit:
        only = {
            BREAKER_OPEN: "critical tasks rely on it",
            WORKER_LOST: "no worker is left",
            WORKER_OVERLOADED: "no worker takes jobs",
        }
        return only[rule.name] if level.severity in rule.only else "if it is so"
    way = "below" if rule.below else "over" if level.opens == round(level.opens) else "at least"
    return f"{way} {level.opens:g} {rule.unit}"


def test_every_operation_has_a_call():
    """Each operation of the OpenAPI file is on a page that is run; a new one has to be written there."""
    assert not OPERATIONS - {call.operation for page in (*RUN, *RUN_ELSEWHERE) for call in calls(page)}


@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.md")), ids=lambda page: page.name)
def test_calls_are_for_operations(page: Path):
    """No page shows a call that the API does not know."""
    assert not [call for call in calls(page.name) if call.operation is None]


@pytest.mark.anyio
@pytest.mark.parametrize("page", RUN)
async def test_a_page_of_calls(database_url: str, tmp_path: Path, page: str):
    """A page of calls, run from top to bottom against a server and a worker, is answered as it says."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    with JokeServer() as jokes:
        settings = settings_for(database_url, joke_api=jokes.url)
        async with serving(settings) as (queue, _):
            async with queue.connection() as conn:  # As on a fresh start: the first job is the worker's own.
                await submit(
                    conn, Submission(task_name="app.tasks.maintenance.retry_stalled_jobs", args={"timestamp": 0})
                )
            with running(tmp_path / "log", DATABASE_URL=database_url) as address:
                async with working(queue):
                    said: dict[str, str] = {}
                    for call in calls(page):
                        given = {HERE: address} | said
                        assert await answer(call, given, tmp_path / "answer") == call.status, call
                        said |= told_by(tmp_path / "answer")


def told_by(answer: Path) -> dict[str, str]:
    """What calls that follow name in capitals, as far as this answer says it."""
    found = re.findall(r'"(fingerprint|token)":"([^"]+)"', answer.read_text(encoding="utf-8"))
    return {name.upper(): value for name, value in found}


async def answer(call: Call, given: dict[str, str], into: Path) -> str:
    """The status that curl is answered with, with what is given in place of its name.

    The rest of the answer is compared here with what the page shows of it.
    """
    words = [re.sub("|".join(map(re.escape, given)), lambda found: given[found[0]], word) for word in call.words]
    curl = [
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "30",
        "--output",
        str(into),
        "--write-out",
        "%{http_code}",
    ]
    process = await asyncio.create_subprocess_exec(*curl, *words, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    said = await asyncio.to_thread(into.read_text, encoding="utf-8")
    assert call.is_told(said), f"{call}\n{said}"
    return told.decode()
