"""A worker whose machine, or container, is full takes no more jobs until there is room again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from .. import telemetry
from ..config import WorkerSettings

LOOK_SECONDS = 1.0
"""Between two readings; a CPU's load is the mean over this time."""

RELIEF_POINTS = 5.0
"""How far below its limit a load has to fall before jobs are taken again, so that one job more or less decides
nothing."""

SMOOTHING = 0.3
"""Weight of the newest reading of the CPU: a second of compiling is no overload."""

CGROUPS = Path("/sys/fs/cgroup")


class Load(NamedTuple):
    """How full the machine is, or the container if that is fuller; in percent."""

    memory: float
    cpu: float


class Machine:
    """Reads how full the machine and the control group of this process are. The first reading knows no CPU."""

    def __init__(self, cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> None:
        self._groups = list(_groups(cgroups, membership))
        self._used: dict[Path, tuple[float, float]] = {}
        psutil.cpu_percent()

    def __call__(self) -> Load:
        """Read now."""
        cpu = [psutil.cpu_percent(), *(self._cpu(group) for group in self._groups)]
        return Load(self.memory_percent(), max(cpu))

    def memory_percent(self) -> float:
        """How full its memory is now. May be called from any thread; disturbs no reading of the CPU."""
        return max(psutil.virtual_memory().percent, *map(_memory, self._groups), 0.0)

    def _cpu(self, group: Path) -> float:
        """Share of the quota that was used since the last reading."""
        quota, now, used = _quota(group), time.monotonic(), _figures(group / "cpu.stat").get("usage_usec", 0) / 1e6
        was_at, was = self._used.get(group, (now, used))
        self._used[group] = (now, used)
        return 100 * (used - was) / (quota * (now - was_at)) if quota and now > was_at else 0.0


def _groups(cgroups: Path, membership: Path) -> Iterator[Path]:
    """The control group of this process and those around it; none where there are no control groups of version 2."""
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.exists() else []
    for own in (line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        here = cgroups / own
        yield from (each for each in (here, *here.parents) if each.is_relative_to(cgroups) and each.exists())


def _memory(group: Path) -> float:
    """Share of its limit that cannot simply be dropped; 0 where there is no limit."""
    limit, current = _text(group / "memory.max"), _text(group / "memory.current")
    if not (limit.isdecimal() and current.isdecimal() and int(limit)):
        return 0.0
    droppable = _figures(group / "memory.stat").get("inactive_file", 0)
    return 100 * max(0, int(current) - droppable) / int(limit)


def _quota(group: Path) -> float:
    """CPUs that it may use; 0: all."""
    quota, _, period = _text(group / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else 0.0


def _figures(path: Path) -> dict[str, int]:
    pairs = (line.partition(" ") for line in _text(path).splitlines())
    return {name: int(figure) for name, _, figure in pairs if figure.isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:  # It does not exist, or not any more: no limit is known here.
        return ""


class Overload:
    """Whether one worker has too much to carry.

    Attributes:
        active: It takes no jobs.
    """

    def __init__(self, worker: str, settings: WorkerSettings, read: Callable[[], Load]) -> None:
        self.active = False
        self._worker = worker
        self._limits = Load(settings.max_memory_percent, settings.max_cpu_percent)
        self._read = read
        self._load = Load(0.0, 0.0)
        self._cpu = 0.0
        self.look()

    def load(self) -> Load:
        """How full it is: as read last, or now where nobody watches. A reading more would spoil the mean of the CPU."""
        return self._load if any(self._limits) else self._read()

    def look(self) -> None:
        """Read once, judge, and tell what has changed."""
        if not any(self._limits):
            return
        read, was = self._read(), self.active
        self._cpu += SMOOTHING * (read.cpu - self._cpu)
        load = self._load = Load(read.memory, self._cpu)
        self.active = any(self._exceeds(*each) for each in zip(load, self._limits, strict=True))
        if self.active != was:
            event = telemetry.WorkerOverloaded if self.active else telemetry.WorkerRelieved
            telemetry.emit(event(self._worker, load.memory, load.cpu))

    def _exceeds(self, now: float, limit: float) -> bool:
        floor = max(limit - RELIEF_POINTS, limit / 2) if self.active else limit
        return limit > 0 and now > floor

    async def watch(self, *, release_ahead: Callable[[], Awaitable[None]], wake: Callable[[], None]) -> None:
        """Look every second until cancelled; what was claimed ahead goes back as soon as there is too much."""
        while any(self._limits):
            await asyncio.sleep(LOOK_SECONDS)
            was = self.active
            self.look()
            if self.active and not was:
                await release_ahead()
            elif was and not self.active:
                wake()
