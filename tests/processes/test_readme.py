"""The README's own examples, as somebody who follows it would run them."""

import json
import re
import shlex

import httpx

from ..eventually import eventually_sync
from ..tasks.receiver import Reply, receiver
from .programs import AFRESH, ROOT, Project
from .test_up import ready


def test_the_example_of_a_task_runs(project: Project, database_url: str):
    """The module of the README, named as it says and asked for with its curl line, does its work."""
    chapter = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Write your own task\n")[2]
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
    with httpx.Client(base_url=address, trust_env=False) as client:
        job = client.post(path, json=json.loads(words[-1])).raise_for_status().json()
        eventually_sync(lambda: client.get(f"/jobs/{job['job_id']}").json()["state"] == "succeeded")
        assert client.get(f"/jobs/{job['job_id']}").json()["result"] == 3.5


def test_a_webhook_is_delivered(project: Project, database_url: str):
    """With the settings of the README, its curl line is one delivery however often it is sent, signed and kept."""
    chapter = (ROOT / "README.md").read_text(encoding="utf-8").partition("without any Python\n")[2]
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
        with httpx.Client(base_url=address, trust_env=False, headers=headers) as client:
            jobs = {client.post(path, content=words[-1]).raise_for_status().json()["job_id"] for _ in range(2)}
            (job,) = jobs
            eventually_sync(lambda: client.get(f"/jobs/{job}").json()["state"] == "succeeded", within=30)
            assert client.get(f"/jobs/{job}").json()["result"]["body"] == "thanks"
    first, second = host.requests
    assert (first.path, json.loads(first.body)) == ("/orders", {"order": 7, "paid": True})
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert second.headers["webhook-signature"].startswith("v1,")
