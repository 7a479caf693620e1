"""Images as the Dockerfiles lay them out, without what builds them: their files in a folder, their command there."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ..test_guide import GUIDE
from .programs import ROOT, project_in
from .rows import defer, job

pytestmark = pytest.mark.anyio


def lay_out(dockerfile: str, context: Path, folder: Path) -> None:
    """Do what the lines COPY say; the working directory of the image is `folder`."""
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", dockerfile, re.MULTILINE):
        if (context / source).is_dir():
            shutil.copytree(context / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(context / source, folder / target)


async def test_tasks_of_ones_own_run_in_the_image(
    tmp_path: Path, database_url: str, conn: psycopg.AsyncConnection[Any]
):
    """README's task, put into an image by the lines of the guide, is run by the command of ours."""
    ours = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    guide = (GUIDE / "deployment.md").read_text(encoding="utf-8")
    theirs = re.findall(r"^```dockerfile\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)[0]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Write your own task\n")[2]
    example = re.search(r"`(\w+\.py)`.*?```python\n(.*?)```", readme, re.DOTALL)
    assert example
    shop, image = tmp_path / "shop", tmp_path / "image"
    shop.mkdir()
    image.mkdir()
    (shop / example[1]).write_text(example[2], encoding="utf-8")
    lay_out(ours, ROOT, image)
    lay_out(theirs, shop, image)
    (command,) = re.findall(r"^CMD (.*)$", ours, re.MULTILINE)
    python, *arguments = json.loads(command)
    assert (python, theirs.splitlines()[0]) == ("python", "FROM afresh-base")
    settings = dict(re.findall(r"^ENV (\w+)=(\w+)$", theirs, re.MULTILINE))
    job_id = await defer(conn, "shop.add_up", "orders", prices=[1.5, 2])
    with project_in(image) as project:
        code, text = project.run(
            *(sys.executable, *arguments, "--queues=orders", "--one-shot"),
            DATABASE_URL=database_url,
            PYTHONPATH="",
            **settings,
        )
    assert code == 0, text
    assert (await job(conn, job_id))["result"] == 3.5
