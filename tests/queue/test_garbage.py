import gc
from collections.abc import Iterator

import pytest

from app.queue.garbage import YOUNG_OBJECTS, collect_less_often


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    """Leave the collector as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_less_often():
    """The collector looks less often than Python has it look, and not at what was loaded before."""
    gc.set_threshold(700, 10, 10)
    collect_less_often()
    assert gc.get_threshold() == (YOUNG_OBJECTS, 10, 10)
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize("own", [(0, 10, 10), (5 * YOUNG_OBJECTS, 5, 5)])
def test_own_thresholds(own: tuple[int, int, int]):
    """A process that collects by itself, or less often still, keeps its thresholds."""
    gc.set_threshold(*own)
    collect_less_often()
    assert gc.get_threshold() == own
