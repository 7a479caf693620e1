"""An explanation as words and as data. It words what was decided; it never decides."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .policy import Step

SEPARATOR = " · "


def line(steps: Iterable[Step]) -> str:
    """The whole explanation as one readable line."""
    return SEPARATOR.join(step.text for step in steps)


def as_json(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """As stored with the attempt: ``[{"name": …, "text": …, "numbers": {…}}, …]``."""
    return [{"name": step.name, "text": step.text, "numbers": dict(step.numbers)} for step in steps]


def from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """The inverse of `as_json`.

    Raises:
        KeyError: It is not an explanation.
    """
    return tuple(Step(each["name"], each["text"], dict(each["numbers"])) for each in stored)
