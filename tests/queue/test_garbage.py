import gc

import pytest

from app.queue.garbage import YOUNG_OBJECTS, collect_less_often


def test_less_often():
    """The collector looks less often than Python has it look."""
    gc.set_threshold(700, 10, 10)
    collect_less_often()
    assert gc.get_threshold() == (YOUNG_OBJECTS, 10, 10)


@pytest.mark.parametrize("own", [(0, 10, 10), (5 * YOUNG_OBJECTS, 5, 5)])
def test_own_thresholds(own: tuple[int, int, int]):
    """A process that collects by itself, or less often still, keeps its thresholds."""
    gc.set_threshold(*own)
    collect_less_often()
    assert gc.get_threshold() == own
