"""What stands around a failure when it is decided: its dependency, its history, its queue. Values only."""

from typing import NamedTuple

from .breaker.local import Seen
from .breaker.relevance import Relevance
from .breaker.states import State
from .learning import Samples
from .offpeak import PeakHours

_OF_THE_DEPENDENCY = frozenset({Relevance.COUNTED, Relevance.HOLDS, Relevance.PACED})


class Circumstances(NamedTuple):
    """All that is known beside the failure, the policy and the job.

    Attributes:
        dependency: What the job relies on; None: nothing, or nothing known.
        relevance: What the failure says about it.
        breaker: As seen now; None: closed.
        generation: Of the breaker when the job was started.
        probe: Whether the job was let through as a probe.
        budget_seconds: How long a retry must wait for its dependency's budget.
        samples: Of such retries; None: learning is off.
        ready_jobs: In that queue.
        peak: The hours in which this job is not run; None: it need not wait.
    """

    dependency: str | None = None
    relevance: Relevance = Relevance.SILENT
    breaker: Seen | None = None
    generation: int = 0
    probe: bool = False
    budget_seconds: float = 0.0
    samples: Samples | None = None
    ready_jobs: int = 0
    peak: PeakHours | None = None

    @property
    def caught(self) -> bool:
        """Whether the failure is the dependency's and not the job's: the attempt is given back.

        That is so where the breaker moved since the job was started, where it is not plainly closed now, and for
        probes. On a ramp, too: there the calls find out what the dependency bears.
        """
        now = self.breaker
        moved = now is not None and (now.state is not State.CLOSED or now.generation != self.generation)
        return (self.probe or moved) and self.relevance in _OF_THE_DEPENDENCY
