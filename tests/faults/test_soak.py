"""The short form of the soak, and its verdict; `make soak` runs the long one."""

import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from . import soak
from .soak_report import Account, Report, Sample

MB = 1_000_000


def test_soak():
    """Under a short retention every job ends once, what is over is forgotten, and the run says what everything took."""
    report = soak.run(minutes=0.2)
    sys.stdout.write(f"{report}\n")
    assert not report.account.wrong, str(report)
    last = report.samples[-1]
    assert last.jobs > 30
    assert last.rows["procrastinate_jobs"] < last.jobs
    assert set(last.memory) == set(last.descriptors) == {"worker", "API"}
    assert not report.is_judged
    assert "memory of the worker" in str(report)


def flat(number: int) -> Sample:
    """One of the samples of a run in which nothing grows but what samples by the minute take."""
    return Sample(
        at=number * 10.0,
        jobs=number * 100,
        memory={"worker": 90 * MB + number % 3 * MB},
        descriptors={"worker": 20 + number % 2},
        backends=10,
        bytes={"procrastinate_jobs": 4 * MB, "afresh.task_sample": number * MB},
        rows={"procrastinate_jobs": 1000 + number % 5, "afresh.task_sample": number * 10},
    )


def report_of(change: Any = lambda _: {}, *, minutes: float = 20, **account: Any) -> Report:
    """What is said of a run whose samples differ so from flat ones."""
    samples = [replace(sample, **change(sample)) for sample in map(flat, range(60))]
    balanced: dict[str, Any] = {"fatal": {2}, "settled": 1, "unsettled": 0, "unended": [], "trouble": []}
    given = {"accepted": {1, 2}, "ends": Counter({1: 1, 2: 1})} | balanced | account
    return Report(samples, Account(**given), minutes=minutes, requests=Counter(submit=2))


def test_flat_run():
    """A run in which only samples grow is sound."""
    report = report_of()
    assert report.is_sound, str(report)
    assert "Flat, and every job is accounted for." in str(report)


def grown(sample: Sample, name: str) -> dict[str, Any]:
    """One of its numbers, half as much again in the course of the run."""
    numbers = getattr(sample, name)
    times = 1 + sample.at / 600 * 2
    return {name: {key: int(value * times) for key, value in numbers.items()} if numbers != 10 else int(10 * times)}


@pytest.mark.parametrize("name", ["memory", "descriptors", "backends", "bytes", "rows"])
def test_growth(name: str):
    """Whatever grows makes a run unsound and is named, unless the run was too short to tell."""
    report = report_of(partial(grown, name=name))
    assert not report.is_sound
    assert "UNSOUND: " in str(report)
    assert report_of(partial(grown, name=name), minutes=1).is_sound


@pytest.mark.parametrize(
    "account",
    [
        {"ends": Counter({1: 1})},
        {"ends": Counter({1: 2, 2: 1})},
        {"ends": Counter({1: 1, 2: 1, 3: 1})},
        {"settled": 0},
        {"unended": [1]},
        {"trouble": ["submit: 500"]},
    ],
    ids=["lost", "ended twice", "nobody's", "without its letter", "still waits", "refused"],
)
def test_account(account: dict[str, Any]):
    """What does not add up makes any run unsound."""
    assert not report_of(**account).is_sound
    assert not report_of(minutes=1, **account).is_sound
