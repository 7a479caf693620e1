"""The real Prometheus, over a real worker and a real API: what we serve, our rules, and every query we show."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from ..eventually import eventually_sync
from ..ports import free_port
from ..servers import Server
from .programs import AFRESH, ROOT, UVICORN, answers, project_in

pytestmark = [
    pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus is not installed"),
    pytest.mark.timeout(180),
]

DEPLOY = ROOT / "deploy"
RULES = sorted((DEPLOY / "prometheus").glob("*.yml"))
GUIDE = ROOT / "docs" / "guide" / "monitoring.md"
TOKEN = "a-token-for-metrics"  # noqa: S105 - of these tests alone.
ADMIN = "the-bootstrap-key"

TASKS = '''
"""Tasks that succeed, fail, retry and go on for ever."""
import asyncio
from datetime import timedelta
from app.queue.task import preset, task

@task(name="watched.work", task_type="report", queue="watched")
async def work() -> None:
    await asyncio.sleep(1.1)

SOON = preset("lightweight", initial_delay=timedelta(seconds=0.1))

@task(name="watched.fail", task_type="email", queue="watched", retry=SOON)
async def fail(how: str) -> None:
    raise {"reset": ConnectionResetError, "value": ValueError}[how]("no luck")

@task(name="watched.flaky", queue="watched", pass_context=True, retry=SOON)
async def flaky(context) -> None:
    if context.job.attempts == 0:
        raise ConnectionResetError("once")

@task(name="watched.long", queue="watched")
async def long() -> None:
    await asyncio.sleep(600)
'''
WAVE = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args)
    SELECT 'watched', task, args::jsonb
    FROM (VALUES ('watched.work', '{}'), ('watched.work', '{}'), ('watched.flaky', '{}'),
                 ('watched.fail', '{"how": "reset"}'), ('watched.fail', '{"how": "value"}')) AS wave (task, args)
    WHERE NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status = 'todo')
"""


@dataclass(frozen=True)
class Watched:
    """A running system and the Prometheus that scrapes it.

    Attributes:
        targets: Where the API and the worker serve /metrics.
    """

    prometheus: str
    targets: dict[str, str]
    conn: psycopg.Connection[Any]

    def wave(self) -> None:
        """Put in some more jobs, unless there are some."""
        self.conn.execute(WAVE)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What an instant query finds."""
        answer = httpx.get(
            f"{self.prometheus}/api/v1/query", params={"query": query}, trust_env=False, timeout=30
        ).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def values(self, query: str, label: str) -> dict[str, float]:
        """The numbers that a query finds, by one label."""
        return {each["metric"].get(label, ""): float(each["value"][1]) for each in self.ask(query)}

    def eventually(self, query: str, label: str, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """What a query finds once that holds, while more and more jobs come."""

        def look() -> dict[str, float]:
            self.wave()
            found = self.values(query, label)
            return found if holds(found) else {}

        return eventually_sync(look, within=40)


def configuration(folder: Path, targets: dict[str, str]) -> Path:
    """The configuration of deploy/ as it is, but for names that only Compose knows, and the pace."""
    shutil.copytree(DEPLOY / "prometheus", folder, dirs_exist_ok=True)
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    text = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))
    text["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in text["scrape_configs"]:
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(folder / "token")
        if job["job_name"] in targets:
            job.pop("dns_sd_configs", None)
            job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(text), encoding="utf-8")
    return folder / "prometheus.yml"


@pytest.fixture(scope="module")
def watched(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A worker and an API at work, with keys, and Prometheus that asks them every second."""
    name = f"afresh_watched_{os.getpid()}"
    url = server.create(name, template=template)
    targets = {each: f"127.0.0.1:{free_port()}" for each in ("afresh-api", "afresh-worker", "prometheus")}
    ports = {each: target.rpartition(":")[2] for each, target in targets.items()}
    with project_in(tmp_path_factory.mktemp("watched")) as project, psycopg.connect(url, autocommit=True) as conn:
        project.write_module("watched_tasks", TASKS)
        project.write_env(
            DATABASE_URL=url, TASK_MODULES="watched_tasks", ADMIN_API_KEY=ADMIN, METRICS_TOKEN=TOKEN, LOG_FORMAT="json"
        )
        config = configuration(project.folder / "prometheus", targets)
        project.start(*AFRESH, "worker", WORKER_METRICS_PORT=ports["afresh-worker"])
        project.start(*UVICORN, "--port", ports["afresh-api"])
        project.start(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={project.folder / 'data'}",
            f"--web.listen-address={targets['prometheus']}",
        )
        conn.execute("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('watched', 'watched.long')")
        running = Watched(f"http://{targets['prometheus']}", targets, conn)
        eventually_sync(lambda: answers(f"{running.prometheus}/-/ready"), within=30)
        eventually_sync(lambda: set(running.values("up", "job").items()) >= {(each, 1.0) for each in targets}, 40)
        yield running
    server.drop(name)


def promtool(*arguments: str | Path, given: str | None = None) -> str:
    """Run promtool; what it says, where it finds fault with nothing."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def questions() -> dict[str, str]:
    """The queries of the guide, by the words in front of them."""
    text = GUIDE.read_text(encoding="utf-8")
    return dict(re.findall(r"^\*\*(.+?)\*\*[^`]*?^```promql\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def panels() -> dict[str, str]:
    """The queries of the dashboard, with what Grafana puts into them."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "afresh.json").read_text(encoding="utf-8"))
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m").replace("$task", ".*")
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }


@pytest.mark.parametrize("who", ["afresh-api", "afresh-worker"])
def test_what_is_served_is_well_formed(watched: Watched, who: str):
    """What the API and a worker serve gives promtool no cause to complain."""
    answer = httpx.get(
        f"http://{watched.targets[who]}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
    )
    assert answer.status_code == 200
    assert promtool("check", "metrics", given=answer.text) == ""


def test_success_rate(watched: Watched):
    """The success rate by task tells those that always succeed, never, and now and then."""
    found = watched.eventually(
        questions()["Success rate by task"],
        "task_name",
        lambda rates: 0 < rates.get("watched.flaky", 0) < 1 and {"watched.work", "watched.fail"} <= rates.keys(),
    )
    assert (found["watched.work"], found["watched.fail"]) == (1, 0)


def test_durations(watched: Watched):
    """The p95 of a task that takes 1.1 s lies in the bucket around it; a task of which no job has ended has none."""
    found = watched.eventually(
        questions()["p95 of the duration by task"], "task_name", lambda p95: p95.get("watched.work", 0) > 0
    )
    assert 1 < found["watched.work"] <= 2.5
    assert "watched.long" not in found or found["watched.long"] != found["watched.long"]  # Not a number: none ended.


def test_failures(watched: Watched):
    """Failures are told by the exception, each with a rate of its own."""
    found = watched.eventually(
        questions()["Failures by error type"],
        "error_type",
        lambda rates: rates.get("ConnectionResetError", 0) > 0 and rates.get("ValueError", 0) > 0,
    )
    assert found["ConnectionResetError"] > found["ValueError"]  # It is worth retries, and so fails more often.


def test_retries(watched: Watched):
    """Retries are told by task, and a task without has none."""
    found = watched.eventually(
        questions()["Retry rate by task"], "task_name", lambda rates: rates.get("watched.flaky", 0) > 0
    )
    assert found["watched.work"] == 0


def test_active(watched: Watched):
    """What runs at this moment is told by task, as long as it runs."""
    found = watched.eventually(
        questions()["Active tasks"], "task_name", lambda active: active.get("watched.long", 0) == 1
    )
    assert found["watched.long"] == 1


def test_the_guide_has_five_questions():
    """Each query of the guide is asked by a test above."""
    assert len(questions()) == 5


@pytest.mark.parametrize("title", panels())
def test_dashboard(watched: Watched, title: str):
    """Every query of the dashboard is understood; so it is for one task, as a person may choose."""
    watched.ask(panels()[title])
    watched.ask(panels()[title].replace('task_name=~".*"', 'task_name=~"watched.work"'))


SILENT = {"Breakers that are not closed A", "Retry budget left, by dependency A", "Snoozes by reason A"}
"""Nothing of the kind happens here."""


def test_dashboard_shows_something(watched: Watched):
    """While a system works, no panel of the dashboard is empty that has something to show."""
    for title in panels().keys() - SILENT:

        def shown(title: str = title) -> bool:
            watched.wave()
            return bool(watched.ask(panels()[title]))

        eventually_sync(shown, within=40)


EVALUATE = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args)
    VALUES ('monitoring', 'app.tasks.monitoring.evaluate_alerts', '{"timestamp": 0}')
"""


def firing(watched: Watched) -> set[str]:
    """Names of the alerts that fire in Prometheus."""
    answer = httpx.get(f"{watched.prometheus}/api/v1/alerts", trust_env=False, timeout=30).json()
    return {each["labels"]["alertname"] for each in answer["data"]["alerts"] if each["state"] == "firing"}


def of_the_api(watched: Watched, method: str, path: str, **body: Any) -> Any:
    """What the API answers to its administrator."""
    url, key = f"http://{watched.targets['afresh-api']}{path}", {"Authorization": f"Bearer {ADMIN}"}
    answer = httpx.request(method, url, headers=key, json=body or None, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_rule_fires(watched: Watched):
    """What opens an alert of ours fires in Prometheus, too, and is silent there during a maintenance window."""
    watched.eventually('afresh_failure_groups{status="new"}', "status", lambda groups: groups.get("new", 0) > 0)
    watched.conn.execute(EVALUATE)
    eventually_sync(lambda: "AfreshFailureGroup" in firing(watched), within=40)
    eventually_sync(
        lambda: of_the_api(watched, "GET", "/monitoring/alerts?state=open&rule=failure-group")["items"], within=40
    )
    of_the_api(watched, "POST", "/monitoring/stop", duration="1h", reason="a test")
    eventually_sync(lambda: not firing(watched), within=40)
    of_the_api(watched, "POST", "/monitoring/start", reason="it is over")
    watched.wave()
    eventually_sync(lambda: "AfreshFailureGroup" in firing(watched), within=60)


def test_recorded(watched: Watched):
    """What the recording rules work out is there to be asked for."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "recording.yml").read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        watched.eventually(rule["record"], "task_name", bool)


def test_configuration(tmp_path: Path):
    """Neither the configuration nor the rules that it names have a fault that promtool finds."""
    config = configuration(tmp_path / "prometheus", {})
    promtool("check", "config", config)


@pytest.mark.parametrize("path", [path for path in RULES if path.name != "prometheus.yml"], ids=lambda path: path.name)
def test_rules(path: Path):
    """The rules have no fault that promtool finds."""
    promtool("check", "rules", path)


def test_recording_rules():
    """The recording rules make of known counters what they should."""
    promtool("test", "rules", Path(__file__).with_name("recording_rules.yml"))
