"""One action on many jobs, before it is one."""

import pytest

from app.queue.many import Chosen, NothingChosen
from app.store.jobs import JobFilter


@pytest.mark.parametrize("empty", [{}, {"text": ""}, {"tasks_of_type": []}, {"metadata": {}}])
def test_what_leaves_nothing_out_is_refused(empty: dict[str, object]):
    """A filter that is there and empty would mean every job there is, and is refused as none is."""
    with pytest.raises(NothingChosen):
        Chosen((), JobFilter(**empty)).check()  # type: ignore[arg-type]  # Each is as it should be.
    Chosen((7,), JobFilter(**empty)).check()  # type: ignore[arg-type]  # As above.
