"""What no table of bad input thinks of: requests made up from the API's own description."""

import subprocess
import sys
from pathlib import Path

import pytest

from .process import environment, running

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.timeout(300)  # A minute on a quiet machine.
def test_any_request(database_url: str, tmp_path: Path):
    """No request makes the server fail, and every answer is as the description says."""
    key = "a-key-for-this-test"
    settings = {"DATABASE_URL": database_url, "TASK_MODULES": "tests.sample_tasks", "ADMIN_API_KEY": key}
    with running(tmp_path / "log", **settings) as address:
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(tmp_path / "schemathesis.toml"),
            "run", f"{address}/openapi.json", "--checks", CHECKS, "--phases", "coverage,fuzzing",
            "--max-examples", "15", "--header", f"Authorization: Bearer {key}", "--seed", "1", "--no-color",
            "--exclude-path", "/jobs/{job_id}/events",  # It answers for as long as the job lives.
            "--exclude-path", "/retry/simulate",  # Each answer is played for a second; its own tests ask it amiss.
        ]  # fmt: skip
        (tmp_path / "schemathesis.toml").touch()
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=280, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
