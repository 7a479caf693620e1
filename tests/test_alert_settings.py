"""What is said against thresholds of alerts that are wrong, or contradict each other."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from app.config import SettingsError, read_settings

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory of a project in which nothing is set."""
    for name in list(os.environ):
        if name.startswith(("ALERT_", "MAX_QUEUE_SIZE")):
            monkeypatch.delenv(name)
    (tmp_path / ".env").touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ({"ALERT_ERROR_PERCENT": "101"}, "ALERT_ERROR_PERCENT='101': expected a number from 0 to 100"),
        ({"ALERT_SUCCESS_PERCENT": "-1"}, "ALERT_SUCCESS_PERCENT='-1': expected a number from 0 to 100"),
        ({"ALERT_DUPLICATE_PERCENT": "nan"}, "ALERT_DUPLICATE_PERCENT='nan': expected a number from 0 to 100"),
        ({"ALERT_DEAD_LETTERS": "-5"}, "ALERT_DEAD_LETTERS='-5': expected a whole number, 0 or more"),
        ({"ALERT_LEAST_ATTEMPTS": "0"}, "ALERT_LEAST_ATTEMPTS='0': expected a whole number, 1 or more"),
        ({"ALERT_FAILURE_GROWTH": "0.5"}, "ALERT_FAILURE_GROWTH='0.5': expected a number above 1, or 0 for off"),
        ({"ALERT_FAILURE_GROWTH": "inf"}, "ALERT_FAILURE_GROWTH='inf': expected a number above 1, or 0 for off"),
        ({"ALERT_WINDOW": "30s"}, "ALERT_WINDOW='30s': expected whole minutes, from 1m to 24h"),
        ({"ALERT_WINDOW": "90s"}, "ALERT_WINDOW='90s': expected whole minutes, from 1m to 24h"),
        ({"ALERT_WINDOW": "25h"}, "ALERT_WINDOW='25h': expected whole minutes, from 1m to 24h"),
        ({"ALERT_ERROR_PERCENT": "30"}, "ALERT_ERROR_PERCENT=30: expected at most ALERT_ERROR_CRITICAL_PERCENT, 20"),
        (
            {"ALERT_DEAD_LETTERS": "10", "ALERT_DEAD_LETTERS_CRITICAL": "5"},
            "ALERT_DEAD_LETTERS=10: expected at most ALERT_DEAD_LETTERS_CRITICAL, 5",
        ),
        (
            {"ALERT_QUEUE_SIZE": "100", "MAX_QUEUE_SIZE": "100"},
            "ALERT_QUEUE_SIZE=100: expected less than MAX_QUEUE_SIZE, 100, which is critical",
        ),
    ],
)
def test_one_clear_line(monkeypatch: pytest.MonkeyPatch, typed: dict[str, str], line: str):
    """A threshold that is wrong, or a warning beyond what is critical, is one line that names both."""
    for name, value in typed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert caught.value.lines == (line,)


@pytest.mark.parametrize(
    "typed",
    [
        {"ALERT_ERROR_PERCENT": "30", "ALERT_ERROR_CRITICAL_PERCENT": "0"},
        {"ALERT_ERROR_PERCENT": "0"},
        {"ALERT_ERROR_PERCENT": "20"},
        {"ALERT_DEAD_LETTERS": "0", "ALERT_DEAD_LETTERS_CRITICAL": "1"},
        {"MAX_QUEUE_SIZE": "10"},
        {"ALERT_QUEUE_SIZE": "0", "MAX_QUEUE_SIZE": "10"},
        {"ALERT_FAILURE_GROWTH": "0"},
    ],
)
def test_no_contradiction(monkeypatch: pytest.MonkeyPatch, typed: dict[str, str]):
    """What is off, equal, or left to its default contradicts nothing."""
    for name, value in typed.items():
        monkeypatch.setenv(name, value)
    assert read_settings().alert.window == timedelta(minutes=5)


def test_several_at_once(monkeypatch: pytest.MonkeyPatch):
    """Each contradiction has its own line."""
    monkeypatch.setenv("ALERT_ERROR_PERCENT", "30")
    monkeypatch.setenv("ALERT_DEAD_LETTERS", "60")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert [line.partition("=")[0] for line in caught.value.lines] == ["ALERT_ERROR_PERCENT", "ALERT_DEAD_LETTERS"]


def test_exit_code():
    """Whatever is started with such settings ends with code 2 and that line."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "worker"],
        cwd=ROOT,
        env=os.environ | {"ALERT_ERROR_PERCENT": "30"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    expected = "ALERT_ERROR_PERCENT=30: expected at most ALERT_ERROR_CRITICAL_PERCENT, 20\n"
    assert (done.returncode, done.stderr) == (2, expected)
