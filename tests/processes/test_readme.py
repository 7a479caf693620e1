"""The README's own example, as somebody who follows it would run it."""

import json
import re
import shlex

import httpx

from ..eventually import eventually_sync
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
