"""The rules that Prometheus is given: made of the same data as our own, and proved by its own tool."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import AlertSettings, SubmissionSettings, default_settings
from app.monitoring.alerts import queries
from app.monitoring.alerts.clocked import all_others
from app.monitoring.alerts.prometheus import alert_name, render_defaults
from app.monitoring.alerts.rules import rules

from ..application import serving, settings_for

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool")
ALERTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]

with_promtool = pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool here: Debian's package prometheus")


def promtool(*arguments: str) -> None:
    """Run it; it must be content."""
    done = subprocess.run([str(PROMTOOL), *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_is_the_data():
    """deploy/prometheus/alerts.yml is what the rules say with the defaults of the settings; else: make schema."""
    assert (FOLDER / "alerts.yml").read_text(encoding="utf-8") == render_defaults()


def test_whatever_is_set(monkeypatch: pytest.MonkeyPatch):
    """The file does not depend on the environment that it is written in."""
    before = render_defaults()
    monkeypatch.setenv("ALERT_ERROR_PERCENT", "33")
    assert render_defaults() == before


def test_each_rule_is_there():
    """Each level of each rule of ours is a rule of Prometheus's, with the same severity, times and advice."""
    ours = rules(default_settings())
    expected = [
        (alert_name(rule), level.severity.value, rule.name, rule.what_to_do, bool(rule.after), bool(rule.quiet))
        for rule in ours
        for level in rule.levels
    ]
    theirs = [
        (
            each["alert"],
            each["labels"]["severity"],
            each["labels"]["rule"],
            each["annotations"]["what_to_do"],
            "for" in each,
            "keep_firing_for" in each,
        )
        for each in ALERTS
    ]
    assert theirs == expected


def test_settings_change_both():
    """A threshold that is set is in Prometheus's rule, and a rule that is switched off in neither."""
    defaults = default_settings()
    changed = replace(
        defaults,
        alert=AlertSettings(error_percent=13, success_percent=0),
        submission=SubmissionSettings(max_queue_size=500),
    )
    text = render_defaults(changed)
    assert "> 13" in text
    assert "AfreshSuccessRate" not in text
    assert "success-rate" not in {rule.name for rule in rules(changed)}
    assert "(max by (queue) (afresh_queue_ready_jobs)) > 499" in text


def test_at_least_twice_as_often():
    """A failure rate that is exactly twice its own past is told in Prometheus, as by ours; over still means over."""
    found = {each["labels"]["rule"]: each["expr"] for each in ALERTS if each["labels"]["severity"] == "warning"}
    assert ") >= 2 and" in found["failure-growth"]
    assert ") > 10 and" in found["error-rate"]


def test_metrics_are_named_in_one_place():
    """Every metric of the rules is one that queries.py names."""
    named = [each for name, each in vars(queries).items() if name.isupper() and isinstance(each, str)]
    known = {each.partition("{")[0] for each in named}
    used = {name for each in ALERTS for name in re.findall(r"\b(?:afresh|background_task)\w+", each["expr"])}
    assert used == known


@pytest.mark.anyio
async def test_metrics_are_there(anyio_backend: str, database_url: str):  # noqa: ARG001 - it makes the fixture async
    """Every metric of the rules is one that a worker or the API serves: a rule without its metric never fires."""
    async with serving(settings_for(database_url)) as (_, client):
        text = (await client.get("/metrics")).text
    served = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    needed = {name for each in ALERTS for name in re.findall(r"\b(?:afresh|background_task)\w+", each["expr"])}
    assert {name.removesuffix("_count") for name in needed} <= served


@with_promtool
def test_check_rules():
    """Prometheus understands them."""
    promtool("check", "rules", str(FOLDER / "alerts.yml"))


@with_promtool
def test_test_rules():
    """On series as the service makes them those alerts fire that should, and no others."""
    promtool("test", "rules", str(Path(__file__).with_name("prometheus_alerts.yml")))


def test_the_dashboard_leaves_the_clock_out():
    """The success rate of all tasks together, in Grafana, is of what the alert's is: not of what the clock runs."""
    dashboard = json.loads((FOLDER.parent / "grafana" / "dashboards" / "afresh.json").read_text(encoding="utf-8"))
    (panel,) = [each for each in dashboard["panels"] if each["title"] == "Success rate"]
    (query,) = [target["expr"] for target in panel["targets"]]
    assert query.count("task_name=~") == query.count(all_others()) == 2
