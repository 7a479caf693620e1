"""Randomness for one decision, which draws once or twice: Python's own generator takes as long to seed as to decide."""

from random import Random

_WORD = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


class Draws:
    """Numbers that follow from a seed: SplitMix64 (Steele, Lea and Flood, "Fast Splittable PRNGs", 2014)."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = _mixed(seed & _WORD)  # Mixed, or the second draw of one seed would be the first of another.

    def uniform(self, low: float, high: float) -> float:
        """A number from `low` to `high`, all alike."""
        self._state = (self._state + _STEP) & _WORD
        return low + (high - low) * ((_mixed(self._state) >> 11) / (1 << 53))


def _mixed(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
    return word ^ word >> 31


Chance = Random | Draws
"""What decisions are drawn from."""
