"""What a breaker is: one flat row per dependency, and the transitions that are legal.

           threshold            break over           three successes
    closed ────────► open ────────────────► half-open ────────────► ramping ──────► closed
       │              ▲ └ early probe works ──► ▲ │                    │ ▲  not the limit for 60 s
       │              └────── a probe fails ──────┘                    │ │
       │              └────── half of a step fails ────────────────────┘ │
       ├─ credentials, settings ─► held ───── a probe works ────────────►┤
       └─ a rate limit's hint ──────────────────────────────────────────►┘
    any ─ an operator ─► isolated ─ an operator ─► ramping

A dependency is *suspect* while it is closed and has counted failures: that is read from the counts, not stored, and
has no generation of its own, so that the failures which lead to a trip are judged like any other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from ..failure import FailureType


class State(StrEnum):
    """What a dependency's jobs may do."""

    CLOSED = "closed"  # Everything is claimed.
    OPEN = "open"  # Nothing is, but one early probe now and then.
    HALF_OPEN = "half_open"  # A few probes are.
    RAMPING = "ramping"  # As many as the bucket has tokens.
    HELD = "held"  # As open, with no end of its own: somebody has to mend something.
    ISOLATED = "isolated"  # Nothing is, by an operator.


_NAME = re.compile("[^\\0\ud800-\udfff]{1,255}")


def checked_name(name: str) -> str:
    """The name of a dependency, if a row can hold it.

    Raises:
        ValueError: It is empty, longer than 255 characters, or no text that Postgres holds.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a dependency is named by text of 1 to 255 characters; got {name[:80]!r}")
    return name


_S = State
LEGAL: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        _S.CLOSED: frozenset({_S.OPEN, _S.HELD, _S.RAMPING, _S.ISOLATED}),
        _S.OPEN: frozenset({_S.HALF_OPEN, _S.RAMPING, _S.ISOLATED}),
        _S.HALF_OPEN: frozenset({_S.OPEN, _S.RAMPING, _S.ISOLATED}),
        _S.RAMPING: frozenset({_S.CLOSED, _S.OPEN, _S.HELD, _S.ISOLATED}),
        _S.HELD: frozenset({_S.RAMPING, _S.ISOLATED}),
        _S.ISOLATED: frozenset({_S.RAMPING}),
    }
)
"""Where a transition may lead from each state."""


class Slot(NamedTuple):
    """What was counted in one second, over all workers.

    Attributes:
        second: Whole seconds since 1970.
        successes: Calls that worked.
        failures: Counted failures.
        pressure: Their share of the threshold, at most a half: 1 in all is the threshold reached.
        jobs: The jobs that made the pressure.
    """

    second: int
    successes: int = 0
    failures: int = 0
    pressure: float = 0.0
    jobs: tuple[int, ...] = ()


class Permit(NamedTuple):
    """The lease of one probe. One that is not given back by then is a failed probe."""

    number: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One dependency, as its row in the database has it.

    Attributes:
        name: The dependency.
        state: What its jobs may do.
        generation: Counts the transitions. What was started under another one is late.
        changed_at: When the last transition was.
        cause: Why it was, as an operator reads it.
        slots: Outcomes by the second while suspect or ramping, oldest first.
        suspect_since: The first failure that is counted now; open and half-open: that of the outage.
        failure_type: Of the latest counted failure: its policy gives the ratio and the break.
        hold_jobs: Jobs that failed for want of credentials or settings, with no success since.
        hold_since: The first of them.
        until: Open: the break's end. Ramping: nothing before, as a rate limit asked. Else None.
        break_seconds: The present break, without its spread.
        reopenings: Breaks in a row; each is longer than the one before.
        probe_at: Open and held: when the next early probe is due.
        probe_successes: Probes that worked in a row.
        permits: Probes in flight.
        last_permit: Number of the latest permit; they are never used twice.
        baseline: Calls per second before the trip; None: not known.
        ceiling: Rate after it was last lowered; from half of it on the ramp grows by small steps. None: not yet.
        rate: Tokens per second.
        tokens: In the bucket at `tokens_at`.
        tokens_at: When they were counted.
        handed: Tokens given out so far; every fifth is meant for a retry.
        step_at: Begin of the present step.
        step_successes: Results in this step.
        step_failures: Results in this step, rate limits too.
        step_starved: The bucket was empty in this step.
        limited_at: When it was last empty.
    """

    name: str
    state: State = State.CLOSED
    generation: int = 0
    changed_at: datetime | None = None
    cause: str = ""
    slots: tuple[Slot, ...] = ()
    suspect_since: datetime | None = None
    failure_type: FailureType | None = None
    hold_jobs: tuple[int, ...] = ()
    hold_since: datetime | None = None
    until: datetime | None = None
    break_seconds: float = 0.0
    reopenings: int = 0
    probe_at: datetime | None = None
    probe_successes: int = 0
    permits: tuple[Permit, ...] = ()
    last_permit: int = 0
    baseline: float | None = None
    ceiling: float | None = None
    rate: float = 0.0
    tokens: float = 0.0
    tokens_at: datetime | None = None
    handed: int = 0
    step_at: datetime | None = None
    step_successes: int = 0
    step_failures: int = 0
    step_starved: bool = False
    limited_at: datetime | None = None

    @property
    def suspect(self) -> bool:
        """Closed, but with failures that count: workers report every half second."""
        return self.state is State.CLOSED and (bool(self.slots) or bool(self.hold_jobs))

    @property
    def healthy(self) -> bool:
        """Nothing that a worker would have to know."""
        return self.state is State.CLOSED and not self.suspect


@dataclass(frozen=True, slots=True)
class Transition:
    """What happened to a breaker: a row of its history."""

    name: str
    generation: int
    before: State
    after: State
    at: datetime
    cause: str


class Moved(NamedTuple):
    """The row as it is to be stored, and the transition to be recorded and announced, if there was one."""

    breaker: Breaker
    transition: Transition | None = None
