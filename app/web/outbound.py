"""How many jobs of tasks that reach out one key may hand in: a key that leaks is no mail cannon. Held in memory."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from ..queue.catalog import TaskInfo
from .errors import TooManyJobs

PERIOD_SECONDS = 60.0

MOST_BUCKETS = 10_000
"""Beyond, the pair of key and task that was quiet for longest is forgotten."""


@dataclass(slots=True)
class Spending:
    """Jobs that are being handed in.

    Attributes:
        made: False: it turned out that there was nothing to be made.
    """

    made: bool = True


@dataclass(slots=True)
class OutboundLimit:
    """A token bucket for each key and task: a minute's jobs at once after a rest, then as many a minute.

    Many jobs at once are let in where the bucket is full enough for a minute's worth of them; the rest is owed.

    Attributes:
        limit: Jobs in a minute; 0: no limit.
        clock: Seconds, of any steady clock.
    """

    limit: int
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[tuple[str, str], tuple[float, float]] = field(default_factory=OrderedDict)

    @contextmanager
    def spending(self, key: str, info: TaskInfo | None, args: Iterable[Mapping[str, Any]]) -> Iterator[Spending]:
        """Let a key hand in jobs of a task with these arguments. What is refused inside, or not made, does not count.

        Of a task that is not known here (None) no job is made.

        Raises:
            TooManyJobs: It has to wait first.
        """
        spent = Spending()
        jobs = sum(map(info.reaches_out, args)) if self.limit and info else 0
        if not jobs or info is None:
            yield spent
            return
        self._take(key, info, jobs)
        done = False
        try:
            yield spent
            done = spent.made
        finally:
            if not done:
                self._put(key, info.name, self._tokens(key, info.name) + jobs)

    def _take(self, key: str, info: TaskInfo, jobs: int) -> None:
        tokens = self._tokens(key, info.name)
        missing = min(jobs, self.limit) - tokens
        if missing > 0:
            raise TooManyJobs(info.slug or info.name, self.limit, missing * PERIOD_SECONDS / self.limit)
        self._put(key, info.name, tokens - jobs)

    def _tokens(self, key: str, task: str) -> float:
        tokens, then = self._buckets.get((key, task), (float(self.limit), self.clock()))
        return min(float(self.limit), tokens + (self.clock() - then) * self.limit / PERIOD_SECONDS)

    def _put(self, key: str, task: str, tokens: float) -> None:
        self._buckets[key, task] = (tokens, self.clock())
        self._buckets.move_to_end((key, task))
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)


async def _outbound(request: Request) -> OutboundLimit:
    limit: OutboundLimit = request.app.state.outbound
    return limit


Outbound = Annotated[OutboundLimit, Depends(_outbound)]
"""The limit of this server, for routes that hand jobs in."""
