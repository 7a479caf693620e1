"""Numbers as people read them."""

from functools import lru_cache

_SUFFIXES = {1: "st", 2: "nd", 3: "rd"}
_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{_SUFFIXES.get(number % 10, 'th')}"


# Policies and hints name the same few durations again and again.
@lru_cache(maxsize=1024)
def duration(seconds: float) -> str:
    """``0.5 s``, ``2 s``, ``90 s``, ``6 min 40 s``, ``2 h``, ``1 d 6 h``: at most three figures, or two units.

    Waits under five minutes stay in seconds: they are set, multiplied and compared in seconds.
    """
    return duration_once(seconds)


def duration_once(seconds: float) -> str:
    """The same of a number that will hardly come again, as one that was drawn: it is not remembered."""
    if seconds < 299.5:  # noqa: PLR2004  From here on it would read "300 s".
        return f"{_figures(seconds)} s"
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in _UNITS:
        if whole >= size:
            many, rest = divmod(whole, size)
            few = rest // smaller
            return f"{many} {unit} {few} {smaller_unit}" if few else f"{many} {unit}"
    return f"{whole} s"


def _figures(seconds: float) -> str:
    if seconds >= 59.95:  # noqa: PLR2004  From a minute on nobody reads tenths.
        return f"{seconds:.0f}"
    decimals = 1 if seconds >= 9.995 else 2 if seconds >= 0.0995 else 3  # noqa: PLR2004  Where a third figure begins.
    return f"{seconds:.{decimals}f}".rstrip("0").rstrip(".")
