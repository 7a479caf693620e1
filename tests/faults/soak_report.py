"""What a soak measured, what it is held to, and the account of its jobs. Reads nothing itself."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

JUDGED_FROM_MINUTES = 10.0
"""Below, caches still fill, and autovacuum, which looks once a minute, was hardly there: only the account counts."""

MOST_MEMORY = 1.05
"""Of a process, last third to middle third. What the allocator does by itself stays within 2 %; a leak of 2 kB for each
job, or of 10 kB for each read, is beyond it in a run of 20 minutes."""

MORE_DESCRIPTORS = 4
"""More than in the middle third. Pools give back what rests for ten minutes and streams come and go; a leak of one for
each stream or read is hundreds."""

MOST_OF_TABLES = 1.2
"""Rows and bytes of what retention bounds. Autovacuum comes once a minute, so that a table breathes by some percent."""

MOST_OF_A_TABLE = 1.5
"""The same of a single one, whose rows are fewer."""

TOO_SMALL_BYTES, TOO_FEW_ROWS = 512 * 1024, 100
"""A single table below both says nothing by its ratio: one page more is much of it."""

BY_TIME = (
    "afresh.task_sample",
    "afresh.queue_sample",
    "afresh.service_sample",
    "afresh.queue_work",
    "afresh.idempotency_repeat",
)
"""What no setting shortens, so that it grows during any soak: samples, a few rows a minute for two days, and repeats of
submissions, of an hour."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment.

    Attributes:
        at: Seconds since the beginning.
        jobs: Acknowledged until then.
        memory: Resident bytes, by process.
        descriptors: Open files and sockets, by process.
        backends: Connections to the database, that of the sampler not counted.
        bytes: Of each table, with its indexes and large values.
        rows: Of each table, counted.
    """

    at: float
    jobs: int
    memory: Mapping[str, int]
    descriptors: Mapping[str, int]
    backends: int
    bytes: Mapping[str, int]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A number in both thirds; `bound` is what the last may be at most, None where it is only told."""

    name: str
    middle: float
    last: float
    unit: str
    bound: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it stays within its bound."""
        return self.bound is None or self.last <= self.bound

    def __str__(self) -> str:
        ratio = f"{self.last / self.middle:6.3f}×" if self.middle else "      -"
        bound = "" if self.bound is None else f"   ≤ {self.bound:.6g} {'✓' if self.holds else '✗'}"
        return f"{self.name:42} {self.middle:10.1f} {self.last:10.1f} {self.unit:4} {ratio}{bound}"


@dataclass
class Account:
    """What became of the jobs.

    Attributes:
        accepted: Jobs that were acknowledged.
        fatal: Those of them that were meant to die.
        ends: How often each job came to its end, by id; a few of nobody's may be among them.
        unsettled: Dead letters that are pending at the end.
        settled: Dead letters that were abandoned or brought back.
        unended: Jobs that wait or run at the end.
        trouble: Requests that failed.
    """

    accepted: set[int]
    fatal: set[int]
    ends: Counter[int]
    settled: int
    unsettled: int
    unended: list[int]
    trouble: list[str]
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wrong += [f"job {job} never ended" for job in sorted(self.accepted - set(self.ends))]
        self.wrong += [f"job {job} ended {count} times" for job, count in self.ends.items() if count > 1]
        self.wrong += [f"job {job} was submitted by nobody" for job in sorted(set(self.ends) - self.accepted)]
        self.wrong += [f"job {job} still waits or runs" for job in self.unended]
        if (letters := self.settled + self.unsettled) != len(self.fatal):
            self.wrong.append(f"{len(self.fatal)} jobs died, and there were {letters} dead letters")
        self.wrong += self.trouble

    def lines(self) -> Iterator[str]:
        """As it is printed."""
        yield f"{len(self.accepted):8} jobs acknowledged, {len(self.fatal)} of them to die"
        yield f"{sum(count == 1 for count in self.ends.values()):8} ended once"
        yield f"{self.settled:8} dead letters abandoned or brought back, {self.unsettled} pending"
        yield f"{len(self.wrong):8} entries that do not add up"
        yield from (f"         {each}" for each in self.wrong[:20])


class Report:
    """The verdict: each third is told by its medians, and the first is for warming up."""

    def __init__(self, samples: Sequence[Sample], account: Account, *, minutes: float, requests: Counter[str]) -> None:
        third = len(samples) // 3
        self._middle, self._last = samples[third : 2 * third], samples[2 * third :]
        self.account = account
        self.is_judged = minutes >= JUDGED_FROM_MINUTES
        self._minutes = minutes
        self._requests = requests
        self.samples = samples

    @property
    def is_sound(self) -> bool:
        """Whether the account balances and, after a run that was long enough, everything stayed flat."""
        return not self.account.wrong and (not self.is_judged or all(line.holds for line in self.lines()))

    def lines(self) -> Iterator[Line]:
        """Every number that is compared."""
        for name in self._last[-1].memory:
            yield self._line(f"memory of the {name}", "MB", _memory(name), MOST_MEMORY)
        for name in self._last[-1].descriptors:
            yield self._line(f"descriptors of the {name}", "", _descriptors(name), more=MORE_DESCRIPTORS)
        yield self._line("connections to the database", "", lambda each: each.backends, more=MORE_DESCRIPTORS)
        bounded = [name for name in self._last[-1].rows if name not in BY_TIME]
        yield self._line("rows of all bounded tables", "", lambda each: _sum(each.rows, bounded), MOST_OF_TABLES)
        yield self._line(
            "size of all bounded tables", "kB", lambda each: _sum(each.bytes, bounded) / 1e3, MOST_OF_TABLES
        )
        for name in sorted(self._last[-1].rows):
            yield from self._of_table(name)

    def _of_table(self, name: str) -> Iterator[Line]:
        """Nothing of a table that stays below both bounds."""
        rows = self._line(f"rows of {name}", "", lambda each: each.rows.get(name, 0))
        size = self._line(f"size of {name}", "kB", lambda each: each.bytes.get(name, 0) / 1e3)
        leasts = (TOO_FEW_ROWS, TOO_SMALL_BYTES / 1e3)
        if any(line.last > least for line, least in zip((rows, size), leasts, strict=True)):
            for line, least in zip((rows, size), leasts, strict=True):
                bound = None if name in BY_TIME else max(least, MOST_OF_A_TABLE * line.middle)
                yield replace(line, bound=bound)

    def _line(
        self,
        name: str,
        unit: str,
        of: Callable[[Sample], float],
        times: float | None = None,
        *,
        more: int | None = None,
    ) -> Line:
        middle, last = (median(of(sample) for sample in part) for part in (self._middle, self._last))
        bound = middle * times if times is not None else middle + more if more is not None else None
        return Line(name, middle, last, unit, bound)

    def __str__(self) -> str:
        jobs = self._of_third(lambda sample: sample.jobs)
        lines = [
            f"{self._minutes:g} minutes, {len(self.samples)} samples; requests: "
            + ", ".join(f"{count} {name}" for name, count in sorted(self._requests.items())),
            "",
            f"{'medians':42} {'middle':>10} {'last third':>10}",
            *map(str, self.lines()),
            f"Of tables not named, each has at most {TOO_FEW_ROWS} rows and {TOO_SMALL_BYTES // 1024} kB.",
            "",
            *self._course(),
            "",
            *(f"{per_job:8.0f} bytes more in the {name} for each job between" for name, per_job in self._leaks(jobs)),
            *self.account.lines(),
            f"{self._verdict()}",
        ]
        return "\n".join(lines)

    def _course(self) -> Iterator[str]:
        """A line for every tenth of the run."""
        names = list(self._last[-1].memory)
        yield " ".join([f"{'minute':>8} {'jobs':>7}", *(f"{name:>7} MB" for name in names), " rows  tables kB"])
        for number in range(1, 11):
            each = self.samples[len(self.samples) * number // 10 - 1]
            memory = " ".join(f"{each.memory[name] / 1e6:10.1f}" for name in names)
            rows, size = sum(each.rows.values()), sum(each.bytes.values()) / 1e3
            yield f"{each.at / 60:8.1f} {each.jobs:7} {memory} {rows:5} {size:10.0f}"

    def _leaks(self, jobs: tuple[float, float]) -> Iterator[tuple[str, float]]:
        for name in self._last[-1].memory:
            middle, last = self._of_third(_memory(name))
            yield name, 1e6 * (last - middle) / max(1.0, jobs[1] - jobs[0])

    def _of_third(self, of: Callable[[Sample], float]) -> tuple[float, float]:
        return median(map(of, self._middle)), median(map(of, self._last))

    def _verdict(self) -> str:
        if not self.is_judged:
            tells = "whether it is flat cannot be told from less than"
            return f"{'Sound' if self.is_sound else 'UNSOUND'}; {tells} {JUDGED_FROM_MINUTES:g} minutes."
        grown = [line.name for line in self.lines() if not line.holds]
        return (
            "Flat, and every job is accounted for."
            if self.is_sound
            else f"UNSOUND: {'; '.join(grown) or 'the account'}."
        )


def _sum(numbers: Mapping[str, int], names: Sequence[str]) -> int:
    return sum(numbers.get(name, 0) for name in names)


def _memory(name: str) -> Callable[[Sample], float]:
    """That of a process, in MB."""
    return lambda sample: sample.memory[name] / 1e6


def _descriptors(name: str) -> Callable[[Sample], float]:
    return lambda sample: sample.descriptors[name]
