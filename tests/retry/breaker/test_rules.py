"""Where the figures come from."""

from datetime import timedelta

import pytest

from app.retry.breaker.rules import Overrides, Trip, break_seconds, probe_interval, rules_from
from app.retry.failure import FailureType
from app.retry.presets import default_policies

from .driver import RULES


def test_figures_of_the_types():
    """Threshold and break are those of the failure's policy."""
    assert RULES.trips[FailureType.EXTERNAL_API_DOWN] == Trip(3, 1800.0)
    assert RULES.trips[FailureType.UNKNOWN] == Trip(10, 300.0, 0.8)
    assert RULES.trips[FailureType.PERMANENT_AUTH] == Trip(3, 900.0, 1.0, holds=True)
    assert FailureType.TRANSIENT_RATE_LIMIT not in RULES.trips


def test_settings_rule_for_all_types():
    """BREAKER_FAILURES and BREAKER_SECONDS rule over every type's own; holds count jobs, three of them, and stay."""
    rules = rules_from(
        default_policies(),
        Overrides(
            failures=7,
            break_duration=timedelta(seconds=20),
            ratio=0.9,
            half_open_max_calls=1,
            window=timedelta(seconds=30),
        ),
    )
    assert rules.trips[FailureType.EXTERNAL_API_DOWN] == Trip(7, 20.0, 0.9)
    assert rules.trips[FailureType.UNKNOWN] == Trip(7, 20.0, 0.9)
    for held_by in (FailureType.PERMANENT_AUTH, FailureType.CONFIG_MISSING_SETTING):
        assert rules.trips[held_by] == Trip(3, 900.0, 1.0, holds=True)
    assert (rules.half_open_max_calls, rules.window_seconds) == (1, 30.0)


def test_one_dependency_rules_over_all():
    """What is set for one dependency wins over what is set for all; the rest stays."""
    one = Overrides(failures=2, early_probe=False).over(
        Overrides(failures=9, window=timedelta(seconds=30), early_probe=True)
    )
    assert one == Overrides(failures=2, window=timedelta(seconds=30), early_probe=False)
    assert not rules_from(default_policies(), one).early_probe


@pytest.mark.parametrize(("seconds", "interval"), [(10, 5), (60, 6), (300, 30), (1800, 60)])
def test_probe_interval(seconds: float, interval: float):
    """min(60 s, max(5 s, break / 10))."""
    assert probe_interval(seconds) == timedelta(seconds=interval)


def test_a_long_first_break_is_not_cut():
    """A break set longer than the cap stays as it was set, and does not grow."""
    assert break_seconds(Trip(break_seconds=7200.0), 10_000) == 7200.0
