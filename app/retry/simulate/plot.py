"""The series of a comparison as one SVG picture: calls per second over time, against what the dependency bears."""

from html import escape

from .outcome import Outcome
from .run import Comparison
from .scenario import Scenario

WIDTH, HEIGHT = 960, 180
LEFT, TOP, GAP = 60, 40, 56
COLOURS = ("#0b7a75", "#c2410c", "#7c3aed", "#2563eb")


def svg(comparison: Comparison) -> str:
    """A panel for each policy, all with the same axes."""
    scenario, outcomes = comparison
    seconds = max(len(each.calls_series) * each.step_seconds for each in outcomes)
    most = max(scenario.capacity * 1.2, *(max(each.calls_series, default=0.0) for each in outcomes))
    height = TOP + len(outcomes) * (HEIGHT + GAP)
    panels = "".join(_panel(scenario, each, number, seconds, most) for number, each in enumerate(outcomes))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="{LEFT}" y="22" font-size="16" font-weight="600">{escape(scenario.name)}: '
        f"calls per second</text>\n{panels}</svg>\n"
    )


def _panel(scenario: Scenario, outcome: Outcome, number: int, seconds: int, most: float) -> str:
    top = TOP + number * (HEIGHT + GAP)
    bottom = top + HEIGHT
    across, up = WIDTH / max(1, seconds), HEIGHT / most
    steps = _steps(outcome, across, up, bottom)
    colour = COLOURS[number % len(COLOURS)]
    bears = bottom - scenario.capacity * up
    return (
        f'<g><text x="{LEFT}" y="{top - 4}" font-weight="600" fill="{colour}">{escape(outcome.policy)}</text>'
        f"{_outages(scenario, across, top, seconds)}"
        f'<path d="{steps}" fill="{colour}" fill-opacity="0.75"/>'
        f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{bears:.1f}" y2="{bears:.1f}" stroke="#111" '
        f'stroke-dasharray="4 4"/><text x="{LEFT - 6}" y="{bears + 4:.1f}" text-anchor="end">'
        f"{scenario.capacity:g}</text>"
        f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{bottom}" y2="{bottom}" stroke="#111"/>'
        f"{_minutes(seconds, across, bottom)}</g>\n"
    )


def _steps(outcome: Outcome, across: float, up: float, bottom: int) -> str:
    parts = [f"M{LEFT} {bottom}"]
    wide = outcome.step_seconds * across
    for number, value in enumerate(outcome.calls_series):
        parts.append(f"V{bottom - value * up:.1f}H{LEFT + (number + 1) * wide:.1f}")
    return "".join([*parts, f"V{bottom}Z"])


def _outages(scenario: Scenario, across: float, top: int, seconds: int) -> str:
    """Shaded where the dependency is not well."""
    ends = [each.start for each in scenario.phases[1:]] + [float(seconds)]
    return "".join(
        f'<rect x="{LEFT + each.start * across:.1f}" y="{top}" width="{(end - each.start) * across:.1f}" '
        f'height="{HEIGHT}" fill="#fecaca" fill-opacity="0.6"/>'
        for each, end in zip(scenario.phases, ends, strict=True)
        if each.disturbed and end > each.start
    )


def _minutes(seconds: int, across: float, bottom: int) -> str:
    every = max(1, round(seconds / 60 / 8))
    return "".join(
        f'<text x="{LEFT + minute * 60 * across:.1f}" y="{bottom + 16}" text-anchor="middle">{minute} min</text>'
        for minute in range(0, seconds // 60 + 1, every)
    )


def file_name(scenario: Scenario) -> str:
    """What its picture is called."""
    return scenario.name.replace(" % ", "-").replace(" ", "-") + ".svg"
