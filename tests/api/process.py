"""The server as people start it: a real process, a real socket."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..eventually import eventually_sync

UVICORN = [sys.executable, "-m", "uvicorn", "app.api.main:app", "--port", "0", "--log-level", "info"]
ROOT = Path(__file__).parents[2]


def environment(**changed: str) -> dict[str, str]:
    """This process's, with some settings; a DATABASE_URL is among them."""
    return os.environ | {"PYTHONUNBUFFERED": "1"} | changed


@contextmanager
def running(log: Path, **settings: str) -> Iterator[str]:
    """A server process; its address."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            UVICORN, cwd=ROOT, env=environment(**settings), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        started = re.compile(r"running on (http://\S+)")
        address = eventually_sync(lambda: started.search(log.read_text()) or process.poll() is not None, within=60)
        assert isinstance(address, re.Match), log.read_text()
        yield address[1]
    finally:
        process.terminate()
        process.wait(timeout=40)


def refused(*options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A server process that should not start."""
    return subprocess.run(
        [*UVICORN, *options],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
