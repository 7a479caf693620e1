"""What each worker keeps in memory of the dependencies: a snapshot, a ring of outcomes, a brake.

The snapshot holds the breakers that are not plainly healthy, and of those that are no more than the generation; a name
that is missing is closed. To read it costs a look into a dict. The ring is written at every outcome, so it counts in
place; the clock is handed in as everywhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..failure import FailureType
from .counting import Counted, Report
from .states import Breaker, State

SLOTS = 64
REPORT_SECONDS = 0.5
"""How often a worker reports while a dependency is suspect, half-open or ramping."""

_SHUT = frozenset({State.OPEN, State.HELD, State.ISOLATED})


@dataclass(frozen=True, slots=True)
class Seen:
    """A breaker as a decision needs it.

    Attributes:
        name: The dependency.
        state: When it was last seen.
        generation: Of that state; a job remembers the one it was started under.
        until: When the break ends, or a rate limit's pause.
        probe_at: When it is looked at next, if before.
        since: Closed: the first failure that counts. Else: when it came to this state.
        limited_at: Ramping: when the bucket was last the limit.
    """

    name: str
    state: State = State.CLOSED
    generation: int = 0
    until: datetime | None = None
    probe_at: datetime | None = None
    since: datetime | None = None
    limited_at: datetime | None = None

    @property
    def shut(self) -> bool:
        """Whether nothing is let through but probes."""
        return self.state in _SHUT


def seen(breaker: Breaker) -> Seen:
    """What workers remember of a row."""
    since = breaker.suspect_since if breaker.state is State.CLOSED else breaker.changed_at
    return Seen(
        breaker.name,
        breaker.state,
        breaker.generation,
        breaker.until,
        breaker.probe_at,
        since,
        breaker.limited_at if breaker.state is State.RAMPING else None,
    )


class Snapshot:
    """The breakers as last read. Replaced as a whole, never changed."""

    __slots__ = ("_gated", "_past", "_seen", "suspects")

    def __init__(self, breakers: Iterable[Breaker] = (), *, past: Mapping[str, int] | None = None) -> None:
        """Every row that is not plainly healthy, and the generations of those that are and had a transition."""
        rows = list(breakers)
        self._seen = {row.name: seen(row) for row in rows}
        self._past = past or {}
        self._gated = [row.name for row in rows if row.state is not State.CLOSED]
        self.suspects = frozenset(row.name for row in rows if row.suspect)
        """Those to be reported about although they are closed."""

    def of(self, name: str) -> Seen | None:
        """The breaker of a dependency; None: closed, and always was."""
        known = self._seen.get(name)
        if known is None and name in self._past:
            return Seen(name, generation=self._past[name])
        return known

    def gated(self) -> list[str]:
        """The dependencies whose jobs must not be claimed without being admitted. Not to be changed."""
        return self._gated


class Ring:
    """Outcomes of one dependency in one process: the last 64 seconds, and what of them was not reported yet."""

    __slots__ = (
        "_failed_at",
        "_failures",
        "_holding",
        "_paced",
        "_reported",
        "_second",
        "_seconds",
        "_streak",
        "_successes",
        "last_success_at",
    )

    def __init__(self) -> None:
        self._seconds = [0] * SLOTS
        self._successes = [0] * SLOTS
        self._reported = [0] * SLOTS
        self._failures: list[Counted] = []
        self._holding: list[tuple[int, FailureType]] = []
        self._paced = 0
        self._second = 0
        self._streak = 0
        self._failed_at: datetime | None = None
        self.last_success_at: datetime | None = None

    def success(self, now: datetime) -> None:
        """Count a call that worked."""
        second = int(now.timestamp())
        at = second % SLOTS
        if self._seconds[at] != second:
            self._seconds[at], self._successes[at], self._reported[at] = second, 0, 0
        self._successes[at] += 1
        self._streak = 0
        self.last_success_at = now

    def failure(self, now: datetime, job_id: int, kind: FailureType) -> None:
        """Count a failure that may mean an outage."""
        second = int(now.timestamp())
        self._failures.append(Counted(second, job_id, kind))
        self._streak = self._streak + 1 if second == self._second else 1
        self._second = second
        self._failed_at = now

    def holding(self, job_id: int, kind: FailureType) -> None:
        """Count a job that was not let in."""
        self._holding.append((job_id, kind))

    def paced(self) -> None:
        """Count a call that was refused by a rate limit."""
        self._paced += 1

    def braked(self, now: datetime, failures: int) -> bool:
        """Whether to claim nothing until the next second: `failures` in a row in this one, and no success."""
        return self._streak >= failures and self._second == int(now.timestamp())

    def take(self, generation: int, *, since: datetime | None, now: datetime) -> Report:
        """What is to be reported now; it is not reported again.

        Args:
            generation: When the calls were started.
            since: As `Seen` has it: successes before it do not count. None: the first failure of this ring.
            now: Aware.
        """
        newest = int(now.timestamp())
        begin = int(since.timestamp()) if since else min((each.second for each in self._failures), default=newest)
        report = Report(
            generation=generation,
            at=now,
            successes=tuple(self._unreported(max(begin, newest - SLOTS + 1))),
            failures=tuple(self._failures),
            holding=tuple(self._holding),
            last_failure_at=self._failed_at if self._failures else None,
            last_success_at=self.last_success_at,
            paced=self._paced,
        )
        self._failures, self._holding, self._paced = [], [], 0
        return report

    def _unreported(self, begin: int) -> Iterator[tuple[int, int]]:
        for second, at in sorted((second, at) for at, second in enumerate(self._seconds) if second >= begin):
            count = self._successes[at] - self._reported[at]
            self._reported[at] = self._successes[at]
            if count:
                yield second, count

    def forget(self) -> None:
        """Drop what was not reported: it belongs to an earlier generation."""
        self._failures, self._holding, self._paced = [], [], 0
        self._reported = list(self._successes)
