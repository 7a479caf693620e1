"""The README's own examples, as somebody who follows it would run them."""

import json
import os
import re
import shlex

import httpx

from app.cli.joke_server import JokeServer

from ..eventually import eventually_sync
from ..tasks.receiver import Reply, receiver
from ..test_guide import HERE, Call, shell
from .programs import AFRESH, ROOT, Project
from .test_up import ready, state

README = ROOT / "README.md"


def test_try_it(project: Project, database_url: str):
    """Each line of the chapter, typed in its order with the number that the first one answers, does what it says."""
    chapter = README.read_text(encoding="utf-8").partition("## Try it\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\$ (.*)", chapter, re.MULTILINE)
    said, job, status = {}, "2", "%{http_code}"
    with JokeServer() as jokes:
        settings = {"DATABASE_URL": database_url, "API_BASE_URL": jokes.url}
        address = ready(project.start(*AFRESH, "up", API_PORT=0, **settings))
        for line in lines:
            typed = line.replace(HERE, address).replace("/jobs/2", f"/jobs/{job}").replace("show 2", f"show {job}")
            typed = typed.replace(".venv/bin/afresh", shlex.join(AFRESH))
            typed = typed.replace("curl ", f"curl --silent --max-time 30 --write-out '{status}' ")
            done = shell(typed, os.environ | settings)
            assert done.returncode == 0, f"{typed}\n{done.stdout}{done.stderr}"
            said[line] = done.stdout
            if line.startswith("curl"):
                assert done.stdout.endswith(Call.of(line).status), f"{typed}\n{done.stdout}"
            if '"job_id"' in done.stdout and job == "2":
                job = str(json.JSONDecoder().raw_decode(done.stdout)[0]["job_id"])
                await_success(address, int(job))  # A person types more slowly than it runs.
    submitted, _, attempts, events, shown, classified, policies = said.values()
    assert '"state":"ready"' in submitted
    assert '"outcome":"succeeded"' in attempts
    assert "event: end" in events
    assert "succeeded" in shown
    assert "EXTERNAL_API_DOWN" in classified
    assert "PERMANENT_AUTH" in policies


def await_success(address: str, job_id: int) -> None:
    """Wait until a job has succeeded."""
    eventually_sync(lambda: state(address, job_id) == "succeeded")


def test_what_is_made():
    """Each target that it tells to make is one of the Makefile's, and the first does what it says."""
    targets = re.findall(r"(?:`|\$ )make (\w+)", README.read_text(encoding="utf-8"))
    assert targets[:2] == ["run", "demo"]
    for target in targets:
        done = shell(f"make --dry-run {target}", dict(os.environ))
        assert done.returncode == 0, done.stderr
    assert shell("make --dry-run run", dict(os.environ)).stdout.endswith("-m app up\n")


def test_the_numbers():
    """How it compares with plain Procrastinate is what was measured."""
    text = README.read_text(encoding="utf-8")
    measured = (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    times = re.search(r"at concurrency 50, against plain \| ([\d.]+) × .*?≥ 10 kept", measured)
    costs = re.search(r"CPU of the worker per no-op job \| ([\d.]+) ms .* plain ([\d.]+) ms", measured)
    assert times
    assert costs
    assert f"; {float(times[1]) // 5 * 5:g} times its speed in one process" in text
    assert "and ten times is demanded" in text
    assert f"here [{float(costs[1]):.1g} where plain took {float(costs[2]):.2g}]" in text


def test_the_example_of_a_task_runs(project: Project, database_url: str):
    """The module of the README, named as it says and asked for with its curl line, does its work."""
    chapter = README.read_text(encoding="utf-8").partition("## Write your own task\n")[2]
    found = re.search(
        r"`(\w+)\.py`.*?```python\n(.*?)```.*?`(TASK_MODULES)=(\w+)`.*?```console\n(.*?)```", chapter, re.DOTALL
    )
    assert found
    name, source, setting, value, curl = found.groups()
    project.write_module(name, source)
    project.write_env(**{setting: value})
    address = ready(project.start(*AFRESH, "up", API_PORT=0, DATABASE_URL=database_url))
    words = shlex.split(curl)
    path = next(word for word in words if word.startswith("http://")).partition(":8000")[2]
    with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        job = client.post(path, json=json.loads(words[-1])).raise_for_status().json()
        eventually_sync(lambda: client.get(f"/jobs/{job['job_id']}").json()["state"] == "succeeded")
        assert client.get(f"/jobs/{job['job_id']}").json()["result"] == 3.5


def test_a_webhook_is_delivered(project: Project, database_url: str):
    """With the settings of the README, its curl line is one delivery however often it is sent, signed and kept."""
    chapter = README.read_text(encoding="utf-8").partition("without any Python\n")[2]
    found = re.search(r"```sh\n(.*?)```.*?```console\n(.*?)```", chapter, re.DOTALL)
    assert found
    settings = dict(line.split("=", 1) for line in found[1].splitlines())
    with receiver() as host:
        host.will(Reply(503, {"Retry-After": "1"}), Reply(202, body=b"thanks"))
        settings["HTTP_ALLOWED_HOSTS"] = settings["HTTP_ALLOWED_HOSTS"].replace("hooks.example.com", "127.0.0.1")
        project.write_env(
            **settings, HTTP_PRIVATE_NETWORKS="127.0.0.1/32", POLICY__EXTERNAL_API_DOWN__INITIAL_DELAY="1s"
        )
        address = ready(project.start(*AFRESH, "up", API_PORT=0, DATABASE_URL=database_url))
        words = shlex.split(found[2].replace("https://hooks.example.com", host.url))
        path = next(word for word in words if word.startswith("http://")).partition(":8000")[2]
        headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
        with httpx.Client(base_url=address, trust_env=False, timeout=30, headers=headers) as client:
            jobs = {client.post(path, content=words[-1]).raise_for_status().json()["job_id"] for _ in range(2)}
            (job,) = jobs
            eventually_sync(lambda: client.get(f"/jobs/{job}").json()["state"] == "succeeded", within=30)
            assert client.get(f"/jobs/{job}").json()["result"]["body"] == "thanks"
    first, second = host.requests
    assert (first.path, json.loads(first.body)) == ("/orders", {"order": 7, "paid": True})
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert second.headers["webhook-signature"].startswith("v1,")
