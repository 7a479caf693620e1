"""Writes requirements.lock: one resolution for every platform and Python we support, in sections by group.

Needs uv (group dev). Names no package index, so that a mirror serves as well.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUPS = ("run", "dev", "corpus")
HEADER = """\
# Written by `make lock` from pyproject.toml; read by scripts/sync.py and the Dockerfile.
# Each section holds what the ones above it do not.
"""


def resolve(groups: tuple[str, ...], constraints: Path | None, upgrade: Path | None) -> list[str]:
    """Return the requirements of `groups`, one block with its hashes each; "run" is the project's own.

    Wheels only: nothing is built on the machine that installs, so nothing needs a compiler there.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal"]
    command += ["--python-version", "3.11", "--only-binary", ":all:", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command += [f"--group={group}" for group in groups if group != "run"]
    if constraints:
        command += ["--constraint", str(constraints)]
    if upgrade:
        command += ["--output-file", str(upgrade)]
    text = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return blocks(upgrade.read_text(encoding="utf-8") if upgrade else text)


def blocks(text: str) -> list[str]:
    """Split requirements into blocks: an unindented line and the hashes that follow it."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(" "):
            found[-1] += line
        elif line.strip() and not line.startswith("#"):
            found.append(line)
    return found


def write(lock: Path, *, upgrade: bool) -> None:
    """Resolve everything once, then let each smaller set take its part of that resolution."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.txt"
        if lock.exists() and not upgrade:  # uv keeps the versions it finds in its output file.
            whole.write_text("".join(blocks(lock.read_text(encoding="utf-8"))), encoding="utf-8")
        resolve(GROUPS, None, whole)
        sections, written = [HEADER], set[str]()
        for groups in itertools.accumulate((group,) for group in GROUPS):
            new = [block for block in resolve(groups, whole, None) if block not in written]
            written.update(new)
            sections.append(f"\n# group: {groups[-1]}\n{''.join(new)}")
    lock.write_text("".join(sections), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions, not those locked now")
    write(ROOT / "requirements.lock", upgrade=parser.parse_args().upgrade)
