"""The report as CSV, one number in a row, so that a spreadsheet can turn it any way."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ...store.retry_report import RetryReport

HEAD = ("first_day", "last_day", "section", "name", "measure", "value")

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What begins a formula in a spreadsheet, or is skipped before one (OWASP, CSV injection)."""


def write_table(report: RetryReport) -> str:
    """Write the table, with lines that end as RFC 4180 says."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    days = (report.day.isoformat(), report.last_day.isoformat())
    for row in _rows(report):
        writer.writerow([*days, *(harmless(each) for each in row)])
    return text.getvalue()


def harmless(value: Any) -> Any:
    """Text that a spreadsheet shows and does not reckon; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _rows(report: RetryReport) -> Iterator[tuple[str, str, str, Any]]:
    yield from _section("jobs", "", asdict(report.jobs))
    yield from _section("retries", "", asdict(report.whole))
    for name, tally in report.types.items():
        yield from _section("failure_type", name, asdict(tally))
    yield from _section("failure_groups", "", {"met": report.groups, "new": report.new_groups})
    for group in report.worst_groups:
        yield from _section("failure_group", group.fingerprint, asdict(group) | {"tasks": " ".join(group.tasks)})
    yield from _section("dependencies", "", {"troubled": report.troubled})
    for dependency in report.dependencies:
        yield from _section("dependency", dependency.name, asdict(dependency))
    yield from _section("dead_letters", "", asdict(report.letters))
    yield from _section("savings", "", asdict(report.savings))


def _section(section: str, name: str, measures: dict[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    for measure, value in measures.items():
        if measure not in {"name", "fingerprint"}:
            yield section, name, measure, value
