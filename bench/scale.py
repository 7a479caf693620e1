"""How much is measured: a form for every day, under five minutes, and the full one with its million rows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage that is played.

    Attributes:
        jobs: That come when it begins.
        capacity: Calls per second that the dependency bears.
        quiet: Seconds before it.
        down: Seconds of it.
    """

    jobs: int
    capacity: float
    quiet: float
    down: float


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run.

    Attributes:
        rounds: Of each measurement; the table shows medians.
        seconds: What one run of a worker is sized for.
        ahead: Jobs scheduled for later.
        held: Jobs of a paused queue, or of a dependency that is down.
        waiting: Jobs that wait while a worker's memory is looked at.
        pick_ups: Jobs in one round of pick-up latency.
        classifications: Calls after which memory is looked at.
        kept: Jobs in the database that is read from.
        failures: Attempts that failed, while what is known of them is read.
        reads: Times that each address is read in a round.
        letters: Dead letters that are replayed.
        purged: Finished jobs that are removed.
        adopted: Jobs of a database that comes from Procrastinate.
        outage: Of a dependency.
    """

    rounds: int
    seconds: float
    ahead: tuple[int, ...]
    held: int
    waiting: int
    pick_ups: int
    classifications: int
    kept: int
    failures: int
    reads: int
    letters: int
    purged: int
    adopted: int
    outage: Outage


SHORT = Scale(
    rounds=3,
    seconds=2.0,
    ahead=(200_000,),
    held=100_000,
    waiting=100_000,
    pick_ups=100,
    classifications=100_000,
    kept=100_000,
    failures=50_000,
    reads=10,
    letters=10_000,
    purged=50_000,
    adopted=100_000,
    outage=Outage(jobs=600, capacity=100.0, quiet=5.0, down=8.0),
)
FULL = Scale(
    rounds=5,
    seconds=5.0,
    ahead=(200_000, 1_000_000),
    held=100_000,
    waiting=1_000_000,
    pick_ups=500,
    classifications=1_000_000,
    kept=1_000_000,
    failures=1_000_000,
    reads=100,
    letters=100_000,
    purged=1_000_000,
    adopted=1_000_000,
    outage=Outage(jobs=5_000, capacity=200.0, quiet=10.0, down=20.0),
)
