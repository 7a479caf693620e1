"""JSON as a tree that folds. What is copied from it is the JSON itself."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from ..redact import redact
from .charts import as_markup, text_in

MOST_NODES = 400
"""A larger value is shown flat."""

OPEN = 2
"""Levels that are unfolded at first."""


def tree(value: Any, name: str) -> Markup:
    """Draw a value without its secrets; `name` is unique in the page, so that a tree stays as a person folded it."""
    shown = redact(value)
    if not isinstance(shown, dict | list) or not shown or _nodes(shown) > MOST_NODES:
        flat = Element("pre", {"tabindex": "0", "aria-label": name})
        flat.text = as_text(shown)
        return as_markup(flat)
    whole = Element("div", {"class": "tree"})
    _draw(whole, _Node("", shown, "", name), level=0)
    return as_markup(whole)


def as_text(value: Any) -> str:
    """JSON as people read it. Not by orjson: what Postgres keeps may be a number of any length."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _nodes(value: Any) -> int:
    """How many there are, counted no further than is of interest."""
    count, waiting = 0, [value]
    while waiting and count <= MOST_NODES:
        count += 1
        waiting.extend(_children(waiting.pop()))
    return count


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class _Node(NamedTuple):
    """A value with its key and a colon before it, if it has one, and a comma behind it, if another follows."""

    key: str
    value: Any
    comma: str
    name: str


def _draw(parent: Element, node: _Node, *, level: int) -> None:
    value = node.value
    if not isinstance(value, dict | list) or not value:
        leaf = SubElement(parent, "div")
        text_in(leaf, "span", node.key, **{"class": "key"})
        text_in(leaf, "span", as_text(value) + node.comma)
        return
    begin, end = "{}" if isinstance(value, dict) else "[]"
    fold = SubElement(parent, "details", {"id": node.name} | ({"open": ""} if level < OPEN else {}))
    summary = SubElement(fold, "summary", {"data-end": f"{end}{node.comma}"})
    text_in(summary, "span", node.key, **{"class": "key"})
    text_in(summary, "span", begin)
    inside = SubElement(fold, "div")
    keys = [f"{as_text(word)}: " for word in value] if isinstance(value, dict) else [""] * len(value)
    for index, (key, each) in enumerate(zip(keys, _children(value), strict=True)):
        comma = "," if index < len(value) - 1 else ""
        _draw(inside, _Node(key, each, comma, f"{node.name}-{index}"), level=level + 1)
    text_in(fold, "span", end + node.comma)
