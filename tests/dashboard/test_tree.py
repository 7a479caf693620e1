"""JSON as a tree that folds."""

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.tree import MOST_NODES, tree

floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | floats | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=20,
)


def read(value: Any) -> ET.Element:
    """As a strict parser reads it."""
    return ET.fromstring(tree(value, "x"))  # noqa: S314 - it was made here.


@given(st.lists(st.integers() | st.none()) | st.dictionaries(st.sampled_from("abc"), st.lists(st.booleans())))
def test_copied_it_is_json(value: Any):
    """The text of a tree, as somebody copies it, is the JSON that it shows."""
    assert json.loads("".join(read(value).itertext())) == value


@given(json_values)
def test_well_formed(value: Any):
    """Whatever JSON it is, the drawing is well-formed, and its text is JSON."""
    json.loads("".join(read(value).itertext()))


@pytest.mark.parametrize("value", [1, "text", None, [], {}, list(range(MOST_NODES + 1))])
def test_flat(value: Any):
    """What has no branches, or too many, is shown as it is."""
    flat = read(value)
    assert flat.tag == "pre"
    assert json.loads(flat.text or "") == value


def test_folds():
    """Two levels are unfolded at first; each fold has a name of its own, and says what it hides."""
    drawn = read({"customer": {"name": "Ada", "orders": [1, 2]}, "number": 7})
    folds = list(drawn.iter("details"))
    assert ["open" in each.attrib for each in folds] == [True, True, False]
    assert len({each.attrib["id"] for each in folds}) == 3
    assert [each.attrib["data-end"] for each in drawn.iter("summary")] == ["}", "},", "]"]


def test_secrets():
    """A secret is not in it."""
    assert "hunter2" not in tree({"password": "hunter2", "safe": [1]}, "x")


def test_text_is_text():
    """Markup in a value is shown, not obeyed."""
    assert "<script>" not in tree({"<script>": ["<script>"]}, "x")
