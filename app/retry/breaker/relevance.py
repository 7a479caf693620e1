"""What the outcome of a call says about the dependency that was called."""

from collections.abc import Mapping
from enum import StrEnum

from ..failure import Effect, Failure, FailureType
from .rules import Trip


class Relevance(StrEnum):
    """What an outcome says about the dependency."""

    WORKED = "worked"  # It answered, be it with a refusal of this one call.
    COUNTED = "counted"  # It may be down.
    HOLDS = "holds"  # It lets none of us in until somebody mends something.
    PACED = "paced"  # It works, and asks us to slow down.
    SILENT = "silent"  # Nothing: the failure is ours.


_PERMANENT = ("PERMANENT_", "CONFIG_")


def relevance(failure: Failure | None, trips: Mapping[FailureType, Trip]) -> Relevance:
    """What a failure says about the dependency; None is a success.

    Contention is no outage: two of our own transactions met. A permanent failure proves that the other side answers,
    where it was the other side that refused.
    """
    if failure is None:
        return Relevance.WORKED
    if failure.type is FailureType.TRANSIENT_RATE_LIMIT and failure.type not in trips:
        return Relevance.PACED
    if failure.reason == "contention":
        return Relevance.WORKED
    trip = trips.get(failure.type)
    if trip is not None:
        return Relevance.HOLDS if trip.holds else Relevance.COUNTED
    refused = failure.type.startswith(_PERMANENT) and failure.effect is Effect.REJECTED
    return Relevance.WORKED if refused else Relevance.SILENT
