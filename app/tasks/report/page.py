"""The report as one page of HTML: nothing in it comes from elsewhere, and it prints on A4."""

from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...retry.taxonomy import TAXONOMY
from ...store.retry_report import RetryReport

_MEANINGS = {str(kind): meaning.sentence for kind, meaning in TAXONOMY.items()}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def render_page(report: RetryReport, *, made_at: datetime) -> str:
    """Write the page. What tasks and exceptions said is shown as text, whatever it looks like."""
    most = max((tally.failures for tally in report.types.values()), default=1) or 1
    return _TEMPLATES.get_template("report.html").render(
        report=report, days=days_of(report), made_at=made_at, most=most
    )


def days_of(report: RetryReport) -> str:
    """``28 November 2026``, or the first and the last day."""
    first, last = (f"{day.day} {day:%B %Y}" for day in (report.day, report.last_day))
    return first if first == last else f"{first} \N{EN DASH} {last}"


def share(part: int, whole: int) -> str:
    """`part` of `whole` in percent; a dash where there is nothing. All and nothing are said of these only."""
    if not whole:
        return "\N{EN DASH}"
    percent = 100 * part / whole
    if 0 < part < whole:
        percent = min(max(percent, 0.1), 99.9)
    return f"{percent:.1f}".removesuffix(".0") + "\N{NARROW NO-BREAK SPACE}%"


def span(seconds: float) -> str:
    """``3 h 20 min``: the two largest units."""
    if seconds < _MINUTE:
        return f"{seconds:.1f}".removesuffix(".0") + "\N{NARROW NO-BREAK SPACE}s"
    for size, unit, smaller, name in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s")):
        if seconds >= size:
            rest = int(seconds % size // smaller)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {name}" if rest else "")
    raise AssertionError(seconds)


def meaning(failure_type: str) -> str:
    """What a failure type means; nothing where it is one of the past."""
    return _MEANINGS.get(failure_type, "")


def _number(value: float) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(number=_number, span=span, meaning=meaning)
_TEMPLATES.globals.update(share=share)
