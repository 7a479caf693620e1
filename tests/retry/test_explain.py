import json
from datetime import timedelta

import pytest

from app.retry.backoff import Backoff, Jitter
from app.retry.explain import as_json, from_json, line
from app.retry.failure import FailureType
from app.retry.policy import JobLimits
from app.retry.words import duration, ordinal

from .samples import a_failure, by_type, decided, fixed

NETWORK = {"TRANSIENT_NETWORK": {"jitter": Jitter.NONE}}


def test_a_retry_reads():
    """The line of a retry tells the failure, the policy, the number of the retry and the wait."""
    decision = decided(a_failure(), by_type(NETWORK), attempts=1)
    assert line(decision.explanation) == (
        "TRANSIENT_NETWORK (0.97) by httpx.ConnectError · policy exponential 60 s ×2, 2nd retry of 3 → 120 s"
    )


def test_jitter_reads():
    """The line tells by what jitter the wait moved, and to what."""
    text = line(decided(a_failure(), by_type(), attempts=1, seed=3).explanation)
    assert text.endswith("→ 120 s · proportional jitter → 114 s")


def test_a_hint_reads():
    """The line tells who asked for the wait, and what came of it."""
    text = line(decided(a_failure(hint=90.0), by_type(NETWORK)).explanation)
    assert text.endswith("1st retry of 3 → 60 s · Retry-After 90 s is the floor → 90 s")


def test_a_snooze_reads():
    """The line of an honoured hint says that it costs nothing."""
    text = line(decided(a_failure(FailureType.TRANSIENT_RATE_LIMIT, hint=90.0), by_type()).explanation)
    assert text.endswith(" · waits without spending an attempt")


def test_a_burial_reads():
    """The line of a dead letter tells why there is no retry and what helps."""
    failure = a_failure(FailureType.PERMANENT_VALIDATION, exception_type="ValueError")
    assert line(decided(failure, by_type()).explanation) == (
        "PERMANENT_VALIDATION (0.97) by ValueError · not retryable: the same data fails again · FIX_DATA"
    )


def test_spent_retries_read():
    """Where retries are spent, what helps is a retry by hand, not one by itself."""
    text = line(decided(a_failure(), by_type(), attempts=3).explanation)
    assert text == "TRANSIENT_NETWORK (0.97) by httpx.ConnectError · all 3 retries spent · MANUAL_RETRY"


@pytest.mark.parametrize(
    ("limit", "words"), [(0, "no retries allowed"), (1, "the only retry is spent"), (2, "all 2 retries spent")]
)
def test_counts_read(limit: int, words: str):
    """No retry, one and several are each told as people say it, with whose limit it was."""
    text = line(decided(a_failure(), by_type(), attempts=limit, limits=JobLimits(max_retries=limit)).explanation)
    assert f" · {words} (the job's own limit) · " in text


@pytest.mark.parametrize(
    ("backoff", "words"),
    [
        (Backoff.EXPONENTIAL, "policy exponential 2 s ×2, 1st"),
        (Backoff.LINEAR, "policy linear 2 s more each time, 1st"),
        (Backoff.FIBONACCI, "policy fibonacci 2 s, 1st"),
        (Backoff.FIXED, "policy fixed 2 s, 1st"),
        (Backoff.IMMEDIATE, "policy immediate, 1st"),
    ],
)
def test_curves_read(backoff: Backoff, words: str):
    """Each curve is told by its name and its first wait."""
    tier = fixed(backoff=backoff, initial_delay=timedelta(seconds=2))
    assert words in line(decided(a_failure(), tier).explanation)


def test_stored_and_read_back():
    """An explanation survives JSON unchanged."""
    steps = decided(a_failure(hint=90.0), by_type(), attempts=1).explanation
    assert from_json(json.loads(json.dumps(as_json(steps)))) == steps


def test_steps_carry_their_numbers():
    """Each figure in the text stands beside it as a number whose name ends in its unit."""
    steps = decided(a_failure(hint=90.0), by_type(), attempts=1).explanation
    assert [step.name for step in steps] == ["failure", "policy", "hint", "jitter"]
    policy, hint = steps[1].numbers, steps[2].numbers
    assert policy == {"retry_number": 2, "delay_seconds": 120.0}
    assert hint == {"hint_seconds": 90.0, "delay_seconds": 120.0}
    units = {key.rsplit("_", 1)[1] for step in steps for key in step.numbers}
    assert units == {"ratio", "number", "seconds"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.004, "0.004 s"),
        (0.5, "0.5 s"),
        (2, "2 s"),
        (1.834, "1.83 s"),
        (9.999, "10 s"),
        (23.44, "23.4 s"),
        (59.94, "59.9 s"),
        (59.96, "60 s"),
        (109.2, "109 s"),
        (299.4, "299 s"),
        (299.5, "5 min"),
        (300, "5 min"),
        (400, "6 min 40 s"),
        (3599.7, "1 h"),
        (7200, "2 h"),
        (84_600, "23 h 30 min"),
        (86_400, "1 d"),
        (108_000, "1 d 6 h"),
        (315_360_000, "3650 d"),
    ],
)
def test_durations(seconds: float, words: str):
    """Durations read as people say them."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st")],
)
def test_ordinals(number: int, words: str):
    """1st, 2nd, 3rd, and the teens."""
    assert ordinal(number) == words
