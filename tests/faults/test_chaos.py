"""The short form of the chaos run; `make chaos` runs the long one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ..eventually import eventually_sync
from ..servers import temporary_folder
from . import chaos
from .processes import REPOSITORY


@pytest.mark.timeout(300)  # Three times as long on a slow machine, and a minute for what is under way then.
def test_every_job_is_accounted_for():
    """Under random kills, restarts and cuts no job is lost, and none runs twice unless its process was killed."""
    account = chaos.run(seconds=20, seed=7, least=101)
    sys.stdout.write(f"{account}\n")
    assert not account.wrong, str(account)
    assert len(account.acknowledged) > 100


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted(number: signal.Signals):
    """A run that is told to end leaves no process and no file behind: neither workers nor its server."""
    with temporary_folder() as folder:
        command = [sys.executable, "-m", "tests.faults.chaos", "--seconds", "120"]
        environment = os.environ | {"TMPDIR": str(folder)}
        with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as run:
            try:
                eventually_sync(lambda: len(list(folder.glob("*/worker-*.log"))) == chaos.WORKERS, within=60)
                started = processes_of(run.pid, folder)
                assert len(started) >= chaos.WORKERS + 1
                run.send_signal(number)
                told, _ = run.communicate(timeout=60)
            finally:
                run.kill()
        left = [process for process in (*started, *processes_of(run.pid, folder)) if lives(process)]
        for process in left:
            process.kill()
        assert (run.returncode, told) == (130, "Stopped; so is all that it had started.\n")
        assert not left
        assert not list(folder.iterdir())


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended; one of which nobody has taken notice yet has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # It was taken notice of between the two.
        return False


def processes_of(pid: int, folder: Path) -> list[psutil.Process]:
    """Those that a run has started: its children, and the server, whose data lie in the folder."""
    children = psutil.Process(pid).children(recursive=True) if psutil.pid_exists(pid) else []
    servers = [each for each in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(each.info["cmdline"] or [])]
    return [*children, *servers]
