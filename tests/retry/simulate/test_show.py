"""What is shown of a simulation."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from app.__main__ import cli
from app.retry.simulate.clients import plain_clients
from app.retry.simulate.outcome import POINTS
from app.retry.simulate.plot import file_name, svg
from app.retry.simulate.run import Comparison, compared
from app.retry.simulate.scenario import all_scenarios, full_outage, short_scenarios, small_scenarios
from app.retry.simulate.table import COLUMNS, PUBLISHED, head, markdown, row
from app.retry.simulate.world import World

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def played() -> Comparison:
    """A small outage under every policy."""
    return next(compared([small_scenarios(200)[0]], seed=1))


def test_series_account_for_every_call(played: Comparison):
    """The series add up to the calls and to the jobs done, in at most as many points as a chart shows."""
    for each in played.outcomes:
        assert sum(each.calls_series) * each.step_seconds == pytest.approx(each.calls, rel=0.01)
        assert sum(each.done_series) * each.step_seconds == pytest.approx(each.done, rel=0.01)
        assert len(each.calls_series) <= POINTS


def test_every_job_is_accounted_for(played: Comparison):
    """Every job is done, dead or waiting."""
    for each in played.outcomes:
        assert each.done + each.dead + each.waiting == each.jobs


def test_the_picture(played: Comparison):
    """The picture is SVG, with a panel for each policy and the outage shaded in each."""
    root = ET.fromstring(svg(played))  # noqa: S314  Our own text.
    assert len(root.findall(f".//{SVG}path")) == len(played.outcomes) == 4
    shaded = [each for each in root.iter(f"{SVG}rect") if each.get("fill") == "#fecaca"]
    assert len(shaded) == 4
    labels = " ".join(each.text or "" for each in root.iter(f"{SVG}text"))
    assert all(each.policy in labels for each in played.outcomes)


def test_the_table(played: Comparison):
    """A row for each policy, as wide as its head; the guide's names the story once and ours in bold."""
    assert all(len(row(each)) == len(COLUMNS) for each in played.outcomes)
    first, *others = markdown(played)
    assert first.startswith("| full outage | **ours** | 0 |")
    assert [each[:5] for each in others] == ["|  | "] * 3
    assert {each.count("|") for each in (*head().splitlines(), first, *others)} == {len(PUBLISHED) + 2}


def test_nothing_is_said_of_a_recovery_that_nobody_saw():
    """Where no call was left by then, there is no peak of theirs, and nobody noticed."""
    buried = World(full_outage(200), plain_clients()[0], 1).play()
    figures = dict(zip(COLUMNS, row(buried), strict=True))
    assert [figures[name] for name in ("peak / capacity", "drained after", "noticed after")] == ["—"] * 3


def test_all_forms_tell_the_same_stories():
    """Long, short and small forms have the same scenarios, whose pictures do not overwrite each other."""
    names = [each.name for each in all_scenarios()]
    assert [each.name for each in short_scenarios()] == [each.name for each in small_scenarios(500)] == names
    assert len({file_name(each) for each in all_scenarios()}) == len(names) == 9


def test_the_command(tmp_path: Path):
    """The command prints the table and draws the picture."""
    result = CliRunner().invoke(cli, ["simulate", "--short", "healthy", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert "exponential, full jitter" in result.stdout
    assert ET.parse(tmp_path / "healthy.svg").getroot().tag == f"{SVG}svg"  # noqa: S314  Our own file.


def test_the_rows_of_the_guide(tmp_path: Path):
    """Asked for the guide's table, the command prints nothing else."""
    result = CliRunner().invoke(cli, ["simulate", "--short", "--markdown", "healthy", "--out", str(tmp_path)])
    assert result.stdout.startswith(f"{head()}\n| healthy | **ours** |")
    assert len(result.stdout.splitlines()) == 2 + 4


def test_an_unknown_scenario(tmp_path: Path):
    """A story that is not known is refused in one line that names those that are."""
    result = CliRunner().invoke(cli, ["simulate", "flood", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "no scenario is called flood; there are full outage, brownout" in result.stderr
