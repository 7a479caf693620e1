"""One name for one cause."""

import time

import pytest

from app.retry.classify import classify
from app.retry.fingerprint import normalise

_SOURCE = """
def load(key):
    raise LookupError(f"no order {key} for 'Ada'")

def task(key):
    load(key)
"""


def failure_of(source: str, key: object) -> str:
    """The fingerprint of what `task(key)` raises, compiled from `source`."""
    names: dict[str, object] = {"__name__": "shop.orders"}
    exec(compile(source, "/srv/shop/orders.py", "exec"), names)  # noqa: S102 - The test's own text.
    try:
        names["task"](key)  # type: ignore[operator]  # Defined by the source.
    except LookupError as exc:
        return classify(exc).fingerprint
    raise AssertionError("it must raise")


def test_stable_when_lines_move():
    """A release that only moves lines changes nothing."""
    assert failure_of(_SOURCE, 1) == failure_of("\n\n# moved\n\n" + _SOURCE, 1)


def test_stable_over_data():
    """Ids and quoted values are not part of the cause."""
    assert failure_of(_SOURCE, 1) == failure_of(_SOURCE.replace("Ada", "Grace"), "ord_8f3kd0")


def test_differs_by_place():
    """The same words from another function are another cause."""
    assert failure_of(_SOURCE, 1) != failure_of(_SOURCE.replace("load", "fetch"), 1)


def test_differs_by_words():
    """Other words from the same place are another cause."""
    assert failure_of(_SOURCE, 1) != failure_of(_SOURCE.replace("no order", "no customer"), 1)


@pytest.mark.parametrize(
    ("message", "normal"),
    [
        ("order 17 not found", "order # not found"),
        ("job 3f2504e0-4f89-11d3-9a0c-0305e82c3301 died", "job # died"),
        ("at 0x7f3a2b1c", "at #"),
        ("user 'Ada' and \"Bob\"", "user and"),
        ("mail to ada@example.org failed", "mail to # failed"),
        ("can't open it", "can't open it"),
        ("took 1.5s at 2026-05-04T12:00:00Z", "took # at #"),
        ("10.0.0.1:5432 refused", "# refused"),
        ("order-17 is not there", "order-# is not there"),
        ("worker-7f9c-x2 got -5", "worker-# got -#"),
    ],
)
def test_normalise(message: str, normal: str):
    """What differs between occurrences is removed."""
    assert normalise(message) == normal


@pytest.mark.parametrize(
    "text", ["a" * 10**6, "a-" * 10**6, "'" * 10**6, "1" * 10**6, "a@" * 10**6, "((" * 10**6, " 'a" * 10**6]
)
def test_linear(text: str):
    """No message is slow: a megabyte of the worst takes no time."""
    start = time.perf_counter()
    classify(RuntimeError(text))
    assert time.perf_counter() - start < 0.05
