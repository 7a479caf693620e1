"""The program, as people type it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

Run = subprocess.CompletedProcess[str]


def afresh(*arguments: str, answer: str = "", **settings: str) -> Run:
    """Run a command under these settings; `answer` is what a person types when it asks."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=os.environ | settings,
        input=answer,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
