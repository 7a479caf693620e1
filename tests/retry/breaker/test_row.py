"""A breaker as a row, and back."""

import json

import pytest

from app.retry.breaker.row import COLUMNS, JSON_COLUMNS, as_row, from_row
from app.retry.breaker.states import State

from .driver import Driver
from .test_transitions import MAKERS


@pytest.mark.parametrize("state", State)
def test_round_trip(state: State):
    """What is stored is what is read again, in every state."""
    driver = MAKERS[state]()
    driver.claim(2)
    assert from_row(as_row(driver.breaker)) == driver.breaker


def test_through_json():
    """The columns that are JSON survive it."""
    breaker = Driver().failing(2).report(holding=(5,)).breaker
    row = as_row(breaker)
    assert tuple(row) == COLUMNS
    for column in JSON_COLUMNS:
        row[column] = json.loads(json.dumps(row[column]))
    assert from_row(row) == breaker
