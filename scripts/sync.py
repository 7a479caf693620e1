"""Makes .venv and installs groups of requirements.lock into it: `python3 scripts/sync.py run dev`.

Standard library only, and no newer syntax than an old python3 needs to say that it is too old. Installs nothing
that the lock does not name with its hash; a group that is already there costs one comparison.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)


def sections(lock: str) -> dict[str, str]:
    """Return the lock's sections by group."""
    parts = lock.split("\n# group: ")
    return {group: text for group, _, text in (part.partition("\n") for part in parts[1:])}


def make_venv() -> None:
    """Make .venv with this Python, or with a newer one from PATH where this one is too old."""
    if sys.version_info < OLDEST:
        newer = next(filter(None, (shutil.which(f"python3.{minor}") for minor in range(20, OLDEST[1] - 1, -1))), None)
        if newer is None:
            sys.exit(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed; {sys.executable} is {sys.version.split()[0]}")
        os.execv(newer, [newer, *sys.argv])  # noqa: S606 - replaces this process by the newer Python on purpose.
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit("Python's venv module is missing: apt install python3-venv")
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)


def clear_away() -> None:
    """Remove a .venv whose Python is gone, as after an upgrade of the system: its packages were that Python's.

    Left there, its links would stay as they are, and its stamps would say that all is installed.
    """
    if VENV.exists() and not PYTHON.exists():
        shutil.rmtree(VENV)


def stamp_of(group: str) -> Path:
    """Return the file that says which form of `group` is installed."""
    return VENV / f".installed-{group}"


def install(wanted: dict[str, str]) -> None:
    """Install the sections in `wanted` with pip, and stamp them."""
    count = sum(line[:1].isalnum() for text in wanted.values() for line in text.splitlines())
    print(f"Installing {' and '.join(wanted)}: {count} packages …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [str(PYTHON), "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
        command += ["--root-user-action=ignore", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        for group, text in wanted.items():
            file = Path(folder) / group
            file.write_text(text, encoding="utf-8")
            command += ["--requirement", str(file)]
        ended = subprocess.run(command, check=False)
    if ended.returncode:
        sys.exit(f"pip could not install {' and '.join(wanted)} (above); run the same command again")
    for group, text in wanted.items():
        stamp_of(group).write_text(digest(text), encoding="utf-8")


def digest(section: str) -> str:
    """Return what a stamp holds: it changes with the section."""
    return hashlib.sha256(section.encode()).hexdigest()


def is_installed(group: str, section: str) -> bool:
    """Compare the stamp of `group` with its section."""
    stamp = stamp_of(group)
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == digest(section)


LAUNCHER = """#!/bin/sh
'''exec' "$(dirname "$0")/python" "$0" "$@"
'''
from app.__main__ import main

main()
"""


def link() -> None:
    """Have .venv find the code of this folder from anywhere, and know the command `afresh`."""
    found = subprocess.run([str(PYTHON), "-c", _SITE], capture_output=True, text=True, check=True)
    write(Path(found.stdout.strip()) / "afresh.pth", f"{ROOT}\n")
    launcher = VENV / "bin" / "afresh"
    write(launcher, LAUNCHER)
    launcher.chmod(0o755)


_SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


def write(path: Path, text: str) -> None:
    """Write a file, unless it says so already."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main(groups: list[str]) -> None:
    """Bring .venv up to the lock for `groups`."""
    known = sections((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    unknown = [group for group in groups if group not in known]
    if unknown or not groups:
        sys.exit(f"usage: sync.py GROUP… ({', '.join(known)}){': not ' + ', '.join(unknown) if unknown else ''}")
    clear_away()
    if not PYTHON.exists():
        make_venv()
    link()
    missing = {group: known[group] for group in groups if not is_installed(group, known[group])}
    if missing:
        install(missing)


if __name__ == "__main__":
    main(sys.argv[1:])
