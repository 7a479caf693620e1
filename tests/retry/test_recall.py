"""Failures met before are looked up, and no two that differ are taken for one."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.retry import recall
from app.retry.classify import Context, classify
from app.retry.failure import Failure, FailureType
from app.retry.rules import Rule

REFUSED = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 5432)")


class SlottedError(Exception):
    """Keeps its number where no dictionary shows it."""

    __slots__ = ("errno",)

    def __init__(self, errno: int) -> None:
        super().__init__("it failed")
        self.errno = errno


class ComputedError(Exception):
    """Works its number out."""

    numbers: Iterator[int]

    @property
    def errno(self) -> int:
        """Another one each time."""
        return next(self.numbers)


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    recall._known.clear()


def failed(exc: BaseException, context: Context | None = None) -> Failure:
    """What it means, raised by the same line each time."""
    with pytest.raises(type(exc)) as raised:
        _raise(exc)
    failure = classify(raised.value, context or Context())
    exc.__traceback__ = None
    return failure


def _raise(exc: BaseException) -> None:
    raise exc


def test_met_again():
    """The same words at the same place are the same failure, looked up the second time."""
    first, second = failed(REFUSED), failed(ConnectionRefusedError(*REFUSED.args))
    assert second is first
    assert first.type is FailureType.TRANSIENT_NETWORK


def test_looked_up_or_not_it_is_the_same():
    """A failure that is looked up is told as if it were new."""
    known = [failed(REFUSED), failed(REFUSED)][1]
    recall._known.clear()
    assert failed(REFUSED) == known


def test_other_words():
    """Another number or another text is another failure."""
    assert failed(OSError(28, "it failed")).type is FailureType.SYSTEM_DISK_FULL
    assert failed(OSError(111, "it failed")).type is FailureType.TRANSIENT_NETWORK


def test_other_place():
    """The same words from elsewhere have a fingerprint of their own."""

    def raised_elsewhere() -> None:
        raise ConnectionRefusedError(*REFUSED.args)

    with pytest.raises(ConnectionRefusedError) as raised:
        raised_elsewhere()
    assert classify(raised.value).fingerprint != failed(REFUSED).fingerprint


def test_other_attributes():
    """What an exception carries beside its words is read each time."""

    def answered(status: int) -> FailureType:
        exc = RuntimeError("the call failed")
        exc.status_code = status  # type: ignore[attr-defined]  # As clients set it, on whatever they raise.
        return failed(exc).type

    assert [answered(each) for each in (503, 401, 503)] == [
        FailureType.EXTERNAL_API_DOWN,
        FailureType.PERMANENT_AUTH,
        FailureType.EXTERNAL_API_DOWN,
    ]


@pytest.mark.parametrize("make", [SlottedError, lambda _: ComputedError("it failed")], ids=["slots", "property"])
def test_attributes_outside_the_dictionary(make: Any):
    """An exception that keeps numbers elsewhere, or works them out, is looked at each time."""
    ComputedError.numbers = iter([28] * 9)
    assert failed(make(28)) is not failed(make(28))


def test_other_causes():
    """What led to it is read each time."""
    exc = RuntimeError("the call failed")
    assert failed(exc).type is FailureType.UNKNOWN
    exc.__cause__ = REFUSED
    assert failed(exc).type is FailureType.TRANSIENT_NETWORK


def test_other_rules():
    """A rule that is added counts from then on, and one that judges is asked each time."""
    named = Context(rules=(Rule("mine", FailureType.PERMANENT_CONFLICT, pattern=re.compile("refused|failed")),))
    answers = iter([FailureType.PERMANENT_AUTH, FailureType.TRANSIENT_RESOURCE])
    judged = Context(rules=(Rule("judge", judge=lambda _: next(answers)),))
    assert failed(REFUSED).type is FailureType.TRANSIENT_NETWORK
    assert failed(REFUSED, named).type is FailureType.PERMANENT_CONFLICT
    assert failed(REFUSED, judged).type is FailureType.PERMANENT_AUTH
    assert failed(REFUSED, judged).type is FailureType.TRANSIENT_RESOURCE


def test_other_past():
    """How often the job failed so before is part of the question."""
    first = failed(REFUSED)
    again = failed(REFUSED, Context(previous=(first.fingerprint,)))
    assert again.confidence < first.confidence


def test_variables_of_the_frame():
    """A key that was asked of the data is a wrong argument, elsewhere a bug: the data are looked at each time."""

    def ask(data: dict[str, int], other: dict[str, int]) -> None:
        raise KeyError((data or other) and "name")

    def asked(data: dict[str, int]) -> FailureType:
        with pytest.raises(KeyError) as raised:
            ask(data, {"name": 1})
        return classify(raised.value).type

    assert asked({"x": 1}) is FailureType.PERMANENT_VALIDATION
    assert asked({"name": 1}) is not FailureType.PERMANENT_VALIDATION


def test_no_more_than_are_kept():
    """A process that meets a new failure each time keeps a bounded number."""
    for number in range(recall.MOST_KNOWN + 10):
        failed(OSError(number, "it failed"))
    assert len(recall._known) <= recall.MOST_KNOWN
