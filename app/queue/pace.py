"""How many may have been done by now, at a rate that begins low and rises, and as others keep up. Knows no clock."""

from dataclasses import dataclass

RAMP_SECONDS = 10.0
"""How long the rate rises: what goes wrong shows while little has been done."""

FIRST_SHARE = 0.1
"""Of the rate, at the start."""

WAITING_SECONDS = 5.0
"""While as many wait as the rate makes in this time, none is due: whoever does the work is slower than the rate."""

WAITING = (50, 5_000)
"""But always so many may wait, and never more."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate per second that rises evenly from `FIRST_SHARE` of it, over `RAMP_SECONDS`, and then stays."""

    rate: float

    def due(self, seconds: float) -> int:
        """How many are due after so many seconds; the first one at once."""
        rising = min(seconds, RAMP_SECONDS)
        ramp = FIRST_SHARE * rising + (1 - FIRST_SHARE) * rising**2 / (2 * RAMP_SECONDS)
        return 1 + int(self.rate * (ramp + seconds - rising))


class Turn:
    """How many are due now: by the pace, and none while too many of those that are done still wait to be worked on.

    What was not due meanwhile is not made up for: the pace stands still.
    """

    def __init__(self, rate: float) -> None:
        fewest, most = WAITING
        self._pace = Pace(rate)
        self._crowd = min(most, max(fewest, WAITING_SECONDS * rate))
        self._seconds = 0.0
        self._last: float | None = None
        self._done = 0
        self.is_crowded = False

    def due(self, now: float) -> int:
        """How many are due at a time in seconds, which never goes back."""
        if self._last is not None and not self.is_crowded:
            self._seconds += now - self._last
        self._last = now
        return 0 if self.is_crowded else max(0, self._pace.due(self._seconds) - self._done)

    def note(self, done: int, waiting: int | None) -> None:
        """Note how many are done, and how many of those wait; None: nobody has looked."""
        self._done = done
        if waiting is not None:
            self.is_crowded = waiting >= self._crowd
