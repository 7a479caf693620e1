"""A breaker's row and back. Columns are the fields of `Breaker`; slots and permits are JSON, the rest is plain."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from ..failure import FailureType
from .states import Breaker, Permit, Slot, State

COLUMNS = tuple(each.name for each in fields(Breaker))
"""In the order of `Breaker`'s fields."""

JSON_COLUMNS = frozenset({"slots", "permits"})


def as_row(breaker: Breaker) -> dict[str, Any]:
    """The columns: text, integers, floats, aware datetimes and lists; `JSON_COLUMNS` are ready for `json.dumps`."""
    row = {name: getattr(breaker, name) for name in COLUMNS}
    row["state"] = breaker.state.value
    row["failure_type"] = None if breaker.failure_type is None else breaker.failure_type.value
    row["hold_jobs"] = list(breaker.hold_jobs)
    row["slots"] = [[*slot[:-1], list(slot.jobs)] for slot in breaker.slots]
    row["permits"] = [[permit.number, permit.expires_at.isoformat()] for permit in breaker.permits]
    return row


def from_row(row: Mapping[str, Any]) -> Breaker:
    """The inverse of `as_row`.

    Raises:
        KeyError: A column is missing.
        ValueError: A value is none of its column's.
    """
    values = {name: row[name] for name in COLUMNS}
    kind = values["failure_type"]
    values["state"] = State(values["state"])
    values["failure_type"] = None if kind is None else FailureType(kind)
    values["hold_jobs"] = tuple(values["hold_jobs"])
    values["slots"] = tuple(_slot(*each) for each in values["slots"])
    values["permits"] = tuple(Permit(number, datetime.fromisoformat(at)) for number, at in values["permits"])
    return Breaker(**values)


def _slot(second: int, successes: int, failures: int, pressure: float, jobs: list[int]) -> Slot:
    return Slot(second, successes, failures, pressure, tuple(jobs))
