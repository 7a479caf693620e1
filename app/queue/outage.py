"""Tells once that the database is lost, and once that it is back, however many parts of a worker notice."""

import time
from dataclasses import dataclass, field

from ..telemetry import DatabaseBack, DatabaseLost, emit


@dataclass(slots=True)
class Outage:
    """What one worker knows of the database's absence."""

    _affected: set[str] = field(default_factory=set)
    _since: float = 0.0

    def lost(self, part: str, error: BaseException) -> None:
        """Note that `part` cannot work."""
        if not self._affected:
            self._since = time.monotonic()
            emit(DatabaseLost(str(error) or type(error).__name__))
        self._affected.add(part)

    def back(self, part: str) -> None:
        """Note that `part` can work."""
        if self._affected:
            self._affected.discard(part)
            if not self._affected:
                emit(DatabaseBack(time.monotonic() - self._since))
