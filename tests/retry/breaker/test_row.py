"""A breaker as a row, and back."""

import json

import pytest

from app.retry.breaker.row import COLUMNS, JSON_COLUMNS, as_row, from_row
from app.retry.breaker.states import State, checked_name

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


@pytest.mark.parametrize("name", ["joke-api", "api.example.com:8443/v2", "Wetter in Köln", "x" * 255])
def test_names(name: str):
    """A dependency may be called anything that is text and not too long."""
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "\udc80.example"], ids=["none", "long", "NUL", "half"])
def test_no_names(name: str):
    """What no row can hold is refused, and told in a line that can be shown."""
    with pytest.raises(ValueError, match="text of 1 to 255 characters") as refusal:
        checked_name(name)
    assert str(refusal.value).encode()
    assert len(str(refusal.value)) < 200
