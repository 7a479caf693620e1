"""Which letters a bulk action is about is kept, and read again by whoever goes on with it."""

from datetime import UTC, datetime

import orjson
import pytest

from app.store.dead_letters import LetterFilter


@pytest.mark.parametrize(
    "chosen",
    [
        LetterFilter(),
        LetterFilter(status="pending", bulk=7, text="50%", replays_below=0),
        LetterFilter(dependency="db", tasks_of_dependency=("a", "b"), any_type=("UNKNOWN",)),
        LetterFilter(died_from=datetime(2026, 5, 4, 12, tzinfo=UTC)),
        LetterFilter(any_task=(), any_type=()),
    ],
)
def test_what_was_kept_is_what_was_asked_for(chosen: LetterFilter):
    """It comes back as it was: one of no tasks is no letter, and never all of them."""
    kept = LetterFilter.from_json(orjson.loads(chosen.as_json()))
    assert kept == chosen
    assert kept.is_empty is chosen.is_empty
