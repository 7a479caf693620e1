"""Processes of ours: started, watched, and stopped in order. None of them outlives this one.

Each has a session of its own, out of reach of the terminal's Ctrl-C: this process hears it, and decides the order.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Self

_PACKAGE = __name__.partition(".")[0]
_POLL_SECONDS = 0.05
_LAST_WORDS_SECONDS = 5.0


class StopSignals:
    """Notes Ctrl-C, SIGTERM and SIGHUP instead of dying of them. A second Ctrl-C is noted as haste.

    Attributes:
        asked: Whether somebody wants this to end.
    """

    def __init__(self) -> None:
        self.asked = False
        self.hasty = False
        # A pipe and no Event: a signal that came while the Event's lock is held here would wait for it for ever.
        self._heard = select.poll()
        self._pipe: tuple[int, int] | None = None
        self._former: dict[signal.Signals, Any] = {}

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until somebody wants this to end; return whether they do."""
        if not self.asked:
            self._heard.poll(seconds * 1_000)
        return self.asked

    def _note(self, number: int, _: FrameType | None) -> None:
        self.hasty = self.hasty or (self.asked and number == signal.SIGINT)
        if not self.asked and self._pipe is not None:
            os.write(self._pipe[1], b"\n")
        self.asked = True

    def __enter__(self) -> Self:
        self._pipe = os.pipe()
        self._heard.register(self._pipe[0], select.POLLIN)
        self._former = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # Under nohup a hangup stays ignored.
            self._former[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        if self._pipe is not None:
            self._heard.unregister(self._pipe[0])
            for end in self._pipe:
                os.close(end)
            self._pipe = None


@dataclass(frozen=True, slots=True)
class Child:
    """A command of ours in a process of its own.

    Attributes:
        name: What people call it.
        patience: Seconds it may take to end in order.
    """

    name: str
    process: subprocess.Popen[bytes]
    patience: float

    @property
    def ended(self) -> int | None:
        """Its exit code, below zero for a signal; None while it runs."""
        return self.process.poll()


class ChildEnded(Exception):  # noqa: N818 - reads as what happened
    """A process ended that should have gone on."""

    def __init__(self, child: Child) -> None:
        code = child.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended by itself with exit code {code}"
        super().__init__(f"the {child.name} {how}")
        self.child = child


@dataclass
class Children:
    """Processes that are stopped in the order they were started.

    Attributes:
        tell: Is called with a line for the person at the terminal.
        output: Where they write, in place of our own standard error.
    """

    stop: StopSignals
    tell: Callable[[str], None]
    output: IO[bytes] | None = None
    running: list[Child] = field(default_factory=list)

    def start(
        self,
        name: str,
        *arguments: str,
        patience: float,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Start a command of ours."""
        # Without the working directory in front (-P), where a folder may happen to have our name.
        command = [sys.executable, "-P", "-m", _PACKAGE, *arguments, "--tether", str(os.getpid())]
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command,
            env={**os.environ, **(environment or {}), "PYTHONPATH": _search_path()},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        child = Child(name, process, patience)
        self.running.append(child)
        return child

    def check(self) -> None:
        """Return while all of them run.

        Raises:
            ChildEnded: One does not.
        """
        for child in self.running:
            if child.ended is not None:
                raise ChildEnded(child)

    def wait_until(self, ready: Callable[[], bool], *, within: float, every: float = _POLL_SECONDS) -> bool:
        """Wait for something that they are to do; False: it took too long, or somebody wants this to end.

        Raises:
            ChildEnded: One of them ended instead.
        """
        deadline = time.monotonic() + within
        while not self.stop.asked and time.monotonic() < deadline:
            self.check()
            if ready():
                return True
            self.stop.wait(every)
        return False

    def watch(self) -> None:
        """Return when somebody wants this to end.

        Raises:
            ChildEnded: One of them ended before.
        """
        while not self.stop.wait(2 * _POLL_SECONDS):
            self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self.running:
            if child.ended is None:
                self.tell(f"Stopping the {child.name} …")
                self._end(child)

    def _end(self, child: Child) -> None:
        """SIGTERM, and SIGKILL where that is not heeded in time or somebody is in haste: what was cut is rescued."""
        child.process.terminate()
        deadline = time.monotonic() + child.patience
        while child.ended is None:
            if time.monotonic() > deadline or self.stop.hasty:
                self.tell(f"The {child.name} does not wait for its work any longer.")
                child.process.kill()
                child.process.wait(_LAST_WORDS_SECONDS)
            time.sleep(_POLL_SECONDS)


def _search_path() -> str:
    """PYTHONPATH with the folder of this very package in front."""
    own = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))
