"""The drawing of a breaker's states."""

from xml.etree import ElementTree as ET

import pytest

from app.dashboard.machine import MEANING, WAYS, drawn, ways_from
from app.retry.breaker.states import LEGAL, State


def test_every_way_has_words():
    """What the pages say that leads from one state to another is what may."""
    assert {before: frozenset(after for after, _ in ways_from(before)) for before in State} == dict(LEGAL)
    assert set(MEANING) == set(State)


@pytest.mark.parametrize("state", State)
def test_present_state(state: State):
    """One state is marked as the present one, in the drawing and in its name."""
    drawing = ET.fromstring(drawn(state))  # noqa: S314 - it was made here.
    present = [box.find("text") for box in drawing.iter("g") if "present" in box.attrib["class"].split()]
    spoken = state.value.replace("_", "-")
    assert [text.text for text in present if text is not None] == [spoken]
    assert f"It is {spoken}. From here" in (drawing.findtext("title") or "")


@pytest.mark.parametrize(("before", "after"), WAYS)
def test_way_that_was_taken(before: State, after: State):
    """The way that led to the present state stands out, and is named."""
    drawing = ET.fromstring(drawn(after, before))  # noqa: S314 - it was made here.
    assert len([way for way in drawing.iter("g") if way.attrib["class"] == "way taken"]) == 1
    assert f"coming from {before.value.replace('_', '-')}" in (drawing.findtext("title") or "")
