"""What every measuring module is given: the server, the scale, and a word about how far it is."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console

from .scale import Scale
from .server import BenchServer


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the benchmark."""

    server: BenchServer
    scale: Scale
    console: Console

    def rounds(self, what: str) -> Iterator[int]:
        """The numbers of the rounds, each announced."""
        for number in range(1, self.scale.rounds + 1):
            self.console.print(f"[dim]{what}: round {number} of {self.scale.rounds}[/dim]")
            yield number
