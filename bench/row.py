"""One line of the table: a number, what is required of it, and where it is going."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measured number.

    Attributes:
        value: The median of the rounds.
        lowest, highest: Of the rounds.
        required, goal: What the number is held to; None: it is only shown.
        smaller_is_better: Whether `required` and `goal` are upper bounds.
        note: The absolute numbers behind a ratio.
    """

    name: str
    value: float
    unit: str
    lowest: float | None = None
    highest: float | None = None
    required: float | None = None
    goal: float | None = None
    smaller_is_better: bool = False
    note: str = ""

    def meets(self, bound: float | None) -> bool | None:
        """Whether the number keeps the bound; None without one."""
        if bound is None:
            return None
        return self.value <= bound if self.smaller_is_better else self.value >= bound


def from_rounds(name: str, values: Sequence[float], unit: str, **rest: object) -> Row:
    """The row of one number measured in several rounds."""
    return Row(name=name, value=median(values), unit=unit, lowest=min(values), highest=max(values), **rest)  # type: ignore[arg-type]  # Row's own fields, by keyword.


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], **rest: object) -> Row:
    """How many times `theirs` our number is, round by round, so that a noisy moment hits both sides of one ratio."""
    shown = f"{plain(median(ours))} : {plain(median(theirs))}"
    note = f"{shown} {rest.pop('of', '')}".strip()
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return from_rounds(name, pairs, "×", note=note, **rest)


def plain(number: float) -> str:
    """A number as people read it: three digits that matter, thousands apart."""
    if abs(number) >= 100:  # noqa: PLR2004  From three digits on, decimals tell nothing.
        return f"{number:,.0f}".replace(",", " ")
    return f"{number:.3g}"
