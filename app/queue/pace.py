"""How many may have been done by now, at a rate that begins low and rises. Knows no clock."""

from dataclasses import dataclass

RAMP_SECONDS = 10.0
"""How long the rate rises: what goes wrong shows while little has been done."""

FIRST_SHARE = 0.1
"""Of the rate, at the start."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate per second that rises evenly from `FIRST_SHARE` of it, over `RAMP_SECONDS`, and then stays."""

    rate: float

    def due(self, seconds: float) -> int:
        """How many are due after so many seconds; the first one at once."""
        rising = min(seconds, RAMP_SECONDS)
        ramp = FIRST_SHARE * rising + (1 - FIRST_SHARE) * rising**2 / (2 * RAMP_SECONDS)
        return 1 + int(self.rate * (ramp + seconds - rising))
