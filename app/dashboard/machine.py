"""The states of a breaker as people see them: what each means, what leads to the next, and a drawing of them."""

from collections.abc import Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from ..retry.breaker.states import State
from .charts import as_markup, number, text_in

MEANING: Mapping[State, str] = {
    State.CLOSED: "Its jobs run.",
    State.OPEN: "Its jobs wait until a probe finds that it is back.",
    State.HALF_OPEN: "Probes run, three at the same time at most. The other jobs wait.",
    State.RAMPING: "Its jobs come back little by little, so many a second.",
    State.HELD: "Its jobs wait until somebody mends credentials or a setting. Now and then a probe looks.",
    State.ISOLATED: "Its jobs wait, and nothing is probed, until an operator resets it.",
}

WAYS: Mapping[tuple[State, State], str] = {
    (State.CLOSED, State.OPEN): "enough calls fail",
    (State.CLOSED, State.HELD): "credentials or a setting are refused",
    (State.CLOSED, State.RAMPING): "a rate limit asks for it",
    (State.OPEN, State.HALF_OPEN): "the break is over, or an early probe works",
    (State.OPEN, State.RAMPING): "a probe meets a rate limit, or an operator resets it",
    (State.HALF_OPEN, State.OPEN): "a probe fails",
    (State.HALF_OPEN, State.RAMPING): "three probes work, or an operator resets it",
    (State.RAMPING, State.CLOSED): "it has not been the limit for a minute",
    (State.RAMPING, State.OPEN): "half of the calls of a step fail",
    (State.RAMPING, State.HELD): "credentials or a setting are refused",
    (State.HELD, State.RAMPING): "a probe works, or an operator resets it",
    (State.ISOLATED, State.RAMPING): "an operator resets it",
}
"""When a breaker goes from one state to another. To isolated it goes from everywhere, by an operator."""

WIDE, HIGH = 440, 250
HALF_WIDE, HALF_HIGH = 50.0, 19.0
"""Of the box of a state."""

ASIDE = 8.0
"""How far two arrows between the same boxes keep from the middle."""

HEAD = 7.0
"""How long an arrow's head is."""


class Point(NamedTuple):
    """A place in the drawing."""

    x: float
    y: float


PLACES: Mapping[State, Point] = {
    State.CLOSED: Point(54, 125),
    State.OPEN: Point(220, 30),
    State.HALF_OPEN: Point(386, 30),
    State.RAMPING: Point(220, 125),
    State.HELD: Point(220, 220),
    State.ISOLATED: Point(386, 220),
}


def ways_from(state: State) -> list[tuple[State, str]]:
    """Where a breaker goes from here, and when."""
    ways = [(after, why) for (before, after), why in WAYS.items() if before is state]
    return ways if state is State.ISOLATED else [*ways, (State.ISOLATED, "an operator isolates it")]


def spoken(state: State) -> str:
    """The name of a state as people say it."""
    return state.value.replace("_", "-")


def drawn(present: State, before: State | None = None) -> Markup:
    """Draw the states with the present one marked, and the way that led there."""
    svg = Element("svg", {"class": "machine", "role": "img", "viewBox": f"0 0 {WIDE} {HIGH}"})
    came = f", coming from {spoken(before)}" if before else ""
    onward = ", ".join(spoken(after) for after, _ in ways_from(present))
    text_in(svg, "title", f"The states of a breaker. It is {spoken(present)}{came}. From here it can become {onward}.")
    for start, end in WAYS:
        _arrow(svg, start, end, taken=(start, end) == (before, present))
    _from_anywhere(svg, taken=present is State.ISOLATED)
    for state, place in PLACES.items():
        _box(svg, state, place, present=state is present)
    return as_markup(svg)


def _box(svg: Element, state: State, place: Point, *, present: bool) -> None:
    box = SubElement(svg, "g", {"class": f"box {state.value}{' present' if present else ''}"})
    drawn_at = {"x": number(place.x - HALF_WIDE), "y": number(place.y - HALF_HIGH)}
    SubElement(box, "rect", drawn_at | {"width": number(2 * HALF_WIDE), "height": number(2 * HALF_HIGH), "rx": "6"})
    text_in(box, "text", spoken(state), x=number(place.x), y=number(place.y + 5), **{"text-anchor": "middle"})


def _arrow(svg: Element, before: State, after: State, *, taken: bool) -> None:
    start, end = PLACES[before], PLACES[after]
    across, down = end.x - start.x, end.y - start.y
    length = (across**2 + down**2) ** 0.5
    aside = ASIDE if (after, before) in WAYS else 0.0
    shift = Point(-down / length * aside, across / length * aside)
    inside = min(HALF_WIDE / abs(across) if across else 1.0, HALF_HIGH / abs(down) if down else 1.0)
    _line(
        svg,
        Point(start.x + across * inside + shift.x, start.y + down * inside + shift.y),
        Point(end.x - across * inside + shift.x, end.y - down * inside + shift.y),
        taken=taken,
    )


def _from_anywhere(svg: Element, *, taken: bool) -> None:
    place = PLACES[State.ISOLATED]
    text_in(svg, "text", "from any state", x=number(place.x), y=number(place.y - 66), **{"text-anchor": "middle"})
    _line(svg, Point(place.x, place.y - 58), Point(place.x, place.y - HALF_HIGH), taken=taken)


def _line(svg: Element, start: Point, end: Point, *, taken: bool) -> None:
    across, down = end.x - start.x, end.y - start.y
    length = (across**2 + down**2) ** 0.5
    along = Point(across / length * HEAD, down / length * HEAD)
    foot = Point(end.x - along.x, end.y - along.y)
    corners = (
        end,
        Point(foot.x - along.y / 2, foot.y + along.x / 2),
        Point(foot.x + along.y / 2, foot.y - along.x / 2),
    )
    way = SubElement(svg, "g", {"class": "way taken" if taken else "way"})
    ends = {"x1": start.x, "y1": start.y, "x2": foot.x, "y2": foot.y}
    SubElement(way, "line", {name: number(value) for name, value in ends.items()})
    SubElement(way, "polygon", {"points": " ".join(f"{number(each.x)},{number(each.y)}" for each in corners)})
