"""The pace of a bulk action."""

import pytest

from app.queue.pace import RAMP_SECONDS, Pace, Turn


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


@pytest.mark.parametrize(("rate", "crowd"), [(1, 50), (100, 500), (10_000, 5_000)])
def test_it_waits_for_whoever_does_the_work(rate: float, crowd: int):
    """Nothing is due while as many wait as are made in 5 s; then it goes on as if no time had passed."""
    turn = Turn(rate)
    assert turn.due(0) == 1
    turn.note(1, crowd - 1)
    due = turn.due(20)
    assert due == Pace(rate).due(20) - 1
    turn.note(1 + due, crowd)
    assert (turn.is_crowded, turn.due(21), turn.due(10_000)) == (True, 0, 0)
    turn.note(1 + due, None)
    assert turn.due(10_001) == 0
    turn.note(1 + due, crowd - 1)
    assert turn.due(10_001) == 0
    assert turn.due(10_002) == int(rate)
