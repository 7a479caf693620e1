import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import lock, sync

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
SECTIONS = sync.sections(LOCK)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = {"run": PROJECT["project"]["dependencies"], **PROJECT["dependency-groups"]}


def locked(*groups: str) -> dict[str, list[Requirement]]:
    """Return what the sections of `groups` name, by canonical name; a package may have a version per Python."""
    found: dict[str, list[Requirement]] = {}
    for group in groups:
        for block in lock.blocks(SECTIONS[group]):
            requirement = Requirement(block.partition("\\")[0])
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def test_groups():
    """The lock has exactly the groups of pyproject.toml, the one that everything needs first."""
    assert list(SECTIONS) == list(DECLARED) == ["run", "dev", "corpus"]


@pytest.mark.parametrize("group", DECLARED)
def test_satisfies_pyproject(group: str):
    """Every dependency that pyproject.toml names is locked, in its group or one above, in a version it allows."""
    groups = list(SECTIONS)
    available = locked(*groups[: groups.index(group) + 1])
    for text in DECLARED[group]:
        wanted = Requirement(text)
        versions = available.get(canonicalize_name(wanted.name), [])
        assert versions, f"{text} is not locked: make lock"
        for version in versions:
            (pin,) = version.specifier
            assert pin.operator == "=="
            assert wanted.specifier.contains(pin.version), f"{version} does not satisfy {text}: make lock"


def test_imports_are_declared():
    """What the program imports it asks for itself, and does not leave to what brings it along."""
    asked = {canonicalize_name(Requirement(text).name) for text in DECLARED["run"]} | {"psycopg-pool"}  # An extra.
    brought = packages_distributions()
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            for package in {str(name).partition(".")[0] for name in names} - sys.stdlib_module_names - {"app"}:
                assert asked & set(map(canonicalize_name, brought[package])), f"{path}: {package} is not declared"


def test_no_package_twice():
    """No package is in two sections, and none has two versions for one Python."""
    for name, versions in locked(*SECTIONS).items():
        assert len(versions) == 1 or all(version.marker for version in versions), name


def test_every_package_has_a_hash():
    """Nothing can be installed that is not the very file that was locked."""
    assert all("--hash=sha256:" in block for block in lock.blocks(LOCK))


def test_names_no_index():
    """The lock holds no address: a mirror serves as well."""
    assert not re.search(r"https?:|file:|--(?:extra-)?index|--find-links", LOCK)


def test_sync_refuses_unknown_groups():
    """A misspelt group is one line that names the groups there are."""
    ended = subprocess.run(
        [sys.executable, ROOT / "scripts" / "sync.py", "rnu"], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == "usage: sync.py GROUP… (run, dev, corpus): not rnu\n"


def test_section_changes_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A group counts as installed until its section changes."""
    monkeypatch.setattr(sync, "VENV", tmp_path)
    assert not sync.is_installed("run", SECTIONS["run"])
    sync.stamp_of("run").write_text(sync.digest(SECTIONS["run"]))
    assert sync.is_installed("run", SECTIONS["run"])
    assert not sync.is_installed("run", SECTIONS["run"] + "more==1.0\n")


def test_nothing_is_left_of_a_python_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A .venv whose Python is gone, as after an upgrade of the system, goes with its stamps; any other stays."""
    monkeypatch.setattr(sync, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(sync, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    sync.clear_away()
    sync.PYTHON.parent.mkdir(parents=True)
    sync.PYTHON.symlink_to(sys.executable)
    sync.stamp_of("run").write_text(sync.digest(SECTIONS["run"]))
    sync.clear_away()
    assert sync.is_installed("run", SECTIONS["run"])
    sync.PYTHON.unlink()
    sync.PYTHON.symlink_to(tmp_path / "gone")
    sync.clear_away()
    assert not sync.is_installed("run", SECTIONS["run"])
    assert not sync.PYTHON.is_symlink()


def test_code_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a .venv that was synchronised, `afresh` is a command, whatever folder it is called from."""
    venv.create(tmp_path / "a venv", symlinks=True)
    monkeypatch.setattr(sync, "VENV", tmp_path / "a venv")
    monkeypatch.setattr(sync, "PYTHON", tmp_path / "a venv" / "bin" / "python")
    sync.link()
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    ended = subprocess.run(
        [tmp_path / "a venv" / "bin" / "afresh", "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Usage: afresh" in ended.stdout
