"""What the guide says that policies do in each story is what they do in the code as it is.

Three stories, each over in seconds, are played at every run, ours on a ramp in two of them. All of them take a minute:
`SIMULATE_LONG=1`, as before a change of the breaker lands.
"""

import os
import re
from pathlib import Path

import pytest

from app.retry.simulate.run import compared
from app.retry.simulate.scenario import Scenario, all_scenarios
from app.retry.simulate.table import head, markdown

LONG = bool(os.environ.get("SIMULATE_LONG"))
ALWAYS = {"failover", "rate limited", "revoked key"}

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "dependencies.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- simulation -->\n")[2].partition("<!-- /simulation -->")[0].splitlines()
HEAD = 2
PLAYED = [each for each in all_scenarios() if LONG or each.name in ALWAYS]


def test_every_story_is_published():
    """The table has a row for each policy in each story, in the order in which they are played."""
    rows = len(all_scenarios()) * 4
    assert TABLE[:HEAD] == head().splitlines()
    assert len(TABLE) == HEAD + rows
    stories = [re.split(r" *\| *", line)[1] for line in TABLE[HEAD:]]
    assert [each for each in stories if each] == [each.name for each in all_scenarios()]


@pytest.mark.parametrize("scenario", PLAYED, ids=[each.name for each in PLAYED])
def test_what_is_published_is_what_is_played(scenario: Scenario):
    """Every cell is the present code's, those that ours loses too."""
    (played,) = compared([scenario], seed=1)
    first = next(number for number, line in enumerate(TABLE) if line.startswith(f"| {scenario.name} |"))
    assert TABLE[first : first + len(played.outcomes)] == list(markdown(played))
