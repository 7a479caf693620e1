"""Charts as SVG, drawn here: no script, light and dark by their classes, and words for those who do not see them.

Text stands beside the drawing as HTML, so that a drawing may be stretched to any width. Pure functions: what they
return is markup, and whatever they are given is text.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

WIDE, HIGH = 100.0, 30.0
"""The inside of a drawing; what is seen of it is up to the sheet."""

PAD = 1.5
"""Room for half a line at the top and at the bottom."""

THINNEST = 0.4
"""How wide a stretch is drawn at least, however short it was."""

MOST_ROWS = 25
"""Of the table that stands for a chart; of a longer series so many points are told."""

Tone = Literal["busy", "good", "bad", "warn", "quiet"]
Numbers = Sequence[float]

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNITS = ((1e12, " T"), (1e9, " G"), (1e6, " M"))
_LONG = 1e15
_WHOLE = 100


class Level(NamedTuple):
    """A height that is marked, such as a limit."""

    value: float
    name: str


class Shade(NamedTuple):
    """A stretch of the axis that is marked, such as an outage; both ends are shares of the width, from 0 to 1."""

    start: float
    end: float
    name: str


class Stretch(NamedTuple):
    """A part of a timeline: where it begins and ends as shares of the whole, its class, and what it was."""

    start: float
    end: float
    kind: str
    text: str


def sparkline(values: Numbers, *, label: str, tone: Tone = "busy") -> Markup:
    """Draw how a number went, in the height of a line of text. `label` says what it is, and over what time."""
    svg = _drawing(f"spark {tone}", f"{label}: {_summary(values)}")
    _curve(svg, values, _scale(values), area=True)
    return as_markup(svg)


def stack(parts: Sequence[tuple[str, float, Tone]], *, of: float, label: str) -> Markup:
    """Draw what a number is made of, in the height of a line of text: a bar, as long as its share of `of`."""
    told = ", ".join(f"{said(value)} {name}" for name, value, _ in parts)
    svg = _drawing("stack", f"{label}: {told or 'none'}")
    start = 0.0
    for name, value, tone in parts:
        width = WIDE * value / of if of else 0.0
        place = {"x": number(start), "width": number(width), "height": number(HIGH)}
        bar = SubElement(svg, "rect", {"class": tone} | place)
        text_in(bar, "title", f"{said(value)} {name}")
        start += width
    return as_markup(svg)


def bars(values: Numbers, *, labels: Sequence[str], label: str, tone: Tone = "busy", unit: str = "") -> Markup:
    """Draw a bar for each value, with the largest value and the first and the last of `labels` beside them."""
    figure, plot = _figure(label, values, unit)
    svg = _into(plot, _drawing(f"bars {tone}", f"{label}: {_summary(values, unit)}"))
    place = _scale(values)
    ground = place(0.0)
    step = WIDE / max(len(values), 1)
    for index, (value, name) in enumerate(zip(values, labels, strict=True)):
        top = place(value)
        bar = SubElement(
            svg, "rect", {"x": number(step * (index + 0.1)), "width": number(step * 0.8)} | _between(top, ground, value)
        )
        text_in(bar, "title", f"{name}: {said(value, unit)}")
    _ticks(plot, labels[:1] if len(labels) < 2 else (labels[0], labels[-1]))  # noqa: PLR2004 - the first and the last.
    _table(figure, label, labels, {unit or "value": values}, unit)
    return as_markup(figure)


def lines(  # noqa: PLR0913 - each is a part of the drawing.
    series: Mapping[str, Numbers],
    *,
    label: str,
    across: Sequence[str],
    unit: str = "",
    levels: Sequence[Level] = (),
    shades: Sequence[Shade] = (),
    top: float = 0.0,
) -> Markup:
    """Draw one line for each of `series`, all on one scale from their first point to their last.

    Args:
        series: The values by the name that the legend has.
        label: What is drawn.
        across: Words along the axis, evenly spread from the first point to the last.
        unit: Of the values.
        levels: Heights that are marked.
        shades: Stretches that are marked.
        top: How far the scale reaches at least, so that several charts have one.
    """
    every = [value for values in series.values() for value in values] + [top, *(level.value for level in levels)]
    figure, plot = _figure(label, every, unit)
    told = "; ".join(f"{name}: {_summary(values, unit)}" for name, values in series.items())
    svg = _into(plot, _drawing("lines", f"{label}. {told or 'No data yet'}"))
    for shade in shades:
        drawn = {"x": number(WIDE * shade.start), "y": "0", "height": number(HIGH), "class": "shade"}
        text_in(
            SubElement(svg, "rect", drawn | {"width": number(WIDE * max(shade.end - shade.start, 0))}),
            "title",
            shade.name,
        )
    place = _scale(every)
    for level in levels:
        at = number(place(level.value))
        drawn = {
            "x1": "0",
            "x2": number(WIDE),
            "y1": at,
            "y2": at,
            "class": "level",
            "vector-effect": "non-scaling-stroke",
        }
        text_in(SubElement(svg, "line", drawn), "title", f"{level.name}: {said(level.value, unit)}")
    for index, values in enumerate(series.values()):
        _curve(svg, values, place, kind=f"s{index}")
    _ticks(plot, across)
    _legend(figure, series, levels, shades)
    longest = max((len(values) for values in series.values()), default=0)
    _table(figure, label, _spread(across, longest), series, unit)
    return as_markup(figure)


def timeline(stretches: Sequence[Stretch], *, label: str, across: Sequence[str]) -> Markup:
    """Draw what followed what, to scale; `across` are words along the axis, evenly spread."""
    figure = Element("figure", {"class": "chart"})
    text_in(figure, "figcaption", label)
    plot = SubElement(figure, "div", {"class": "plot"})
    svg = _into(plot, _drawing("strip", f"{label}: a list of it follows"))
    for stretch in stretches:
        wide = max(WIDE * (stretch.end - stretch.start), THINNEST)
        at = {"x": number(min(WIDE * stretch.start, WIDE - wide)), "width": number(wide), "class": stretch.kind}
        text_in(SubElement(svg, "rect", at | {"y": "0", "height": number(HIGH)}), "title", stretch.text)
    _ticks(plot, across)
    told = SubElement(SubElement(figure, "div", {"class": "unseen"}), "ol")
    for stretch in stretches:
        text_in(told, "li", stretch.text)
    return as_markup(figure)


def said(value: float, unit: str = "") -> str:
    """A number as people read it: ``0.25``, ``1,204``, ``3.1 M``."""
    value += 0.0  # Nought has no sign.
    size = abs(value)
    for least, name in _UNITS:
        if least <= size < _LONG:
            text = f"{value / least:.3g}{name}"
            break
    else:
        whole = size < _LONG and (size >= _WHOLE or value == int(value))
        text = f"{value:,.0f}" if whole else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def text_in(parent: Element, tag: str, text: str, **attributes: str) -> None:
    """Add an element that holds a text."""
    SubElement(parent, tag, attributes).text = _readable(text)


def number(value: float) -> str:
    """A coordinate, as short as it is exact enough."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def as_markup(element: Element) -> Markup:
    """A drawing as it stands in a page."""
    return Markup(tostring(element, encoding="unicode", short_empty_elements=False))  # noqa: S704 - made by a serialiser.


def _summary(values: Numbers, unit: str = "") -> str:
    if not values:
        return "no data yet"
    if len(values) == 1:
        return said(values[0], unit)
    return (
        f"from {said(min(values), unit)} to {said(max(values), unit)}, {said(values[-1], unit)} last, "
        f"{len(values):,} points"
    )


def _scale(values: Iterable[float]) -> Callable[[float], float]:
    """Heights of values, nought always among them. Halves, since the largest numbers have no difference."""
    halves = [value / 2 for value in values] + [0.0]
    low, high = min(halves), max(halves)
    span = high - low

    def place(value: float) -> float:
        share = (value / 2 - low) / span if span > 0 else 0.0
        return HIGH - PAD - share * (HIGH - 2 * PAD)

    return place


def _curve(
    svg: Element, values: Numbers, place: Callable[[float], float], *, kind: str = "", area: bool = False
) -> None:
    heights = [place(value) for value in values] or [place(0.0)]
    if len(heights) == 1:
        heights *= 2
    step = WIDE / (len(heights) - 1)
    points = " L".join(f"{number(index * step)} {number(height)}" for index, height in enumerate(heights))
    if area:
        ground = number(place(0.0))
        SubElement(svg, "path", {"class": "area", "d": f"M0 {ground} L{points} L{number(WIDE)} {ground} Z"})
    SubElement(
        svg, "path", {"class": f"line {kind}".rstrip(), "d": f"M{points}", "vector-effect": "non-scaling-stroke"}
    )


def _between(top: float, ground: float, value: float) -> dict[str, str]:
    """A bar from the ground; one that is not nought is always seen."""
    height = abs(ground - top)
    if value and height < PAD / 2:
        height = PAD / 2
    return {"y": number(min(ground - height, ground) if value >= 0 else ground), "height": number(height)}


def _drawing(kind: str, title: str) -> Element:
    svg = Element(
        "svg",
        {"class": kind, "role": "img", "viewBox": f"0 0 {WIDE:g} {HIGH:g}", "preserveAspectRatio": "none"},
    )
    text_in(svg, "title", title)
    return svg


def _figure(label: str, values: Sequence[float], unit: str) -> tuple[Element, Element]:
    figure = Element("figure", {"class": "chart"})
    text_in(figure, "figcaption", label)
    plot = SubElement(figure, "div", {"class": "plot"})
    scale = SubElement(plot, "div", {"class": "scale", "aria-hidden": "true"})
    highest, lowest = max([*values, 0.0]), min([*values, 0.0])
    text_in(scale, "span", said(highest, unit) if highest > lowest else "")  # Of noughts alone the ground is told.
    text_in(scale, "span", said(lowest, unit))
    return figure, plot


def _ticks(plot: Element, words: Sequence[str]) -> None:
    ticks = SubElement(plot, "div", {"class": "ticks", "aria-hidden": "true"})
    for word in words:
        text_in(ticks, "span", word)


def _legend(figure: Element, series: Iterable[str], levels: Sequence[Level], shades: Sequence[Shade]) -> None:
    legend = SubElement(figure, "ul", {"class": "legend"})
    kinds = [(f"s{index}", name) for index, name in enumerate(series)]
    kinds += [("level", level.name) for level in levels]
    kinds += [("shade", name) for name in dict.fromkeys(shade.name for shade in shades)]
    for kind, name in kinds:
        item = SubElement(legend, "li")
        key = SubElement(
            item, "svg", {"class": "key lines", "aria-hidden": "true", "viewBox": "0 0 24 10", "focusable": "false"}
        )
        if kind == "shade":
            SubElement(key, "rect", {"class": kind, "width": "24", "height": "10"})
        else:
            line_class = kind if kind == "level" else f"line {kind}"
            SubElement(key, "line", {"class": line_class, "x1": "0", "x2": "24", "y1": "5", "y2": "5"})
        text_in(item, "span", name)


def _table(figure: Element, label: str, names: Sequence[str], series: Mapping[str, Numbers], unit: str) -> None:
    """What the chart shows, for those who do not see it."""
    table = SubElement(SubElement(figure, "div", {"class": "unseen"}), "table")
    text_in(table, "caption", label)
    head = SubElement(SubElement(table, "thead"), "tr")
    for name in ("", *series):
        text_in(head, "th", name, scope="col")
    body = SubElement(table, "tbody")
    for index in _chosen(len(names)):
        row = SubElement(body, "tr")
        text_in(row, "th", names[index], scope="row")
        for values in series.values():
            text_in(row, "td", said(values[index], unit) if index < len(values) else "")


def _chosen(count: int) -> list[int]:
    """So many points, evenly, the first and the last among them."""
    if count <= MOST_ROWS:
        return list(range(count))
    return [round(step * (count - 1) / (MOST_ROWS - 1)) for step in range(MOST_ROWS)]


def _spread(words: Sequence[str], count: int) -> list[str]:
    """The words of an axis, beside the points that they stand at; between them, the point's number."""
    names = [f"point {index + 1}" for index in range(count)]
    for index, word in enumerate(words):
        if count:
            names[round(index * (count - 1) / max(len(words) - 1, 1))] = word
    return names


def _into(parent: Element, child: Element) -> Element:
    parent.append(child)
    return child


def _readable(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
