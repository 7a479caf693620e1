"""`afresh classify` and `afresh policies`, as people type them."""

from pathlib import Path

import pytest

from app.retry.failure import FailureType

from . import program


def afresh(*arguments: str, **settings: str) -> program.Run:
    """Run a command, with a wide terminal and these settings."""
    return program.afresh(*arguments, **({"COLUMNS": "250", "NO_COLOR": "1"} | settings))


def cells(output: str, first: str) -> list[str]:
    """The cells of the row that begins with this."""
    (row,) = (line for line in output.splitlines() if line.split()[:1] == [first])
    return [cell.strip() for cell in row.split("  ") if cell.strip()]


def test_an_error_is_classified():
    """Type, evidence, advice, and each attempt up to the dead letter."""
    told = afresh("classify", "httpx.ConnectError", "--message", "refused").stdout
    assert told.startswith("TRANSIENT_NETWORK  confidence 0.")
    assert [cells(told, number)[1] for number in "1234"] == ["retry", "retry", "retry", "dead letter"]
    assert [cells(told, number)[2] for number in "123"] == ["60 s", "120 s", "240 s"]
    assert "AUTO_RETRY" in told
    assert "all 3 retries spent" in told


def test_codes_and_settings():
    """A SQLSTATE decides over the class; RETRY_HTTP_500 and POLICY__… are heeded."""
    assert afresh("classify", "psycopg.OperationalError", "--sqlstate", "28P01").stdout.startswith("PERMANENT_AUTH")
    changed = {"RETRY_HTTP_500": "true", "POLICY__EXTERNAL_API_DOWN__INITIAL_DELAY": "7s"}
    assert cells(afresh("classify", "--status", "500", **changed).stdout, "1")[1:3] == ["retry", "7 s"]


def test_as_for_a_task():
    """With --task its own policy is told; a task that nobody knows is refused in one line."""
    told = afresh("classify", "httpx.ReadError", "--task", "fetch-joke", MAX_RETRIES="1", RETRY_BASE_DELAY="3").stdout
    assert told.startswith("TRANSIENT_NETWORK")
    assert [cells(told, number)[1] for number in "12"] == ["retry", "dead letter"]
    assert cells(told, "1")[2] == "3 s"
    refused = afresh("classify", "--task", "no-such-task")
    assert (refused.returncode, refused.stderr) == (
        2,
        "afresh: no task is called no-such-task; `afresh policies` lists them\n",
    )


RULE = """
from app.queue.task import failure_rule
from app.retry.failure import FailureType

@failure_rule("shop.errors.Busy")
def busy(error):
    return FailureType.TRANSIENT_RESOURCE
"""


def test_rules_in_code_and_libraries_of_tasks(tmp_path: Path):
    """The rules of TASK_MODULES are heeded, and the classes of libraries that tasks use are known with their bases."""
    (tmp_path / "shop_rules.py").write_text(RULE, encoding="utf-8")
    settings = {"TASK_MODULES": "shop_rules", "PYTHONPATH": str(tmp_path)}
    assert afresh("classify", "shop.errors.Busy", **settings).stdout.startswith("TRANSIENT_RESOURCE  confidence 1.00")
    assert afresh("classify", "httpx.ReadError").stdout.startswith("TRANSIENT_NETWORK")
    assert "sqlstate.40P01" in afresh("classify", "psycopg.errors.DeadlockDetected").stdout


def test_the_whole_table_of_policies():
    """Every failure type with its retries, waits, breaker and advice, then every task with who decides for it."""
    told = afresh("policies").stdout
    assert all(len(cells(told, kind)) >= 3 for kind in FailureType)
    assert cells(told, "TRANSIENT_NETWORK") == [
        "TRANSIENT_NETWORK", "3", "60 s, 120 s, 240 s", "5 failures → 10 min", "AUTO_RETRY",
    ]  # fmt: skip
    assert cells(told, "app.tasks.jokes.fetch_and_cache_joke")[1:4] == ["fetch-joke", "api_calls", "env"]


@pytest.mark.parametrize(("settings", "expected"), [({"MAX_RETRIES": "1"}, "1"), ({"MAX_RETRIES": "9"}, "3")])
def test_policies_within_the_bound(settings: dict[str, str], expected: str):
    """MAX_RETRIES, where it is set, shows as the bound that it is."""
    assert cells(afresh("policies", **settings).stdout, "TRANSIENT_NETWORK")[1] == expected
