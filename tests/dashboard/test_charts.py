"""Charts: well-formed whatever they are given, and said in words."""

from collections.abc import Callable, Iterator
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from app.dashboard.charts import HIGH, MOST_ROWS, WIDE, Level, Shade, bars, lines, said, sparkline, stack

numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63))


def read(chart: Markup) -> ET.Element:
    """As a strict parser reads it."""
    return ET.fromstring(chart)  # noqa: S314 - it was made here.


def coordinates(chart: Markup) -> list[float]:
    """All points of its curves."""
    paths = [path.attrib["d"] for path in read(chart).iter("path")]
    return [float(each) for path in paths for each in path.translate(str.maketrans("MLZ", "   ")).split()]


def boxes(chart: Markup) -> Iterator[tuple[float, ...]]:
    """Left, top, width and height of each of its bars."""
    for bar in read(chart).iter("rect"):
        yield tuple(float(bar.attrib[name]) for name in ("x", "y", "width", "height"))


def texts(chart: Markup, tag: str) -> list[str]:
    """The text of each element of a kind."""
    return [element.text or "" for element in read(chart).iter(tag)]


def spark(values: list[float]) -> Markup:
    """A sparkline of something."""
    return sparkline(values, label="Failures")


def some_bars(values: list[float]) -> Markup:
    """Bars of something."""
    return bars(values, labels=[str(index) for index in range(len(values))], label="Failures")


def some_lines(values: list[float]) -> Markup:
    """Two lines of something."""
    return lines({"ours": values, "theirs": values[:2]}, label="Calls", across=["now", "in 1 h"])


CHARTS = [spark, some_bars, some_lines]


@pytest.mark.parametrize("chart", CHARTS)
@given(values=numbers)
def test_well_formed(chart: Callable[[list[float]], Markup], values: list[float]):
    """Whatever the numbers, a chart is well-formed, and nothing is drawn outside it."""
    drawn = chart(values)
    read(drawn)
    points = coordinates(drawn)
    assert all(0 <= each <= WIDE for each in points[::2])
    assert all(0 <= each <= HIGH for each in points[1::2])
    for left, top, wide, high in boxes(drawn):
        assert 0 <= left <= left + wide <= WIDE
        assert 0 <= top <= top + high <= HIGH


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0], [1e308, -1e308], [5e-324], [2**80, 1]])
def test_odd_series(chart: Callable[[list[float]], Markup], values: list[float]):
    """None, one, only noughts and the largest numbers have a chart too."""
    assert "nan" not in chart(values)
    read(chart(values))


@pytest.mark.parametrize("chart", CHARTS)
def test_named(chart: Callable[[list[float]], Markup]):
    """A drawing is one image with a name that says what it shows."""
    svg = next(each for each in read(chart([1, 4, 2])).iter("svg") if each.get("role") == "img")
    assert svg[0].tag == "title"
    assert "from 1 to 4, 2 last, 3 points" in (svg[0].text or "")


@pytest.mark.parametrize("chart", CHARTS)
def test_no_inline_style(chart: Callable[[list[float]], Markup]):
    """Colours come from the sheet, as the content policy wants it."""
    assert not [each for each in read(chart([1, 2])).iter() if {"style", "fill", "stroke"} & each.attrib.keys()]


@given(st.text())
def test_text_is_text(text: str):
    """Markup in a name is shown, not obeyed, and characters that XML cannot hold do not break it."""
    bars([1], labels=[text], label=text)
    read(sparkline([1], label=text))
    read(bars([1], labels=[text], label=text, unit=text))
    read(lines({text: [1]}, label=text, across=[text], levels=[Level(1, text)], shades=[Shade(0, 1, text)]))


def test_markup_in_a_name():
    """Markup in a name is shown, not obeyed."""
    assert "<script>" not in sparkline([1], label="<script>alert(1)</script>")


def test_no_data():
    """An empty series says that there is no data yet."""
    assert texts(sparkline([], label="Failures"), "title") == ["Failures: no data yet"]


def test_noughts_alone():
    """A scale from nought to nought has one word."""
    for values, told in (([0.0, 0.0], ["", "0"]), ([0.0, 2.0], ["2", "0"])):
        assert texts(lines({"jobs": values}, label="Jobs", across=()), "span")[:2] == told


def test_higher_is_higher():
    """A larger value is drawn further up."""
    _, first, _, second = coordinates(some_lines([1, 2]))[:4]
    assert second < first


def test_bars_tell_their_values():
    """Each bar has its name and its value, and stands in a table too."""
    chart = bars([3, 1200], labels=["10:00", "11:00"], label="Failures", unit="jobs")
    assert texts(chart, "title")[1:] == ["10:00: 3 jobs", "11:00: 1,200 jobs"]
    assert texts(chart, "td") == ["3 jobs", "1,200 jobs"]


def test_a_stack_says_its_parts():
    """A stack is as long as its share of the whole, each part begins where the one before ends, and words say so."""
    chart = stack([("pending", 30, "bad"), ("resolved", 10, "good")], of=80, label="UNKNOWN")
    bars_of = [(float(bar.attrib["x"]), float(bar.attrib["width"])) for bar in read(chart).iter("rect")]
    assert bars_of == [(0, 37.5), (37.5, 12.5)]
    assert texts(chart, "title") == ["UNKNOWN: 30 pending, 10 resolved", "30 pending", "10 resolved"]


def test_a_stack_of_nothing():
    """Nothing is drawn as nothing, and said."""
    assert texts(stack([], of=0, label="UNKNOWN"), "title") == ["UNKNOWN: none"]


def test_small_bars_are_seen():
    """One among a million is a bar, nought is none."""
    heights = [float(bar.attrib["height"]) for bar in read(some_bars([0, 1, 1_000_000])).iter("rect")]
    assert heights[0] == 0
    assert 0 < heights[1] < heights[2]


def test_legend():
    """Each line, level and stretch has its name beside the drawing, a stretch that repeats has it once."""
    chart = lines(
        {"ours": [1, 2], "fixed": [2, 3]},
        label="Calls",
        across=["0", "1 h"],
        levels=[Level(5, "capacity")],
        shades=[Shade(0, 0.2, "outage"), Shade(0.5, 0.6, "outage")],
    )
    names = [item.find("span") for item in read(chart).iter("li")]
    assert [name.text for name in names if name is not None] == ["ours", "fixed", "capacity", "outage"]


def test_long_series_are_told_in_part():
    """The table of a long series has a bounded number of rows, from the first point to the last."""
    told = [float(text) for text in texts(some_lines([float(each) for each in range(400)]), "td") if text]
    assert len(texts(some_lines([float(each) for each in range(400)]), "td")) == 2 * MOST_ROWS
    assert (min(told), max(told)) == (0, 399)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-0.0, "0"), (0.25, "0.25"), (1.5, "1.5"), (1204, "1,204"), (1204.4, "1,204"), (3_100_000, "3.1 M"),
     (2e9, "2 G"), (1e300, "1e+300"), (-12, "-12")],
)  # fmt: skip
def test_numbers(value: float, text: str):
    """Numbers are short enough to be read at a glance."""
    assert said(value) == text
