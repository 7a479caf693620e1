"""Our programs as a person starts them: real processes in a project folder of their own, ended by their numbers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.config import GROUPS

from ..eventually import eventually_sync

ROOT = Path(__file__).resolve().parents[2]

# The ways in which people start us.
AFRESH = (sys.executable, "-m", "app")
PROCRASTINATE = (str(Path(sys.executable).with_name("procrastinate")), "--app=app.queue.app.app")
UVICORN = (str(Path(sys.executable).with_name("uvicorn")), "app.api.main:app")

_SETTINGS = {field.title for group in GROUPS.values() for field in group.model_fields.values()}


@dataclass
class Program:
    """A running program and what it has written."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    @property
    def text(self) -> str:
        """What it and its children have written so far, to standard output and error alike."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def says(self, words: str, within: float = 40.0) -> str:
        """Wait until it has written these words; return all that it wrote."""
        eventually_sync(lambda: words in self.text or self._complain(words), within)
        return self.text

    def ends(self, within: float = 40.0) -> int:
        """Wait for its end and return its exit code."""
        eventually_sync(lambda: self.process.poll() is not None, within)
        return self.process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and nobody else."""
        self.process.send_signal(number)

    def children(self) -> list[int]:
        """The numbers of the processes that it started and that live."""
        return children_of(self.pid)

    def _complain(self, words: str) -> bool:
        assert self.process.poll() is None, f"it ended without {words!r}:\n{self.text}"
        return False


@dataclass
class Project:
    """A folder with a `.env` and modules, and the programs that run there."""

    folder: Path
    programs: list[Program] = field(default_factory=list)

    def write_env(self, **settings: object) -> None:
        """Write `.env` anew."""
        lines = (f"{name}={value}\n" for name, value in settings.items())
        (self.folder / ".env").write_text("".join(lines), encoding="utf-8")

    def write_module(self, name: str, source: str) -> None:
        """Put a module of the user's own into the folder."""
        (self.folder / f"{name}.py").write_text(source, encoding="utf-8")

    def start(self, *command: str, **settings: object) -> Program:
        """Start a program in the folder; settings are put into its environment."""
        output = self.folder / f"output-{len(self.programs)}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        program = Program(process, output)
        self.programs.append(program)
        return program

    def run(self, *command: str, within: float = 60.0, **settings: object) -> tuple[int, str]:
        """Start a program, wait for its end, and return its exit code and what it wrote."""
        program = self.start(*command, **settings)
        return program.ends(within), program.text

    def end_all(self) -> None:
        """End what still runs; whatever it started ends with it."""
        for program in self.programs:
            if program.process.poll() is None:
                children = program.children()
                program.process.kill()
                program.process.wait(10)
                wait_for_end_of(children)


@contextmanager
def project_in(folder: Path) -> Iterator[Project]:
    """A project in this folder; in the end nothing runs there any more."""
    project = Project(folder)
    try:
        yield project
    finally:
        project.end_all()


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end_of(pids: list[int]) -> None:
    """Return when none of these processes lives."""
    eventually_sync(lambda: not any(map(is_alive, pids)))


def children_of(pid: int) -> list[int]:
    """The numbers of the living processes that this one started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [number for number in map(int, found) if is_alive(number)]


def _environment(settings: dict[str, object]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _SETTINGS}
    given = {name: str(value) for name, value in settings.items()}
    # Without the folder: to find the user's modules there is up to the programs.
    return inherited | {"PYTHONPATH": str(ROOT), "PYTHONDEVMODE": ""} | given


def answers(url: str) -> bool:
    """Whether somebody says that all is well there."""
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
