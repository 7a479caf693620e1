"""The pace of a bulk action."""

import pytest

from app.queue.pace import RAMP_SECONDS, Pace


@pytest.mark.parametrize(
    ("seconds", "due"), [(0, 1), (1, 15), (RAMP_SECONDS, 551), (RAMP_SECONDS + 1, 651), (RAMP_SECONDS + 60, 6551)]
)
def test_it_rises_to_its_rate(seconds: float, due: int):
    """It begins with a tenth of its rate, one at once, and after the ramp keeps the rate."""
    assert Pace(100).due(seconds) == due


def test_it_never_falls_back():
    """What was due stays due, at any rate."""
    for rate in (0.01, 1, 7, 10_000):
        dues = [Pace(rate).due(each / 10) for each in range(300)]
        assert dues == sorted(dues)
