"""The example of a webhook deliverer, as somebody runs it."""

import sys

from .programs import Project


def test_it_delivers(project: Project, database_url: str):
    """It tells of two refusals, each with the wait that was asked for, and then of the delivery."""
    code, text = project.run(sys.executable, "-m", "examples.webhook_deliverer", within=60, DATABASE_URL=database_url)
    assert code == 0, text
    first, second, third, last = text.splitlines()
    for number, line in enumerate((first, second), 1):
        assert line.startswith(f"attempt {number} failed. EXTERNAL_API_DOWN")
        assert "retry-after 1 s is the floor" in line
    assert third.startswith("attempt 3 succeeded.")
    assert " succeeded: " in last
    assert '"status": 200' in last
