"""The demo as a person watches it, at a pipe."""

import re

from .programs import AFRESH, Project


def test_the_demo_tells_its_story(project: Project, database_url: str):
    """Without a terminal and without internet, the demo ends by itself and shows what became of each job, and why."""
    code, text = project.run(*AFRESH, "demo", within=60, DATABASE_URL=database_url)
    assert code == 0, text
    assert "9 succeeded, 7 of them not at once, and 3 are dead letters" in text
    for reason in (
        "retry-after 3 s is the floor",
        "waits without",
        "PERMANENT_NOT_FOUND",
        "all 3 retries spent",
        "TRANSIENT_TIMEOUT",
        "TRANSIENT_NETWORK",
    ):
        assert reason in text
    assert re.search(r"jobs show \d+", text)
    assert "Traceback" not in text
